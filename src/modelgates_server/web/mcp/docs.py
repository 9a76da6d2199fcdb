"""The documentation for assistants: POST /docs/_mcp/server, open to everybody.

Host and Origin are not looked at: a page of another site that is made to reach us, by whatever
name, reads what any visitor reads.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from modelgates_server.service.ports import Clock
from modelgates_server.web.mcp.endpoint import Endpoint
from modelgates_server.web.mcp.limits import Throttle
from modelgates_server.web.mcp.messages import refusal
from modelgates_server.web.operations import Call
from modelgates_server.web.reply import Reply

if TYPE_CHECKING:
    from modelgates_server.web.docs.site import Site
    from modelgates_server.web.mcp.exchange import Exchange

BURST = 300
EVERY_MS = 20
"""An answer takes one or two ms."""


class DocsMcp:
    """The operation. `site` makes the pages when they are first asked for, and keeps them.

    `base_of` tells the address at which the caller reaches us, such as `https://example.com/llm`,
    and raises `InvalidInput` where that cannot be told.
    """

    def __init__(
        self,
        site: Callable[[], Awaitable["Site"]],
        base_of: Callable[[Call], str],
        clock: Clock,
    ) -> None:
        self._site = site
        self._base_of = base_of
        # By the address of the connection: behind a proxy, all share what one client has.
        self._throttle = Throttle(clock, burst=BURST, every_ms=EVERY_MS)
        self._endpoint = Endpoint(self._load)

    async def answer(self, call: Call) -> Reply:
        """POST /docs/_mcp/server."""
        client = call.request.client
        if wait_s := self._throttle.wait_s("" if client is None else client.host):
            return refusal(429, "Rate limit exceeded", retry_after_s=wait_s)
        self._base_of(call)
        return await self._endpoint.answer(call)

    def _load(self) -> "Exchange":
        from modelgates_server.web.mcp import docs_tools  # noqa: PLC0415 - see `Endpoint`

        return docs_tools.exchange(self._site, self._base_of)
