"""The HTTP server: one process, or several on one socket. SIGTERM and SIGINT end it with code 0."""

import asyncio
import multiprocessing
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, cast

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from modelgates_server.core.errors import GatewayError, InvalidInput
from modelgates_server.web.http.connection import ConnectionLimits, LimitedHttpProtocol

log = structlog.get_logger()

UNSAVED = 75
"""Exit code of a process that could not save the ends of all its calls: EX_TEMPFAIL."""

_WORKER_SILENT_MAX_S = 30

Factory = Callable[[], Any]


class GatewayServer(uvicorn.Server):
    """Calls `on_started` when it accepts requests."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        if self.started:
            self._on_started()


class Workers(Multiprocess):
    """Notices a worker that dies during a health check, and closes the socket when workers end."""

    def terminate_all(self) -> None:
        """See uvicorn, which keeps the listening socket open: clients would wait for nothing."""
        super().terminate_all()
        for listener in self.sockets:
            listener.close()

    def keep_subprocess_alive(self) -> None:
        """See uvicorn, which keeps the worker's end of the pipe and so waits for a dead worker."""
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()


def run(config: uvicorn.Config, on_started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, finish accepted requests, then exit with code 0.

    Raises `InvalidInput` if it cannot listen, `GatewayError` if its workers cannot start.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after a graceful end; here, that end is a success.
        signal.signal(number, _leave)
    with _listen(config) as listener:
        url = _url_of(config, listener)
        if config.workers > 1:
            on_started(url)
            _run_workers(config, listener)
        else:
            GatewayServer(config, lambda: on_started(url)).run(sockets=[listener])


def configuration(
    app: Factory,
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
    """The configuration of uvicorn. Each server process calls `app`, so it must be picklable.

    Raises `InvalidInput` for an unusable certificate.
    """
    if tls_cert is not None:
        _check_tls(tls_cert, tls_key)
    limits = ConnectionLimits(request_timeout_s=request_timeout_s, max_connections=max_connections)
    return uvicorn.Config(
        partial(_start_worker, app) if workers > 1 else app,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        ssl_certfile=tls_cert,
        ssl_keyfile=None if tls_key is None else str(tls_key),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        loop="uvloop",
        http=cast(
            "type[asyncio.Protocol]",  # called like one
            partial(LimitedHttpProtocol, limits=limits),
        ),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing here needs the client's address.
        proxy_headers=False,
        timeout_graceful_shutdown=shutdown_grace_s,
        # A worker that is silent for longer is killed, even while it is starting.
        timeout_worker_healthcheck=_WORKER_SILENT_MAX_S,
    )


def _listen(config: uvicorn.Config) -> socket.socket:
    """Listen before anything else starts, so that a port in use is reported in one line."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server(
            (config.host, config.port), family=family, backlog=config.backlog
        )
    except OSError as error:
        number = error.errno or 0  # negative if the name look-up failed
        reason = os.strerror(number) if number > 0 else error.strerror
        raise InvalidInput(
            f"Cannot listen on {config.host}, port {config.port}: {reason}. "
            "Choose another address with --host and --port."
        ) from error


def _url_of(config: uvicorn.Config, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if config.is_ssl else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _check_tls(cert: Path, key: Path | None) -> None:
    try:
        # With an empty password, a key that needs one fails instead of prompting on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:
        raise InvalidInput(
            f"Cannot use TLS certificate {cert} with key {key}: {error}. Both must be PEM files "
            "that belong together, and the key must not need a password."
        ) from error


def _run_workers(config: uvicorn.Config, listener: socket.socket) -> None:
    supervisor = Workers(config, sockets=[listener])
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise GatewayError("A server process could not start. Find the reason in the log.")
    if any(process.exitcode == UNSAVED for process in supervisor.processes):
        sys.exit(UNSAVED)


def _start_worker(factory: Factory) -> Any:
    """Build the application of a worker; if that fails, uvicorn must not retry forever."""
    Thread(target=_end_with_parent, daemon=True).start()
    try:
        return factory()
    except GatewayError as error:
        log.error("cannot start", reason=str(error))  # noqa: TRY400 - one clear line
    except Exception:
        log.exception("cannot start")
    sys.exit(STARTUP_FAILURE)


def _end_with_parent() -> None:
    """End the worker with its parent: after a kill, orphans would keep the port forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "uvicorn starts workers as child processes"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(*_: object) -> None:
    raise SystemExit(0)
