"""A path at which an MCP server answers: streamable HTTP, without sessions and without streams.

The official library does the protocol, in all its versions. It takes half a second to import, so
that happens with the first request, beside the event loop.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from modelgates_server.web.mcp.messages import (
    BODY_MAX_BYTES,
    Refused,
    check_headers,
    check_size,
    refusal,
    split,
)
from modelgates_server.web.operations import Call
from modelgates_server.web.reply import JSON, Reply

if TYPE_CHECKING:
    from modelgates_server.web.mcp.exchange import Exchange

RUNNING_MAX = 32
"""Requests of an endpoint that are answered at once, the batches as one; more are refused."""


class Endpoint:
    """Answers the POST requests of one path; `load` imports the library, so call it in a thread."""

    def __init__(self, load: Callable[[], "Exchange"]) -> None:
        self._load = load
        self._exchange: Exchange | None = None
        self._loading = asyncio.Lock()
        self._running = 0

    async def answer(self, call: Call) -> Reply:
        """One answer for each message that wants one; what is no message gets a JSON-RPC error."""
        try:
            check_headers(call.headers)
            body = check_size(await call.body(BODY_MAX_BYTES))
            messages, is_batch = split(body, call.headers.get(b"mcp-protocol-version", b""))
        except Refused as refused:
            return refused.reply
        if self._running >= RUNNING_MAX:
            return refusal(503, "Too many requests at once", retry_after_s=1)
        self._running += 1
        try:
            exchange = await self._loaded()
            replies = [await exchange.answer(call, message) for message in messages]
        finally:
            self._running -= 1
        return _batch(replies) if is_batch else replies[0]

    async def _loaded(self) -> "Exchange":
        async with self._loading:
            if self._exchange is None:
                self._exchange = await asyncio.to_thread(self._load)
        return self._exchange


def _batch(replies: list[Reply]) -> Reply:
    bodies: list[Any] = [msgspec.Raw(reply.body) for reply in replies if reply.body]
    return Reply(200, msgspec.json.encode(bodies), [JSON]) if bodies else Reply(202, b"", [])
