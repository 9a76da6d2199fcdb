"""The documentation for assistants: POST /docs/_mcp/server, open to everybody.

Host and Origin are not looked at: a page of another site that is made to reach us, by whatever
name, reads what any visitor reads.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from modelgates_server.core.errors import InvalidInput
from modelgates_server.service.ports import Clock
from modelgates_server.web.mcp.jsonrpc import INVALID_REQUEST, JsonRpcError
from modelgates_server.web.mcp.rate_limit import RateLimiter
from modelgates_server.web.mcp.server import StatelessMcpServer
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

if TYPE_CHECKING:
    from modelgates_server.docsite.site import Site
    from modelgates_server.web.mcp.transport import McpTransport

BURST = 200
EVERY_MS = 100
"""An answer takes one or two ms, a search up to ten: a tenth of a core for who asks the worst."""


class DocsMcp:
    """The operation. `site` makes the pages when they are first asked for, and keeps them.

    `base_of` tells the address at which the caller reaches us, such as `https://example.com/llm`,
    and raises `InvalidInput` where that cannot be told.
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
