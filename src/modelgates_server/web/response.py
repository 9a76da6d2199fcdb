"""Writes responses: the headers that all of them have, and the two messages of ASGI."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.web.head import Headers, RequestHead

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
"""Headers of responses that set their own `Cache-Control`."""

ALWAYS = [(b"cache-control", b"no-store"), *CACHED]
"""Headers of all other responses."""

PRIVATE = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
"""Headers of responses that no page of another site may read."""

# Statuses without a Content-Length (RFC 9110, 8.6).
_BODILESS = {204, 304}


class HttpResponse:
    """A whole response: status, body, and the headers in addition to those in `always`."""

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


class ResponseWriter:
    """Writes a response of status 200 in pieces; the head is sent before the first piece.

    Several tasks may write: each piece is sent whole, in the order of the calls. Writing continues
    after the client has left. `headers` are those of all responses; `on_start` is called when the
    head is sent.
    """

    def __init__(self, send: Send, headers: Headers, on_start: Callable[[], None]) -> None:
        self.started = False
        self.written_at_s = 0.0
        """Time at which the last piece was sent, by the clock of the event loop."""
        self._send = send
        self._headers = headers
        self._error_end: Callable[[ErrorReport], bytes] | None = None
        self._is_whole = False
        self._has_ended = False
        self._on_start = on_start
        self._order = asyncio.Lock()
        self._clock = asyncio.get_running_loop().time

    @property
    def is_writing(self) -> bool:
        """Whether a piece waits for the client to read earlier ones."""
        return self._order.locked()

    def prepare(self, headers: Headers, error_end: Callable[[ErrorReport], bytes]) -> None:
        """Set additional headers, and the end of a response that fails after its head."""
        self._headers = [*headers, *self._headers]
        self._error_end = error_end

    async def start(self) -> None:
        """Send the head, unless it was sent."""
        async with self._order:
            await self._start()

    async def write(self, data: bytes) -> None:
        """Send a piece."""
        async with self._order:
            await self._start()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            self.written_at_s = self._clock()

    async def end(self) -> None:
        """End the response."""
        async with self._order:
            self._is_whole = True
            await self._send({"type": "http.response.body", "body": b""})
            self._has_ended = True

    async def fail(self, error: ErrorReport) -> None:
        """End a response that has begun with an error; a complete one is only ended."""
        if not self._is_whole and self._error_end is not None:
            await self.write(self._error_end(error))
        if not self._has_ended:
            await self.end()

    async def _start(self) -> None:
        if self.started:
            return
        await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
        # Not earlier: a task cancelled while it waits to send the head has sent nothing.
        self.started = True
        self.written_at_s = self._clock()
        self._on_start()


class StreamedResponse:
    """A response of status 200 that `run` writes in pieces, to its end.

    Before the first piece, `run` may return a whole response instead, and an exception becomes an
    error response with its status. Later, an exception becomes the error end that `run` prepared.
    """

    __slots__ = ("run",)

    def __init__(self, run: Callable[[ResponseWriter], Awaitable[HttpResponse | None]]) -> None:
        self.run = run


async def send_response(send: Send, head: RequestHead, response: HttpResponse) -> None:
    """Send a response; the server omits the body in response to HEAD."""
    headers = [*response.headers, (b"x-request-id", head.request_id), *response.always]
    if response.status not in _BODILESS:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
