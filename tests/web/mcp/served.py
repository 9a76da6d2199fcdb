"""One MCP server in this process, for tests of single messages."""

import json
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx

from modelgates_server.service.ports import Store
from modelgates_server.web.app import App
from modelgates_server.web.body_budget import BodyBudget
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.pages.negotiation import KnownHosts
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse
from modelgates_server.web.routing import PUBLIC, Route
from tests.deadlines import async_http_client
from tests.gateway import metered
from tests.support import ManualClock
from tests.web.harness import BODIES_MAX_BYTES


class Served:
    """An MCP server at /mcp that needs no key."""

    def __init__(
        self,
        store: Store,
        clock: ManualClock,
        folder: Path,
        answer: Callable[[RequestContext], Awaitable[HttpResponse]],
    ) -> None:
        services = metered(store, clock, folder)
        table = [Route("mcp", "POST", "/mcp", PUBLIC, answer)]
        app = App(
            table,
            services.keys,
            services.metrics.count_request,
            ErrorResponses(),
            nullcontext,
            BodyBudget(BODIES_MAX_BYTES),
            KnownHosts(),
        )
        self.client = async_http_client(
            transport=httpx.ASGITransport(app), base_url="http://gateway"
        )

    async def post(self, body: Any, **headers: str) -> httpx.Response:
        """Send a body, as JSON unless it is bytes; underscores in header names become dashes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        types = {"content-type": "application/json", "accept": "application/json"}
        return await self.client.post("/mcp", content=content, headers={**types, **named})

    async def ask(self, method: str, **params: Any) -> Any:
        """Send one request; returns its result or error."""
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = (await self.post(message, mcp_protocol_version="2025-06-18")).json()
        assert answer["id"] == 1
        return answer.get("error") or answer["result"]

    async def use(self, tool: str, **arguments: Any) -> tuple[str, bool]:
        """Call a tool; returns its text, and whether that is an error."""
        result = await self.ask("tools/call", name=tool, arguments=arguments)
        (content,) = result["content"]
        return content["text"], result.get("isError", False)
