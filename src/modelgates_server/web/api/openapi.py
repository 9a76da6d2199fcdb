"""Serves the description of the API: GET /openapi.json and /openapi.yaml."""

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

from modelgates_server.core.errors import InvalidInput
from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import as_yaml, document_at, document_for_generators
from modelgates_server.docsite.rebase import rebased
from modelgates_server.web.members import quoted
from modelgates_server.web.pages.executor import run_in_docs_thread
from modelgates_server.web.pages.negotiation import KnownHosts
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse

_YAML = (b"content-type", b"application/yaml")
_GENERATORS = "generators"


class OpenApi:
    """The operations on the document. Its servers have the address of `hosts`, like all pages."""

    def __init__(self, hosts: KnownHosts) -> None:
        self._hosts = hosts
        self._document = _Served(document_at)
        self._for_generators = _Served(document_for_generators)

    async def show_json(self, context: RequestContext) -> HttpResponse:
        """GET /openapi.json."""
        return await self._response("json", context, JSON)

    async def show_yaml(self, context: RequestContext) -> HttpResponse:
        """GET /openapi.yaml."""
        return await self._response("yaml", context, _YAML)

    def _requested(self, context: RequestContext) -> "_Served":
        """Raises `InvalidInput`."""
        audience = context.request.query_params.get("for")
        if audience is None:
            return self._document
        if audience != _GENERATORS:
            raise InvalidInput(
                f"Unknown value of `for`: {quoted(audience)}. Use `{_GENERATORS}`, or leave it out."
            )
        return self._for_generators

    async def _response(
        self, form: str, context: RequestContext, content_type: tuple[bytes, bytes]
    ) -> HttpResponse:
        served = self._requested(context)
        if form not in vars(served):
            await run_in_docs_thread(getattr, served, form)
        base = self._hosts.base_of(context)
        return HttpResponse(
            200, rebased(getattr(served, form), base, is_html=False), [content_type]
        )


class _Served:
    """A document in both forms, still with `ORIGIN`; each form is built on first use."""

    def __init__(self, make: Callable[[str], dict[str, Any]]) -> None:
        self._make = make

    @cached_property
    def json(self) -> bytes:
        return json.dumps(self._make(ORIGIN), ensure_ascii=False).encode()

    @cached_property
    def yaml(self) -> bytes:
        return as_yaml(self.json)
