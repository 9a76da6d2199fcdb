"""One HTTP connection: uvicorn's, with the limits that uvicorn leaves to proxies.

A client can make the server keep some tens of KiB and wait for half a minute, no more. Invalid
HTTP gets one response and ends the connection, after the responses to requests accepted before it.
`web.http.limits` says how long a client may take.
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
from modelgates_server.web.http.framing import body_lines, check_head, continued_parser
from modelgates_server.web.http.limits import (
    BODY_BYTES_PER_S,
    IDLE_MAX_S,
    LINGER_S,
    READ_BYTES_PER_S,
    STALL_TIMES,
    STOP_IDLE_MAX_S,
    STOP_S,
    ConnectionLimits,
    Turn,
)
from modelgates_server.web.http.transport import CoalescingTransport
from modelgates_server.web.request import CLIENT_HAS_LEFT, ON_CONNECTION_REJECTED
from modelgates_server.web.response import ALWAYS, JSON

HEAD_MAX_BYTES = 32 * 1024
"""Limit of the request line and headers together. A head up to one piece larger may pass."""

HEADERS_MAX = 100

PIPELINE_MAX = 16
"""Requests that may wait on one connection while an earlier one runs; one more ends it."""

_PIECE_BYTES = 8 * 1024
_DISCARD_MAX_BYTES = 1024 * 1024
_REFUSED_MAX = 256
_RESET_AT_ONCE = struct.pack("ii", 1, 0)


class _Trailers(list[tuple[bytes, bytes]]):
    """A list that ignores trailers."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        """Do nothing."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """uvicorn's callbacks; a request that arrives in one piece costs almost nothing extra."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._whole: object = None  # the scope of the last request that arrived whole
        self._running: RequestResponseCycle | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._sends_no_more = False
        self._skipped_body = b""
        self._unplaced_bytes = 0  # received since the last bit of a body or the end of a request
        self._discarded_bytes = 0
        self._received_bytes = 0  # of bodies
        self._timeout_s = limits.request_timeout_s
        self._stopping = False
        self.since_s = 0.0
        self.used = 0
        self._turn: Turn | None = Turn.BEGIN
        self._turn_scope: object = None
        self._moved_before = self._moved_last = 0
        self._moved_at_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or respond that there are too many."""
        coalescing = CoalescingTransport(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", coalescing))
        self.since_s = now_s = self.loop.time()
        self._limits.watch(self.connections, self.loop)
        most = self._limits.max_connections
        if len(self.connections) <= most or self._limits.make_room(self.connections, self, now_s):
            return
        if len(self.connections) - most > _REFUSED_MAX:
            transport.abort()
        else:
            message = "The server has too many connections. Retry in one second."
            self._end(503, message, [(b"retry-after", b"1")])

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, many of them in pieces, so that parsing can stop in time."""
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
            # Ignored, as RFC 9110 (7.8) allows: the rest is HTTP as before.
            if lines := self._skipped_body:
                self._skipped_body = b""
                self.parser = continued_parser(self, lines)
            self.data_received(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(error.__context__)
        if self.scope is not self._whole:
            self._unplaced_bytes += len(data)
            if self._unplaced_bytes > HEAD_MAX_BYTES and not self._ended:
                self._end(
                    431, f"The request headers are too large. Send at most {HEAD_MAX_BYTES} bytes."
                )

    def on_headers_complete(self) -> None:
        """Start the request, or queue it behind the one that is running."""
        if len(self.headers) > HEADERS_MAX:
            raise HttpError(
                431, f"The request has too many headers. Send at most {HEADERS_MAX} headers."
            )
        if len(self.pipeline) >= PIPELINE_MAX:
            raise HttpError(
                503,
                f"More than {PIPELINE_MAX} requests are waiting on this connection. "
                "Wait for their responses before you send more.",
            )
        check_head(self.parser.get_http_version(), self.headers)
        if self.parser.should_upgrade():
            self._skipped_body = body_lines(self.headers)
        super().on_headers_complete()
        if self._stopping:
            self.cycle.keep_alive = False
        # From here on, `on_header` receives trailers, not headers: they might pretend to be
        # Authorization, and their number has no limit.
        self.headers = _Trailers()

    def on_body(self, body: bytes) -> None:
        """Receive a part of the body. After the response it is discarded, up to a limit."""
        self._unplaced_bytes = 0
        self._received_bytes += len(body)
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > _DISCARD_MAX_BYTES:
                raise HttpError(413, "Request payload too large")
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request arrived whole."""
        if self._skipped_body:  # the parser left it to the protocol that `Upgrade` names
            return
        self._whole = self.scope
        self._unplaced_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the next request. uvicorn would set a timer here; see `ConnectionLimits`."""
        self.server_state.total_requests += 1
        self.used = self.server_state.total_requests
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. It may still read: accepted requests get their responses."""
        self._sends_no_more = True
        running = self._running
        if running is None or running.response_complete or not self.transport.can_write_eof():
            return False
        if not self._ended:
            self._end(400, "The connection ended before the whole request arrived.")
        return not running.disconnected

    def shutdown(self) -> None:
        """The server stops: the next response is the last. uvicorn closes idle connections at once.

        A request that is on its way would then fail, and it may be one that nobody repeats.
        Requests that have begun may finish; see `limits.STOP_S`.
        """
        self._stopping = True
        self._timeout_s = min(self._timeout_s, STOP_S)
        self._turn = None  # a new turn begins
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def _client_has_left(self) -> bool:
        """Whether the client is gone or sends no more: nearly always the same, and all we see."""
        return self._sends_no_more or self.transport.is_closing()

    def check(self, now_s: float) -> None:
        """End the connection if its client takes too long."""
        turn = self.turn(now_s)
        if turn is None:
            return
        if now_s - self.since_s >= self._patience_s(turn) or self._is_stalled(turn, now_s):
            self._give_up(turn)

    def turn(self, now_s: float) -> Turn | None:
        """The step that the client has to take; None if it waits for the server."""
        turn = self._current_turn()
        if turn is not self._turn or self.scope is not self._turn_scope:
            self._turn, self._turn_scope, self.since_s = turn, self.scope, now_s
            self._moved_before = self._moved_last = self._moved_bytes(turn)
            self._moved_at_s = now_s
        return turn

    def _current_turn(self) -> Turn | None:
        if self.transport.get_write_buffer_size():
            return Turn.READ
        if self.transport.is_closing():
            return Turn.LEAVE  # with TLS a client may never confirm that the connection is closed
        running = self._running
        busy = running is not None and not (running.response_complete or running.disconnected)
        if self._ended:
            return None if busy else Turn.LEAVE
        if self.scope is self._whole:
            return None if busy else Turn.BEGIN
        is_head = self.cycle is None or self.cycle.scope is not self.scope
        return Turn.BEGIN if is_head or not busy else Turn.SEND_BODY

    def _moved_bytes(self, turn: Turn | None) -> int:
        if turn is Turn.READ:
            return cast("CoalescingTransport", self.transport).sent_bytes
        return self._received_bytes

    def _patience_s(self, turn: Turn) -> float:
        if turn is Turn.LEAVE:
            return LINGER_S
        if self.scope is self._whole and turn is Turn.BEGIN:
            if self._stopping:
                return STOP_IDLE_MAX_S
            if self.scope is not None:
                return IDLE_MAX_S
        # No rate for a head: its size is limited.
        rate = READ_BYTES_PER_S if turn is Turn.READ else BODY_BYTES_PER_S
        return self._timeout_s + (self._moved_bytes(turn) - self._moved_before) / rate

    def _is_stalled(self, turn: Turn, now_s: float) -> bool:
        """Whether nothing of a body or of a response has moved for a long time."""
        if turn not in (Turn.SEND_BODY, Turn.READ):
            return False
        moved = self._moved_bytes(turn)
        if moved != self._moved_last:
            self._moved_last, self._moved_at_s = moved, now_s
        return now_s - self._moved_at_s >= STALL_TIMES * self._timeout_s

    def _give_up(self, turn: Turn) -> None:
        if turn in (Turn.READ, Turn.LEAVE):
            # With a reset, otherwise the kernel would keep sending the response for minutes.
            client = self.transport.get_extra_info("socket")
            with suppress(OSError):  # the client has left already
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
            self.drop()
        elif self.scope is not self._whole:
            self._end(
                408,
                f"The request did not arrive within {self._timeout_s} seconds, and one more for "
                f"each {BODY_BYTES_PER_S // 1024} KiB of its body.",
            )
        else:
            # Idle. A response without a request would be read as that of the next request.
            self.transport.close()

    def drop(self) -> None:
        """End the connection now, without a word."""
        self.connections.discard(self)
        self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        cycle.scope[CLIENT_HAS_LEFT] = self._client_has_left  # type: ignore[literal-required]
        self._task = task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _refuse(self, cause: BaseException | None) -> None:
        """Respond after the parser stopped, by itself or because a callback raised."""
        if isinstance(cause, HttpError):
            self._end(cause.status, str(cause))
        else:
            self._end(400, "The request is not valid HTTP.")

    def _end(self, status: int, message: str, headers: Headers | None = None) -> None:
        """Read no more. Reject the arriving request, or finish those accepted before it."""
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
        """Hide the rest of a request from the application, and cancel a task that has not begun."""
        arriving.disconnected = True
        arriving.message_event.set()
        assert self._task is not None, "a request with none before it is running"
        coroutine = cast("Coroutine[Any, Any, None]", self._task.get_coro())
        if getcoroutinestate(coroutine) == CORO_CREATED:
            self._task.cancel()

    def _write_refusal(self, status: int, message: str, headers: Headers) -> None:
        if report := self.app_state.get(ON_CONNECTION_REJECTED):
            report(status, message, self.client[0] if self.client else None)
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
            # Read and discard what the client is still sending for a while: closing at once would
            # reset the connection, and the client might never see the response.
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()
