"""The site that this program serves, built once for all tests of it."""

import re
from html.parser import HTMLParser

import pytest

from modelgates_server.docsite.site import Site
from modelgates_server.web.pages.docs import load_site
from tests.web.harness import DOCS_CATALOG


class Elements(HTMLParser):
    """The start tags of a page, each with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def values(self, name: str) -> list[str]:
        """The values of an attribute, in all tags."""
        return [attributes[name] for _, attributes in self.found if name in attributes]


def linked(markdown: str) -> list[str]:
    """The targets of links in Markdown, outside of code."""
    text = re.sub(r"^ *(```|~~~).*?^ *\1 *$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))


@pytest.fixture(scope="session")
def site() -> Site:
    return load_site(DOCS_CATALOG)
