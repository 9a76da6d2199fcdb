"""Writing answers: the headers all of them carry, and the two messages that ASGI takes."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from modelgates_server.web.head import Head, Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = (b"content-type", b"application/json")

CACHED = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
    (b"x-content-type-options", b"nosniff"),
]
"""What answers carry that say themselves how long they may be kept."""

ALWAYS = [(b"cache-control", b"no-store"), *CACHED]
"""What all others carry."""

# Without a length of their own (RFC 9110, 8.6).
_BODILESS = {204, 304}


class Reply:
    """A whole answer: status, body, and the headers beside those in `always`."""

    __slots__ = ("always", "body", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        headers: Headers | None = None,
        always: Headers = ALWAYS,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = [JSON] if headers is None else headers
        self.always = always


Write = Callable[[bytes], Awaitable[None]]


class Stream:
    """An answer of status 200 that `run` writes piece by piece; `close` comes after its end."""

    __slots__ = ("close", "headers", "run", "status")

    def __init__(
        self,
        headers: Headers,
        run: Callable[[Write], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.status = 200
        self.headers = headers
        self.run = run
        self.close = close


async def send_stream(send: Send, head: Head, stream: Stream) -> None:
    """Send an answer as it is written; a client that has left makes no difference to the writer."""

    async def write(data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})

    headers = [*stream.headers, (b"x-request-id", head.request_id), *ALWAYS]
    try:
        await send({"type": "http.response.start", "status": stream.status, "headers": headers})
        await stream.run(write)
        await send({"type": "http.response.body", "body": b""})
    finally:
        await stream.close()


async def send_reply(send: Send, head: Head, reply: Reply) -> None:
    """Send an answer; the server leaves the body out where the request was HEAD."""
    headers = [*reply.headers, (b"x-request-id", head.request_id), *reply.always]
    if reply.status not in _BODILESS:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
