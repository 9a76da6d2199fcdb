"""One HTTP connection: uvicorn's, with the limits that it leaves to proxies.

A client can make us keep some tens of KiB and wait for half a minute, not more. What is no request
gets one answer and the connection ends; requests that were accepted before it are answered first.
"""

import asyncio
import socket
import struct
from collections.abc import Coroutine
from contextlib import suppress
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.web.errors import HttpError
from modelgates_server.web.head import Headers, new_request_id
from modelgates_server.web.http.transport import CoalescingTransport
from modelgates_server.web.request import CLIENT_HAS_LEFT
from modelgates_server.web.response import ALWAYS, JSON

HEAD_MAX_BYTES = 32 * 1024
"""Request line and headers together. A head may pass that is larger by less than a piece."""

HEADERS_MAX = 100

PIPELINE_MAX = 16
"""Requests that wait on one connection while an earlier one runs; after them it ends."""

IDLE_MAX_S = 75
"""Longer than the 60 s after which common proxies let go of an idle connection themselves."""

_PIECE_BYTES = 8 * 1024
_DISCARD_MAX_BYTES = 1024 * 1024
_REFUSED_MAX = 256
_LINGER_S = 2
_LOOK_EVERY_S = 0.5
_RESET_AT_ONCE = struct.pack("ii", 1, 0)


class ConnectionLimits:
    """What a process grants its connections. It looks at all of them twice a second.

    Timers of their own would be set and cancelled for every request; this costs requests nothing.
    """

    def __init__(self, *, request_timeout_s: int, max_connections: int) -> None:
        self.request_timeout_s = request_timeout_s
        self.max_connections = max_connections
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connections: set[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Look at the connections until there are none."""
        if self._timer is None:
            self._timer = loop.call_later(_LOOK_EVERY_S, self._look, connections, loop)

    def _look(self, connections: set[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if connections:
            self.watch(connections, loop)
        now_s = loop.time()
        for connection in tuple(connections):
            connection.check(now_s)


class _Trailers(list[tuple[bytes, bytes]]):
    """Forgets what is appended."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        """Forget it."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """uvicorn's callbacks; a request that arrives in one piece costs next to nothing more."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._whole: object = None  # the scope of the last request that arrived whole
        self._running: RequestResponseCycle | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._sends_no_more = False
        self._unplaced_bytes = 0  # received since the last bit of a body or the end of a request
        self._discarded_bytes = 0
        self._waiting: tuple[float, int, int] | None = None
        self._waiting_scope: object = None
        self._waiting_since_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or say that there are too many."""
        coalescing = CoalescingTransport(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", coalescing))
        self._limits.watch(self.connections, self.loop)
        excess = len(self.connections) - self._limits.max_connections
        if excess > _REFUSED_MAX:
            transport.abort()
        elif excess > 0:
            self._end(503, "Too many connections", [(b"retry-after", b"1")])

    def data_received(self, data: bytes) -> None:
        """Take bytes; many at once are taken in pieces, so that we can stop in time."""
        if len(data) > _PIECE_BYTES:
            for start in range(0, len(data), _PIECE_BYTES):
                self.data_received(data[start : start + _PIECE_BYTES])
        # With TLS, data may still come after the connection was closed.
        elif not self._ended and not self.transport.is_closing():
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Ignored, as RFC 9110 (7.8) allows: what follows is HTTP as before.
            self.data_received(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(error.__context__)
        if self.scope is not self._whole:
            self._unplaced_bytes += len(data)
            if self._unplaced_bytes > HEAD_MAX_BYTES and not self._ended:
                self._end(431, "Request header fields too large")

    def on_headers_complete(self) -> None:
        """The head is whole: start the request, or queue it behind the one that runs."""
        if len(self.headers) > HEADERS_MAX:
            raise HttpError(431, "Too many request header fields")
        if len(self.pipeline) >= PIPELINE_MAX:
            raise HttpError(503, "Too many requests at once")
        super().on_headers_complete()
        # From here on `on_header` brings trailers, which are no headers: they might claim to be
        # Authorization, and there is no end to them.
        self.headers = _Trailers()

    def on_body(self, body: bytes) -> None:
        """A bit of the body. What comes after the answer is dropped, up to a point."""
        self._unplaced_bytes = 0
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > _DISCARD_MAX_BYTES:
                raise HttpError(413, "Request payload too large")
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._whole = self.scope
        self._unplaced_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on to the next request. uvicorn would set a timer here; see `ConnectionLimits`."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. It may still be reading: what was accepted is answered."""
        self._sends_no_more = True
        running = self._running
        if running is None or running.response_complete or not self.transport.can_write_eof():
            return False
        if not self._ended:
            self._end(400, "The request did not arrive whole")
        return not running.disconnected

    def _client_has_left(self) -> bool:
        """Gone, or it sends no more: nearly always the same, and nothing else is seen of it."""
        return self._sends_no_more or self.transport.is_closing()

    def check(self, now_s: float) -> None:
        """End the connection if nothing has moved for too long. Not while we owe the client."""
        unsent = self.transport.get_write_buffer_size()
        limit_s = self._timeout_s(unsent)
        waiting = None if limit_s is None else (limit_s, unsent, id(self.scope))
        if limit_s is None or waiting != self._waiting:
            self._waiting, self._waiting_since_s = waiting, now_s
            self._waiting_scope = self.scope  # so that no other gets its id
        elif now_s - self._waiting_since_s >= limit_s:
            self._give_up(unsent)

    def _timeout_s(self, unsent: int) -> float | None:
        if unsent:
            return self._limits.request_timeout_s
        if self.transport.is_closing():
            return _LINGER_S  # with TLS a client may never answer that it has heard so
        busy = self._running is not None and not self._running.response_complete
        if self._ended:
            return None if busy else _LINGER_S
        if self.scope is not self._whole or self.scope is None:
            return self._limits.request_timeout_s
        return None if busy else IDLE_MAX_S

    def _give_up(self, unsent: int) -> None:
        if unsent or self._ended or self.transport.is_closing():
            # With a reset, or the kernel would go on offering the answer for minutes.
            client = self.transport.get_extra_info("socket")
            with suppress(OSError):  # it has gone by itself
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
            self.transport.abort()
        elif self.scope is not self._whole:
            self._end(408, "The request did not arrive in time")
        else:
            # Idle. An answer that nobody asked for would be taken for the next request's.
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        cycle.scope[CLIENT_HAS_LEFT] = self._client_has_left  # type: ignore[literal-required]
        self._task = task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _refuse(self, cause: BaseException | None) -> None:
        """The parser stopped, on its own or because a callback raised."""
        if isinstance(cause, HttpError):
            self._end(cause.status, str(cause))
        else:
            self._end(400, "The request is not valid HTTP")

    def _end(self, status: int, message: str, headers: Headers | None = None) -> None:
        """Read no more. Refuse what is arriving, or finish what was accepted before it."""
        self._ended = True
        arriving = None
        if self.cycle is not None and self.cycle.scope is self.scope is not self._whole:
            arriving = self.cycle
        running = self._running
        if running is not None and running is not arriving and not running.response_complete:
            if arriving is not None:
                self.pipeline.popleft()
            last = self.pipeline[0][0] if self.pipeline else running
            last.keep_alive = False
        elif arriving is None or not arriving.response_started:
            if arriving is not None:
                self._disown(arriving)
            self._write_refusal(status, message, headers or [])
        else:
            self.transport.close()

    def _disown(self, arriving: RequestResponseCycle) -> None:
        """Let the application see no more of a request, and do nothing if it has not begun it."""
        arriving.disconnected = True
        arriving.message_event.set()
        assert self._task is not None, "a request that nothing runs before it is running"
        coroutine = cast("Coroutine[Any, Any, None]", self._task.get_coro())
        if getcoroutinestate(coroutine) == CORO_CREATED:
            self._task.cancel()

    def _write_refusal(self, status: int, message: str, headers: Headers) -> None:
        body = OPENAI_CHAT.error_body(ErrorReport(status, message))
        lines = [
            *self.server_state.default_headers,
            JSON,
            *headers,
            (b"x-request-id", new_request_id()),
            *ALWAYS,
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        head = b"".join(b"%b: %b\r\n" % line for line in lines)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        if self.transport.can_write_eof():
            # What the client is still sending is read and dropped for a while: closing at once
            # would reset the connection, and the client might never see the answer.
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()
