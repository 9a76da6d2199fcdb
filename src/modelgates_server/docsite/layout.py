"""Complete HTML documents around the content of pages."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from modelgates_server.docsite.model import ORIGIN, POLICY, Excerpt, Page, Section
from modelgates_server.docsite.product import VERSION, repository_url
from modelgates_server.docsite.reference.overview import PATH as REFERENCE
from modelgates_server.docsite.result_groups import grouped, trail

_VERB = re.compile(r"^(GET|POST|PUT|PATCH|DELETE) https?://", re.MULTILINE)
_GROUP = ": "
_FOLDED = "Decisions"
_OPERATIONS = "api/api-reference/"

_STARTING_POINTS = (
    "guides/overview/quickstart",
    "guides/clients",
    "guides/overview/auth/management-api-keys",
    "guides/credits/credits-usage-and-holds",
    "guides/errors",
    REFERENCE,
)
"""Pages to read where a search finds nothing, or an address has no page."""

_SEARCHES = ("revoke a key", "402", "max_tokens", "top up", "docker")
"""Searches to try instead."""


class _Block(NamedTuple):
    """A section's pages, each with the verb of its operation.

    A folded block is open on its own pages only.
    """

    title: str
    entries: list[tuple[Page, str]]
    folded: bool

    def is_open(self, path: str | None) -> bool:
        return not self.folded or any(page.path == path for page, _ in self.entries)


class Layout:
    """Writes pages with the navigation around them; `assets` maps the files' names to paths.

    Pages that are not `searchable` are for a file server, so they contain their own policy.
    """

    def __init__(
        self, navigation: Sequence[Section], assets: Mapping[str, str], *, searchable: bool
    ) -> None:
        self._navigation = navigation
        self._environment = Environment(
            loader=PackageLoader("modelgates_server.docsite"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(url=page_url, label=label, trail=trail)
        self._environment.globals.update(
            asset=lambda name: f"{ORIGIN}{assets[name]}",
            docs=f"{ORIGIN}/docs",
            searchable=searchable,
            policy=POLICY,
            version=VERSION,
            repository=repository_url(),
            reference=page_url(REFERENCE),
        )

    def page(self, page: Page) -> str:
        """A page of the site."""
        before, after = self._neighbours[page.path]
        return self._render(
            "page.html",
            page=page,
            body=Markup(page.html),  # noqa: S704 - rendered from the repository's files
            is_operation=page.path.startswith(_OPERATIONS),
            before=before,
            after=after,
            current=page.path,
        )

    def results(self, query: str, excerpts: Sequence[Excerpt], mistake: str = "") -> str:
        """The results of a search; `mistake` says why there was no search, or is empty."""
        return self._render(
            "search.html",
            # An address in it stays as it was typed; see `rebase`.
            query=escape(query).replace(":", Markup("&#58;")),
            groups_found=[
                (group, [(excerpt, _marked(excerpt.text)) for excerpt in found])
                for group, found in grouped(excerpts)
            ],
            mistake=mistake,
            starting_points=self._starting_points,
            searches=_SEARCHES,
        )

    def missing(self) -> str:
        """The page for an address without a page."""
        return self._render("missing.html", starting_points=self._starting_points)

    def _render(self, template: str, **values: Any) -> str:
        given = {"query": "", "current": None, "groups": self._groups, **values}
        return self._environment.get_template(template).render(given)

    @cached_property
    def _starting_points(self) -> list[Page]:
        pages = {page.path: page for section in self._navigation for page in section.pages}
        return [pages[path] for path in _STARTING_POINTS if path in pages]

    @cached_property
    def _groups(self) -> list[tuple[str, list[_Block]]]:
        """Sections. Those with the same text before a colon in their titles share that title."""
        groups = list[tuple[str, list[_Block]]]()
        for section in self._navigation:
            group, _, title = section.title.rpartition(_GROUP)
            if not groups or groups[-1][0] != group:
                groups.append((group, []))
            entries = [(page, _verb(page)) for page in section.pages]
            folded = len(entries) > 1 and (bool(group) or title == _FOLDED)
            groups[-1][1].append(_Block(title, entries, folded))
        return groups

    @cached_property
    def _neighbours(self) -> dict[str, tuple[Page | None, Page | None]]:
        ordered = [None, *(page for section in self._navigation for page in section.pages), None]
        return {
            page.path: (before, after)
            for (before, page), (_, after) in pairwise(pairwise(ordered))
            if page is not None
        }


def page_url(path: str) -> str:
    """The address of a page."""
    return f"{ORIGIN}/docs/{path}" if path else f"{ORIGIN}/docs"


def label(page: Page) -> str:
    """The text of links in the navigation; the front page's title is the product's name."""
    return page.title if page.path else "Introduction"


def _verb(page: Page) -> str:
    verb = _VERB.search(page.markdown) if page.path.startswith(_OPERATIONS) else None
    return verb[1] if verb else ""


def _marked(text: str) -> Markup:
    return escape(text).replace("\x02", Markup("<mark>")).replace("\x03", Markup("</mark>"))
