"""Writing answers: the headers all of them carry, and the two messages that ASGI takes."""

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
"""What answers carry that say themselves how long they may be kept."""

ALWAYS = [(b"cache-control", b"no-store"), *CACHED]
"""What all others carry."""

# Without a length of their own (RFC 9110, 8.6).
_BODILESS = {204, 304}


class HttpResponse:
    """A whole answer: status, body, and the headers in addition to those in `always`."""

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
    """Writes an answer piece by piece, with status 200; its head goes out before the first piece.

    Pieces of several tasks leave whole, in the order of the calls. A client that has left makes no
    difference to the writer. `headers` are those of all answers, `on_start` is called with the
    head.
    """

    def __init__(self, send: Send, headers: Headers, on_start: Callable[[], None]) -> None:
        self.started = False
        self.written_at_s = 0.0
        """When the last piece was sent, by the clock of the event loop."""
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
        """Whether a piece waits for the client to read what came before it."""
        return self._order.locked()

    def prepare(self, headers: Headers, error_end: Callable[[ErrorReport], bytes]) -> None:
        """Set what the head has besides, and how the answer ends if it fails after its head."""
        self._headers = [*headers, *self._headers]
        self._error_end = error_end

    async def start(self) -> None:
        """Send the head, if it has not been sent."""
        async with self._order:
            await self._start()

    async def write(self, data: bytes) -> None:
        """Send a piece."""
        async with self._order:
            await self._start()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            self.written_at_s = self._clock()

    async def end(self) -> None:
        """Say that nothing more comes."""
        async with self._order:
            self._is_whole = True
            await self._send({"type": "http.response.body", "body": b""})
            self._has_ended = True

    async def fail(self, error: ErrorReport) -> None:
        """End an answer that has begun with its error; one that is whole gets its end alone."""
        if not self._is_whole and self._error_end is not None:
            await self.write(self._error_end(error))
        if not self._has_ended:
            await self.end()

    async def _start(self) -> None:
        if self.started:
            return
        await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
        # Not before: whoever is cancelled while it waits to send the head has sent nothing.
        self.started = True
        self.written_at_s = self._clock()
        self._on_start()


class StreamedResponse:
    """An answer of status 200 that `run` writes piece by piece, to its end.

    Until it has begun, `run` may give a whole answer in its place, and what it raises becomes a
    refusal with a status; afterwards, the error end that it has prepared.
    """

    __slots__ = ("run",)

    def __init__(self, run: Callable[[ResponseWriter], Awaitable[HttpResponse | None]]) -> None:
        self.run = run


async def send_response(send: Send, head: RequestHead, response: HttpResponse) -> None:
    """Send an answer; the server leaves the body out where the request was HEAD."""
    headers = [*response.headers, (b"x-request-id", head.request_id), *response.always]
    if response.status not in _BODILESS:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
