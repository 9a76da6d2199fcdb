"""Passes one message through the official library: calls its ASGI application."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import structlog
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolResult, TextContent
from pydantic import ValidationError
from starlette.requests import Request

from modelgates_server.core.keys import without_keys
from modelgates_server.web.errors import INTERNAL
from modelgates_server.web.members import quoted
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse, Message, Receive, Scope, Send

Context = ServerRequestContext[Any, Any]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_CONTEXT = "modelgates.context"
_ACCEPT = b"accept", b"application/json, text/event-stream"
"""The header that the library requires; `jsonrpc.check_headers` has checked the client's header."""

log = structlog.get_logger()


class McpTransport:
    """Responds to the messages of one MCP server."""

    def __init__(self, server: "Server[Any]") -> None:
        self._server = server
        self._server.middleware.insert(0, _contain)
        # The library logs every request, and every client error.
        logging.getLogger("mcp").setLevel(logging.ERROR)

    async def answer(self, context: RequestContext, message: bytes) -> HttpResponse:
        """Respond to a message that `jsonrpc.split` returned, without a body to a notification."""
        # Without sessions, a manager keeps nothing from one request to the next.
        manager = StreamableHTTPSessionManager(self._server, json_response=True, stateless=True)
        async with manager.run():
            headers = (each for each in context.request.scope["headers"] if each[0] != _ACCEPT[0])
            scope = {**context.request.scope, _CONTEXT: context, "headers": [*headers, _ACCEPT]}
            return await gathered(manager.handle_request, scope, message)


async def gathered(app: AsgiApp, scope: Scope, body: bytes) -> HttpResponse:
    """The response of an ASGI application to a request with this body."""
    received = [{"type": "http.request", "body": body, "more_body": False}]
    status, answer = 500, b""

    async def receive() -> Message:
        if not received:
            await anyio.sleep_forever()
        return received.pop()

    async def send(message: Message) -> None:
        nonlocal status, answer
        status = message.get("status", status)
        answer += message.get("body", b"")

    await app(scope, receive, send)
    return HttpResponse(status, answer, [JSON] if answer else [])


def request_of(context: Context) -> Request:
    """A message as the library received it."""
    request = context.request
    assert isinstance(request, Request), "all messages come from `McpTransport`"
    return request


def context_of(context: Context) -> RequestContext:
    """The HTTP request that contained a message."""
    request_context: RequestContext = request_of(context).scope[_CONTEXT]
    return request_context


def text_result(text: str, *, is_error: bool = False) -> CallToolResult:
    """The result of a tool as text."""
    text = without_keys(text) if is_error else text
    return CallToolResult(content=[TextContent(text=text)], is_error=is_error)


def unknown_tool(name: str) -> str:
    """The message of the error for a tool that does not exist."""
    return f"Unknown tool {quoted(name)}. `tools/list` lists the tools."


async def _contain(ctx: Context, call_next: CallNext) -> HandlerResult:
    """Log unexpected errors, and hide their details and all keys from the client."""
    try:
        return await call_next(ctx)
    except MCPError as error:
        # The library's errors have the name of an unknown method as their data.
        data = without_keys(error.data) if isinstance(error.data, str) else error.data
        raise MCPError(error.code, without_keys(error.message), data) from None
    except ValidationError:
        raise
    except Exception:
        request_id = context_of(ctx).head.text_id
        log.exception("mcp request failed", method=ctx.method, request_id=request_id)
        raise MCPError(INTERNAL_ERROR, INTERNAL) from None
