"""An account for assistants: POST /api/v1/mcp, with any of its keys.

Every tool is a route of the HTTP API, and a call of it goes through the same application: the same
keys may call it, with the same answers and errors. It is counted as one request, that of MCP.

Every Origin is a valid one. The protocol wants it validated because of pages that give our address
a name of their own (DNS rebinding) and then act with what the network lets them. Such a page has
that name in Origin and Host alike, so the one would pass for the other; and it can do nothing here
without a key, which no browser adds by itself. With one, clients that run in a browser, such as the
MCP inspector, may call this from another origin, as they may the rest of the API.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from modelgates_server.service.keys import KeyService
from modelgates_server.web.app import App
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.mcp.jsonrpc import BODY_MAX_BYTES
from modelgates_server.web.mcp.server import RUNNING_MAX, StatelessMcpServer
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse
from modelgates_server.web.routing import Route

if TYPE_CHECKING:
    from modelgates_server.web.mcp.transport import McpTransport


class AccountMcp:
    """The route, over those of the HTTP API."""

    def __init__(
        self,
        routes: Iterable[Route],
        keys: KeyService,
        error_responses: ErrorResponses,
    ) -> None:
        self._routes = {route.id: route for route in routes}
        self._app = App(
            [*self._routes.values()],
            keys,
            _count_nothing,
            error_responses,
            nullcontext,
            RUNNING_MAX * BODY_MAX_BYTES,
        )
        self._server = StatelessMcpServer(self._load)

    async def answer(self, context: RequestContext) -> HttpResponse:
        """POST /api/v1/mcp."""
        return await self._server.answer(context)

    def _load(self) -> "McpTransport":
        from modelgates_server.web.mcp import account_tools  # noqa: PLC0415 - see `StatelessMcpServer`

        return account_tools.transport(self._routes, self._app)


def _count_nothing(_: str, __: int) -> None:
    """The request that brought the call of a tool is counted already."""
