"""Serves the description of our API: GET /openapi.json and /openapi.yaml."""

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

from modelgates_server.core.errors import InvalidInput
from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import as_yaml, document_at, document_for_generators
from modelgates_server.docsite.rebase import rebased
from modelgates_server.web.pages.negotiation import base_of
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse

_YAML = (b"content-type", b"application/yaml")
_GENERATORS = "generators"


class OpenApi:
    """The operations. `public_url` is empty, or as `negotiation.checked_base` has it.

    The servers in the document have the reader's address, as the pages of the documentation do.
    """

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url
        self._document = _Served(document_at)
        self._for_generators = _Served(document_for_generators)

    async def show_json(self, context: RequestContext) -> HttpResponse:
        """GET /openapi.json."""
        return HttpResponse(200, self._rebased(self._requested(context).json, context), [JSON])

    async def show_yaml(self, context: RequestContext) -> HttpResponse:
        """GET /openapi.yaml."""
        return HttpResponse(200, self._rebased(self._requested(context).yaml, context), [_YAML])

    def _requested(self, context: RequestContext) -> "_Served":
        """Raises `InvalidInput`."""
        audience = context.request.query_params.get("for")
        if audience is None:
            return self._document
        if audience != _GENERATORS:
            raise InvalidInput(f'The query parameter "for" must be {_GENERATORS}, or left out')
        return self._for_generators

    def _rebased(self, body: bytes, context: RequestContext) -> bytes:
        return rebased(body, self._public_url or base_of(context), is_html=False)


class _Served:
    """A document in both forms, still with `ORIGIN`; each is made when it is first asked for."""

    def __init__(self, make: Callable[[str], dict[str, Any]]) -> None:
        self._make = make

    @cached_property
    def json(self) -> bytes:
        return json.dumps(self._make(ORIGIN), ensure_ascii=False).encode()

    @cached_property
    def yaml(self) -> bytes:
        return as_yaml(self.json)
