"""The documentation for assistants: POST /docs/_mcp/server, without a key.

Host and Origin are not checked: a page of another site that reaches this path, under any name, can
only read public pages.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from modelgates_server.core.errors import InvalidInput
from modelgates_server.service.ports import Clock
from modelgates_server.web.mcp.jsonrpc import INVALID_REQUEST, JsonRpcError
from modelgates_server.web.mcp.server import StatelessMcpServer
from modelgates_server.web.rate_limit import RateLimiter
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

if TYPE_CHECKING:
    from modelgates_server.docsite.site import Site
    from modelgates_server.web.mcp.transport import McpTransport

BURST = 400
EVERY_MS = 100
"""A response takes 1 to 2 ms, a search up to 10: the busiest client gets a tenth of a core."""


class DocsMcp:
    """The MCP route for the documentation. `site` builds the pages on first use and keeps them.

    `base_of` returns the address that the caller used, such as `https://example.com/llm`, and
    raises `InvalidInput` if the Host header is unusable.
    """

    def __init__(
        self,
        site: Callable[[], Awaitable["Site"]],
        base_of: Callable[[RequestContext], str],
        clock: Clock,
    ) -> None:
        self._site = site
        self._base_of = base_of
        self._server = StatelessMcpServer(
            self._load, RateLimiter(clock, burst=BURST, every_ms=EVERY_MS)
        )

    async def answer(self, context: RequestContext) -> HttpResponse:
        """POST /docs/_mcp/server."""
        try:
            self._base_of(context)
        except InvalidInput as error:
            return JsonRpcError(400, INVALID_REQUEST, str(error)).response
        return await self._server.answer(context)

    def _load(self) -> "McpTransport":
        from modelgates_server.web.mcp import docs_tools  # noqa: PLC0415 - see `StatelessMcpServer`

        return docs_tools.transport(self._site, self._base_of)
