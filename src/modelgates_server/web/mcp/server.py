"""A path at which an MCP server answers: streamable HTTP, without sessions and without streams.

The official library does the protocol, in all its versions. It takes half a second to import, so
that happens with the first request, off the event loop.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from modelgates_server.web.mcp.jsonrpc import (
    BODY_MAX_BYTES,
    JsonRpcError,
    Overloaded,
    check_headers,
    check_size,
    left_out,
    split,
)
from modelgates_server.web.mcp.rate_limit import RateLimiter
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse

if TYPE_CHECKING:
    from modelgates_server.web.mcp.transport import McpTransport

RUNNING_MAX = 32
"""Requests of one server that are answered at once, the batches as one; more are refused."""

BATCH_ANSWERS_BYTES = 512 * 1024
"""Once the answers of a batch have so many together, its other messages are refused."""


class StatelessMcpServer:
    """Answers the POST requests of one path; `load` imports the library, so call it in a thread.

    `rate_limiter` is for what needs no key, by the address of the connection: behind a proxy, all
    share what one client has.
    """

    def __init__(
        self, load: Callable[[], "McpTransport"], rate_limiter: RateLimiter | None = None
    ) -> None:
        self._load = load
        self._rate_limiter = rate_limiter
        self._transport: McpTransport | None = None
        self._loading = asyncio.Lock()
        self._running = 0

    async def answer(self, context: RequestContext) -> HttpResponse:
        """One answer for each message that wants one; what is no message gets a JSON-RPC error."""
        try:
            self._charge(context, 1)
            check_headers(context.headers)
            body = check_size(await context.body(BODY_MAX_BYTES))
            messages, is_batch = split(body, context.headers.get(b"mcp-protocol-version", b""))
            self._charge(context, len(messages) - 1)
            if self._running >= RUNNING_MAX:
                raise Overloaded(503, "Too many requests at once", 1)
        except JsonRpcError as error:
            return error.response
        self._running += 1
        try:
            responses = await self._responses(context, messages)
        finally:
            self._running -= 1
        return _batch(responses) if is_batch else responses[0]

    def _charge(self, context: RequestContext, count: int) -> None:
        if self._rate_limiter is None:
            return
        client = context.request.client
        if wait_s := self._rate_limiter.wait_s("" if client is None else client.host, count):
            raise Overloaded(429, "Rate limit exceeded", wait_s)

    async def _responses(
        self, context: RequestContext, messages: list[bytes]
    ) -> list[HttpResponse]:
        transport = await self._loaded()
        responses, size = list[HttpResponse](), 0
        for message in messages:
            if size < BATCH_ANSWERS_BYTES:
                responses.append(await transport.answer(context, message))
            else:
                responses.append(left_out(message))
            size += len(responses[-1].body)
        return responses

    async def _loaded(self) -> "McpTransport":
        async with self._loading:
            if self._transport is None:
                self._transport = await asyncio.to_thread(self._load)
        return self._transport


def _batch(responses: list[HttpResponse]) -> HttpResponse:
    bodies: list[Any] = [msgspec.Raw(response.body) for response in responses if response.body]
    return (
        HttpResponse(200, msgspec.json.encode(bodies), [JSON])
        if bodies
        else HttpResponse(202, b"", [])
    )
