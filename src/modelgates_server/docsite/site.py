"""The complete site, built once: every file by name, with `ORIGIN` in place of the address."""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from modelgates_server.docsite import guides, llms_txt
from modelgates_server.docsite.layout import Layout
from modelgates_server.docsite.model import (
    ASSETS,
    CATALOG,
    DOCS,
    HTML,
    Document,
    Excerpt,
    Page,
    Section,
)
from modelgates_server.docsite.openapi import as_yaml
from modelgates_server.docsite.reference import pages as reference
from modelgates_server.docsite.search import Index

_LAST = "Decisions"
_MARKDOWN, _TEXT = "text/markdown; charset=utf-8", "text/plain; charset=utf-8"
_ASSET_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_JSON, _YAML, _XML = "application/json", "application/yaml", "application/xml"


class Site:
    """Pages by path, and documents by their path relative to the reader's address.

    `documents` contains for instance `docs`, `docs/configuration`, `docs/configuration.md` and
    `llms.txt`.
    """

    def __init__(
        self,
        navigation: tuple[Section, ...],
        openapi: dict[str, Any],
        assets: dict[str, bytes],
        *,
        searchable: bool,
    ) -> None:
        self.navigation = navigation
        self.pages = {page.path: page for section in navigation for page in section.pages}
        named = {name: _hashed(name, body) for name, body in assets.items()}
        asset_paths = {name: f"/{ASSETS}{named[name]}" for name in named}
        self._layout = Layout(navigation, asset_paths, searchable=searchable)
        self._index = Index(self.pages.values())
        self.documents = dict(self._page_documents())
        self.documents |= {
            f"{ASSETS}{named[name]}": Document(_ASSET_TYPES[Path(name).suffix], body)
            for name, body in assets.items()
        }
        self.documents |= _documents_for_programs(navigation, openapi, is_served=searchable)

    def find(self, query: str, limit: int) -> list[Excerpt]:
        """Search all pages."""
        return self._index.find(query, limit)

    def results(self, query: str, excerpts: list[Excerpt], mistake: str = "") -> bytes:
        """The page with the results of a search, or with the reason why there was no search."""
        return self._layout.results(query, excerpts, mistake).encode()

    def missing(self) -> bytes:
        """The page for a path without a page."""
        return self._layout.missing().encode()

    def _page_documents(self) -> Iterator[tuple[str, Document]]:
        for path, page in self.pages.items():
            name = f"{DOCS}/{path}" if path else DOCS
            yield name, Document(HTML, self._layout.page(page).encode())
            yield f"{name}.md", Document(_MARKDOWN, llms_txt.markdown(page).encode())


def build_site(openapi: dict[str, Any], *, searchable: bool = True) -> Site:
    """The site of this program. The servers in `openapi` are below `ORIGIN`.

    A site that is not `searchable` is for a file server, which cannot run a search.
    """
    pages = (*guides.load(), *reference.pages(openapi))
    return Site(_sections(pages), openapi, dict(_assets()), searchable=searchable)


def _sections(pages: Iterable[Page]) -> tuple[Section, ...]:
    ordered = sorted(pages, key=lambda page: page.section == _LAST)
    return tuple(
        Section(title, tuple(members)) for title, members in groupby(ordered, lambda p: p.section)
    )


def _documents_for_programs(
    navigation: tuple[Section, ...], openapi: dict[str, Any], *, is_served: bool
) -> dict[str, Document]:
    index = Document(_TEXT, llms_txt.llms(navigation).encode())
    full = Document(_TEXT, llms_txt.llms_full(navigation).encode())
    in_json = Document(_JSON, json.dumps(openapi, ensure_ascii=False).encode())
    in_yaml = Document(_YAML, as_yaml(in_json.body))
    return {
        "llms.txt": index,
        "llms-full.txt": full,
        f"{DOCS}/llms.txt": index,
        f"{DOCS}/llms-full.txt": full,
        f"{DOCS}/openapi.json": in_json,
        f"{DOCS}/openapi.yaml": in_yaml,
        f"{DOCS}/openapi.yml": in_yaml,
        f"{DOCS}/sitemap.xml": Document(_XML, llms_txt.sitemap(navigation).encode()),
        "robots.txt": Document(_TEXT, llms_txt.robots().encode()),
        CATALOG: Document(llms_txt.LINKSET, llms_txt.catalog(is_served=is_served)),
    }


def _assets() -> Iterator[tuple[str, bytes]]:
    for file in resources.files(__package__).joinpath("assets").iterdir():
        yield file.name, file.read_bytes()


def _hashed(name: str, body: bytes) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{sha256(body).hexdigest()[:12]}.{suffix}"
