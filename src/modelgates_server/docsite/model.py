"""What the documentation consists of. Everything else here makes these values, or serves them."""

import msgspec

ORIGIN = "https://modelgates.example"
"""Stands in every page for the reader's address, which takes its place as the page is served.

Links between pages are written with it too (`https://modelgates.example/docs/...`), so that a
server below a path prefix needs nothing else.
"""


class Heading(msgspec.Struct, frozen=True):
    """A heading below the title. `level` is 2 to 4, `anchor` its id in the HTML."""

    level: int
    text: str
    anchor: str


class Page(msgspec.Struct, frozen=True):
    """One page, in both its forms.

    `path` stands below /docs and has neither slash nor suffix at its ends, such as
    `api/api-reference/credits/get-credits`; the front page's is empty. `markdown` begins with the
    title as `# Title`; `html` is what stands below the title. `description` is one sentence of
    plain text.
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
    """What a search found: the part of a page under one heading (`anchor` empty: under its title).

    `text` is plain text of at most 300 characters around the words found, which stand between
    the characters U+0002 and U+0003.
    """

    path: str
    title: str
    heading: str
    anchor: str
    text: str


DOCS = "docs"
"""Where the pages are, below the reader's address."""

ASSETS = f"{DOCS}/_assets/"
"""Where style sheets and scripts are, under names that change with what is in them."""

CATALOG = ".well-known/api-catalog"
"""Where programs look for APIs (RFC 9727)."""

HTML = "text/html; charset=utf-8"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'"
)
"""What a page may load and where it may send. In a header it also says who may frame it."""


class Document(msgspec.Struct, frozen=True):
    """A file of the site, with `ORIGIN` in it."""

    media_type: str
    body: bytes

    @property
    def is_page(self) -> bool:
        """Whether people read it, and it has a twin in Markdown under its name and `.md`."""
        return self.media_type == HTML
