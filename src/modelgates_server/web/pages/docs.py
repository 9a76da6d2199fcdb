"""Serves the documentation: /docs and the pages below it, and the files that programs look for.

The site is built by the first request for it, in a thread. Without such a request, a server neither
waits for the site nor keeps it in memory.
"""

import asyncio
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.docsite.model import DOCS, HTML, ORIGIN
from modelgates_server.docsite.model_names import with_offered_models
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.rebase import rebased
from modelgates_server.docsite.result_groups import grouped, trail
from modelgates_server.web.errors import UnknownPath
from modelgates_server.web.pages.executor import run_in_docs_thread
from modelgates_server.web.pages.negotiation import (
    KnownHosts,
    has,
    takes_gzip,
    wants_html,
    wants_markdown,
)
from modelgates_server.web.pages.response_cache import SECURITY, ResponseCache
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import CACHED, JSON, HttpResponse

if TYPE_CHECKING:
    from modelgates_server.docsite.site import Site

QUERY_MAX_CHARS = 200

_RESULTS, _SUGGESTIONS = 20, 8


@cache
def load_site(catalog: Catalog) -> "Site":
    """The site of a server that offers these models. The caller waits until it is built."""
    # Jinja, Markdown and Pygments take longer to load than the rest of the server.
    from modelgates_server.docsite.site import build_site  # noqa: PLC0415

    return build_site(with_offered_models(document_at(ORIGIN), catalog))


class SharedSite:
    """The site of this process. All requests that arrive during its build wait for the same one."""

    def __init__(self, load: Callable[[], "Site"]) -> None:
        self._load = load
        self._making: asyncio.Future[Site] | None = None

    async def get(self) -> "Site":
        """The site, which the first call builds. After a failure, the next call builds it again."""
        making = self._making
        if making is None or (making.done() and making.exception() is not None):
            making = self._making = asyncio.ensure_future(run_in_docs_thread(self._load))
        # A client that disconnects ends its own wait, not that of the others.
        return await asyncio.shield(making)


class _SearchResult(msgspec.Struct):
    title: str
    heading: str
    url: str
    text: str
    group: str
    trail: str


class _SearchResponse(msgspec.Struct):
    query: str
    results: msgspec.Raw


class DocsApi:
    """The operations below /docs, with the address of `hosts`.

    `site` is for other operations that serve the same pages.
    """

    def __init__(self, hosts: KnownHosts, catalog: Catalog) -> None:
        self._hosts = hosts
        self.site = SharedSite(partial(load_site, catalog))
        self._cache = ResponseCache()

    async def lead(self, context: RequestContext) -> HttpResponse:
        """GET /: redirects browsers to the documentation; programs get a 404."""
        if not wants_html(context):
            raise UnknownPath([(b"vary", b"accept")])
        # The path alone: a proxy may not say under which name and scheme the reader came.
        location = f"{urlsplit(self.base(context)).path}/{DOCS}"
        return HttpResponse(307, b"", [(b"location", location.encode()), (b"vary", b"accept")])

    async def show(self, context: RequestContext) -> HttpResponse:
        """GET of a document of the site."""
        site = await self.site.get()
        path: str = context.request.scope["path"]
        name = path.removeprefix("/").removesuffix("/")
        if name.endswith(".mdx"):
            name = name.removesuffix("x")
        document = site.documents.get(name)
        if document is None:
            return self._missing(site, context)
        if document.is_page and wants_markdown(context):
            name += ".md"
            document = site.documents[name]
        cached = await self._cache.get(
            name, document, self.base(context), gzipped=takes_gzip(context)
        )
        if has(context, cached.etag):
            return HttpResponse(304, b"", cached.headers, CACHED)
        return HttpResponse(200, cached.body, cached.headers, CACHED)

    async def search(self, context: RequestContext) -> HttpResponse:
        """GET /docs/search?q=: a page of results, which needs no JavaScript."""
        site = await self.site.get()
        try:
            query = _query(context)
        except InvalidInput as error:
            if not wants_html(context):
                raise
            return self._page(400, site.results("", [], str(error)), context)
        excerpts = await run_in_docs_thread(site.find, query, _RESULTS)
        return self._page(200, site.results(query, excerpts), context)

    async def suggest(self, context: RequestContext) -> HttpResponse:
        """GET /docs/_search?q=: the results that the search box shows, group by group.

        The fields are those of `docsite.model.Excerpt`.
        """
        site = await self.site.get()
        query = _query(context)
        results = [
            _SearchResult(
                excerpt.title,
                excerpt.heading,
                f"{ORIGIN}/docs/{excerpt.path}{'#' if excerpt.anchor else ''}{excerpt.anchor}",
                excerpt.text,
                group,
                trail(excerpt.section),
            )
            for group, excerpts in grouped(await run_in_docs_thread(site.find, query, _SUGGESTIONS))
            for excerpt in excerpts
        ]
        # An address in the query stays as the reader typed it.
        raw = msgspec.Raw(rebased(msgspec.json.encode(results), self.base(context), is_html=False))
        return HttpResponse(200, msgspec.json.encode(_SearchResponse(query, raw)), [JSON])

    def base(self, context: RequestContext) -> str:
        """The reader's address."""
        return self._hosts.base_of(context)

    def _missing(self, site: "Site", context: RequestContext) -> HttpResponse:
        if not wants_html(context):
            raise UnknownPath
        return self._page(404, site.missing(), context)

    def _page(self, status: int, body: bytes, context: RequestContext) -> HttpResponse:
        html = rebased(body, self.base(context), is_html=True)
        return HttpResponse(status, html, [(b"content-type", HTML.encode()), *SECURITY])


def _query(context: RequestContext) -> str:
    """The words to search for; raises `InvalidInput`."""
    query = context.request.query_params.get("q", "")
    if len(query) > QUERY_MAX_CHARS:
        raise InvalidInput(
            f"A search has at most {QUERY_MAX_CHARS} characters, and this one has {len(query)}. "
            "Use fewer words."
        )
    return query
