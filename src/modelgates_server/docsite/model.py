"""The values that the documentation consists of. Everything else here makes or serves them."""

import msgspec

ORIGIN = "https://modelgates.example"
"""A placeholder for the reader's address, which replaces it when a page is served.

Links between pages contain it too (`https://modelgates.example/docs/...`), so a server below a
path prefix needs nothing else.
"""


class Heading(msgspec.Struct, frozen=True):
    """A heading below the title. `level` is 2 to 4, `anchor` its id in the HTML."""

    level: int
    text: str
    anchor: str


class Page(msgspec.Struct, frozen=True):
    """One page, as Markdown and as HTML.

    `path` is relative to /docs, without a leading or trailing slash and without a suffix, such as
    `api/api-reference/credits/get-credits`; the front page has an empty path. `markdown` begins
    with the title as `# Title`; `html` excludes the title. `description` is one sentence of plain
    text.
    """

    path: str
    title: str
    description: str
    section: str
    markdown: str
    html: str
    headings: tuple[Heading, ...]


class Section(msgspec.Struct, frozen=True):
    """Pages under one heading of the navigation."""

    title: str
    pages: tuple[Page, ...]


class Excerpt(msgspec.Struct, frozen=True):
    """A search result: the part of a page under one heading, or under its title (empty `anchor`).

    `section` is the page's place in the navigation, such as `API reference: Credits`. `text` is
    plain text of at most 300 characters. Each match in it is between U+0002 and U+0003.
    """

    path: str
    title: str
    heading: str
    anchor: str
    text: str
    section: str = ""


DOCS = "docs"
"""The path of the pages, relative to the reader's address."""

ASSETS = f"{DOCS}/_assets/"
"""The path of style sheets and scripts. Their names change with their content."""

CATALOG = ".well-known/api-catalog"
"""The path at which programs look for APIs (RFC 9727)."""

HTML = "text/html; charset=utf-8"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'"
)
"""The sources that a page may load from and send to. The header also says who may frame it."""


class Document(msgspec.Struct, frozen=True):
    """A file of the site, with `ORIGIN` in it."""

    media_type: str
    body: bytes

    @property
    def is_page(self) -> bool:
        """Whether this is a page for people, which has a Markdown twin at its name plus `.md`."""
        return self.media_type == HTML
