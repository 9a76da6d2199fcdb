"""The HTTP server: uvicorn, with the limits it leaves to proxies, and errors in our shape."""

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from modelgates_server.web.errors import error_body

HEAD_MAX_BYTES = 32 * 1024
"""Request line and headers together; a larger head is refused with 431."""


class BoundedProtocol(HttpToolsProtocol):
    """Bounds what a client can make us keep: head size, connections, time to send a request."""

    def __init__(
        self, *args: Any, request_timeout_s: int, max_connections: int, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._request_timeout_s = request_timeout_s
        self._max_connections = max_connections
        self._head_bytes = 0
        self._receiving = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or say that there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            self._end(503, "Service temporarily unavailable", b"retry-after: 1\r\n")
        else:
            self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; what is no request gets one answer and the connection ends."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            self._stop_deadline()
        elif self._receiving:
            if self._head_bytes > HEAD_MAX_BYTES and not self._head_is_whole():
                self._end(431, "Request header fields too large")
            elif self._deadline is None:
                self._start_deadline()
        elif self._deadline is not None:
            self._stop_deadline()

    def on_message_begin(self) -> None:
        """A request starts."""
        self._receiving = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole; one that arrived in one piece is measured here."""
        if self._head_bytes > HEAD_MAX_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > HEAD_MAX_BYTES:
                self._end(431, "Request header fields too large")
                return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._receiving = False
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser refused, in our shape."""
        self._end(400, msg)

    def _head_is_whole(self) -> bool:
        return "path" in self.scope

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(self._request_timeout_s, self._too_slow)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._end(408, "The request did not arrive in time")

    def _end(self, status: int, message: str, headers: bytes = b"") -> None:
        """Answer, unless an answer is on its way already, and close."""
        self._stop_deadline()
        body = error_body(status, message)
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(
                STATUS_LINE[status]
                + b"content-type: application/json\r\nconnection: close\r\n"
                + b"access-control-allow-origin: *\r\ncache-control: no-store\r\n"
                + headers
                + b"content-length: %d\r\n\r\n" % len(body)
                + body
            )
        self.transport.close()


class GatewayServer(uvicorn.Server):
    """Tells where it listens once it does."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[str], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        if self.started and sockets is None:
            self._on_started(url_of(self.config, self.servers[0].sockets[0]))


def url_of(config: uvicorn.Config, listener: Any) -> str:
    """The address of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if config.is_ssl else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def run(config: uvicorn.Config, on_started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, end what was accepted, then leave with exit code 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after a graceful end; for us that end is a success.
        signal.signal(number, _leave)
    if config.workers > 1:
        listener = config.bind_socket()
        on_started(url_of(config, listener))
        Multiprocess(config, sockets=[listener]).run()
    else:
        GatewayServer(config, on_started).run()


def configuration(
    app: Any,
    *,
    host: str,
    port: int,
    workers: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    shutdown_grace_s: int,
    request_timeout_s: int,
    max_connections: int,
) -> uvicorn.Config:
    """How uvicorn runs for us. With several workers, `app` is the import path of a factory."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=host,
        port=port,
        workers=workers,
        ssl_certfile=tls_cert,
        ssl_keyfile=None if tls_key is None else str(tls_key),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        loop="uvloop",
        http=cast(
            "type[asyncio.Protocol]",  # called like one
            partial(
                BoundedProtocol,
                request_timeout_s=request_timeout_s,
                max_connections=max_connections,
            ),
        ),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=shutdown_grace_s,
    )


def _leave(*_: object) -> None:
    raise SystemExit(0)
