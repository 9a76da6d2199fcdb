"""An account for assistants: POST /api/v1/mcp, with any of its keys.

Every tool is a route of the HTTP API. A tool call passes through the same application: the same
keys may call it, with the same responses and errors. It counts as one request, that of MCP.

Every Origin is allowed. The protocol demands a check because of DNS rebinding: a web page gives
this address a name in its own domain and uses the visitor's network access. The page would send
that name in both Origin and Host, so comparing them would not help. And it can do nothing without a
key, which no browser adds by itself. With a key, clients in a browser, such as the MCP inspector,
may call this from another origin, like the rest of the API.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from modelgates_server.service.keys import KeyService
from modelgates_server.web.app import App
from modelgates_server.web.body_budget import BodyBudget
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.mcp.jsonrpc import BODY_MAX_BYTES
from modelgates_server.web.mcp.server import RUNNING_MAX, StatelessMcpServer
from modelgates_server.web.pages.negotiation import KnownHosts
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse
from modelgates_server.web.routing import Route

if TYPE_CHECKING:
    from modelgates_server.web.mcp.transport import McpTransport


class AccountMcp:
    """The MCP route for an account, built on the routes of the HTTP API."""

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
            # The bodies of tool calls are parts of bodies that are counted already.
            BodyBudget(RUNNING_MAX * BODY_MAX_BYTES, RUNNING_MAX * BODY_MAX_BYTES),
            KnownHosts(),
        )
        self._server = StatelessMcpServer(self._load)

    async def answer(self, context: RequestContext) -> HttpResponse:
        """POST /api/v1/mcp."""
        return await self._server.answer(context)

    def _load(self) -> "McpTransport":
        from modelgates_server.web.mcp import account_tools  # noqa: PLC0415 - see `StatelessMcpServer`

        return account_tools.transport(self._routes, self._app)


def _count_nothing(_: str, __: int) -> None:
    """Do nothing: the MCP request that contains the tool call is counted already."""
