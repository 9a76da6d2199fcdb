"""Writing answers: the headers all of them carry, and the two messages that ASGI takes."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from modelgates_server.web.head import Head, Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = (b"content-type", b"application/json")

ALWAYS = [
    (b"cache-control", b"no-store"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
    (b"x-content-type-options", b"nosniff"),
]


class Reply:
    """A whole answer: status, body, and the headers beside those every answer has."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, headers: Headers | None = None) -> None:
        self.status = status
        self.body = body
        self.headers = [JSON] if headers is None else headers


async def send_reply(send: Send, head: Head, reply: Reply) -> None:
    """Send an answer; the server leaves the body out where the request was HEAD."""
    headers = [*reply.headers, (b"x-request-id", head.request_id), *ALWAYS]
    if reply.status != 204:  # noqa: PLR2004 - which may not have one (RFC 9110, 8.6)
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
