"""Serves the description of our API: GET /openapi.json and /openapi.yaml."""

import json
from functools import cached_property

from modelgates_server.docsite.openapi import as_yaml, document_at
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse


class OpenApi:
    """The document with this server's address in it; made when it is first asked for."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url.rstrip("/")

    async def show_json(self, _: RequestContext) -> HttpResponse:
        """GET /openapi.json."""
        return HttpResponse(200, self._json, [JSON])

    async def show_yaml(self, _: RequestContext) -> HttpResponse:
        """GET /openapi.yaml."""
        return HttpResponse(200, self._yaml, [(b"content-type", b"application/yaml")])

    @cached_property
    def _json(self) -> bytes:
        return json.dumps(document_at(self._public_url), ensure_ascii=False).encode()

    @cached_property
    def _yaml(self) -> bytes:
        return as_yaml(self._json)
