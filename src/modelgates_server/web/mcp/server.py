"""The path of an MCP server: streamable HTTP, without sessions and without streams.

The official library implements the protocol in all its versions. Its import takes half a second, so
the first request triggers it, off the event loop.
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
from modelgates_server.web.rate_limit import RateLimiter
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse

if TYPE_CHECKING:
    from modelgates_server.web.mcp.transport import McpTransport

RUNNING_MAX = 32
"""Requests that one server processes at once, each batch as one; more are rejected."""

BATCH_ANSWERS_BYTES = 512 * 1024
"""Once the responses to a batch reach this size together, its other messages are rejected."""


class StatelessMcpServer:
    """Responds to the POST requests of one path. `load` imports the library: call it in a thread.

    `rate_limiter` is for paths that need no key. It counts by the address of the connection, so all
    clients behind a proxy share the limit of one.
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
        """Respond to each message that expects it, and to an invalid one with a JSON-RPC error."""
        try:
            self._charge(context, 1)
            check_headers(context.headers)
            body = check_size(await context.body(BODY_MAX_BYTES))
            messages, is_batch = split(body, context.headers.get(b"mcp-protocol-version", b""))
            self._charge(context, len(messages) - 1)
            if self._running >= RUNNING_MAX:
                message = "The server is processing too many requests. Retry in one second."
                raise Overloaded(503, message, 1)
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
            raise Overloaded(429, f"Rate limit exceeded. Retry in {wait_s} s.", wait_s)

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
