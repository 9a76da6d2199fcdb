"""The HTTP server: one process, or several on one socket. SIGTERM and SIGINT end it with code 0.

SIGUSR2 restarts it without a failed call: see `web.http.handover`. SIGHUP is only logged.
"""

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
from types import FrameType
from typing import Any, cast

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from modelgates_server.core.errors import GatewayError, InvalidInput
from modelgates_server.web.http.accepting import HANDSHAKE_SPARED_S, Acceptor
from modelgates_server.web.http.connection import LimitedHttpProtocol
from modelgates_server.web.http.handover import Handover, open_listeners
from modelgates_server.web.http.limits import ConnectionLimits
from modelgates_server.web.request import ON_CONNECTION_REJECTED

log = structlog.get_logger()

UNSAVED = 75
"""Exit code of a process that could not save the ends of all its calls: EX_TEMPFAIL."""

_WORKER_SILENT_MAX_S = 30
_REFUSED_MAX = 256

Factory = Callable[[], Any]


def _always(_opening: int) -> bool:
    return True


class GatewayConfig(uvicorn.Config):
    """uvicorn's configuration, and what decides whether a connection is accepted."""

    def __init__(
        self,
        app: Any,
        *,
        open_max: int,
        has_room: Callable[[int], bool],
        handshake_timeout_s: int,
        **options: Any,
    ) -> None:
        """`has_room`: whether a file descriptor is left for a connection; see `Acceptor`."""
        super().__init__(app, **options)
        self.open_max = open_max
        self.has_room = has_room
        self.handshake_timeout_s = handshake_timeout_s


class GatewayServer(uvicorn.Server):
    """Calls `on_started` when it accepts requests.

    Connections wait while there is no room for them. At the end, idle connections get some time:
    their clients do not know yet, and a request that meets a closed connection fails.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_started: Callable[[], None],
        handover: Handover | None = None,
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._handover = handover
        self._acceptors: list[Acceptor] = []
        self._signals: list[int] = []
        if handover is not None:
            for number in (signal.SIGHUP, signal.SIGUSR2):
                signal.signal(number, lambda number, _: self._signals.append(number))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn, whose event loop accepts connections for which there is no descriptor."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self.servers = []  # uvicorn's; the acceptors do their work
        self._acceptors = [self._acceptor(listener) for listener in sockets or []]
        self.started = True
        self._on_started()

    def _acceptor(self, listener: socket.socket) -> Acceptor:
        config, connections = self.config, self.server_state.connections
        most, has_room, handshake_s = sys.maxsize, None, None
        if isinstance(config, GatewayConfig):
            most, has_room = config.open_max, config.has_room
            handshake_s = config.handshake_timeout_s

        def is_acceptable(opening: int) -> bool:
            return len(connections) + opening < most and (has_room is None or has_room(opening))

        return Acceptor(
            listener,
            partial(
                cast("Callable[..., asyncio.Protocol]", config.http_protocol_class),
                config=config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            ),
            has_room=is_acceptable,
            tls=config.ssl,
            handshake_timeout_s=handshake_s,
            on_slow_handshake=self._report_slow_handshake,
        )

    def _report_slow_handshake(self, address: Any) -> None:
        if report := self.lifespan.state.get(ON_CONNECTION_REJECTED):
            client = address[0] if isinstance(address, tuple) else None
            report(408, "The TLS handshake did not finish in time.", client)

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn, which calls this ten times a second."""
        if self._handover is not None:
            while self._signals:
                _obey(self._signals.pop(0), self._handover)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn."""
        if self._handover is not None:
            self._handover.give_up()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn, which would lose connections that wait in the system's queue."""
        for acceptor in self._acceptors:
            acceptor.close(self.config.backlog)
        if opening := {task for acceptor in self._acceptors for task in acceptor.opening}:
            _, unfinished = await asyncio.wait(opening, timeout=HANDSHAKE_SPARED_S)
            for task in unfinished:  # uvicorn would not tell these connections to end
                task.cancel()
        await super().shutdown(sockets)


class Worker(Process):
    """A server process of several. Signals are its parent's business."""

    @property
    def server(self) -> uvicorn.Server:
        """See uvicorn."""
        if self._server is None:
            self._server = GatewayServer(self.config, lambda: None)
        return self._server


class Workers(Multiprocess):
    """Notices a worker that dies during a health check, and closes the sockets when workers end.

    Calls `on_ready` once, when all workers accept requests.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        handover: Handover,
        on_ready: Callable[[], None],
    ) -> None:
        super().__init__(config, sockets)
        self._handover = handover
        self._on_ready: Callable[[], None] | None = on_ready

    def init_processes(self) -> None:
        """See uvicorn."""
        self.processes = [self._started() for _ in range(self.processes_num)]

    def terminate_all(self) -> None:
        """See uvicorn, which keeps the listening sockets open: clients would wait for nothing."""
        super().terminate_all()
        for listener in self.sockets:
            listener.close()

    def keep_subprocess_alive(self) -> None:
        """Start a new worker for each that died or is silent; stop if one cannot start."""
        for index, process in enumerate(self.processes):
            if self.should_exit.is_set() or process.is_alive(_WORKER_SILENT_MAX_S):
                continue
            process.kill()
            process.join()
            if process.exitcode == STARTUP_FAILURE:
                self.should_exit.set()
                return
            log.error("a server process died", pid=process.pid, exit_code=process.exitcode)
            self.processes[index] = self._started()
        if self._on_ready and all(process.is_ready() for process in self.processes):
            self._on_ready()
            self._on_ready = None

    def _started(self) -> Process:
        process = Worker(self.config, self.sockets)
        # A signal to the whole group must not kill a worker that has no handlers yet.
        handlers = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGHUP, signal.SIGUSR2)}
        process.start()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        # With a copy of the worker's end of the pipe, this process would wait for a dead worker.
        process.child_conn.close()
        return process

    def handle_int(self) -> None:
        """Stop."""
        self._handover.give_up()
        self.should_exit.set()

    handle_term = handle_int

    def handle_hup(self) -> None:
        """Say that nothing happens. uvicorn would start new workers with the old settings."""
        _obey(signal.SIGHUP, self._handover)

    def handle_usr2(self) -> None:
        """Restart."""
        _obey(signal.SIGUSR2, self._handover)

    def handle_ttin(self) -> None:
        """Do nothing. The number of workers is a setting."""

    handle_ttou = handle_ttin


def run(config: uvicorn.Config, on_started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, finish accepted requests, then exit with code 0.

    Raises `InvalidInput` if it cannot listen, `GatewayError` if its workers cannot start.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after a graceful end; here, that end is a success.
        signal.signal(number, _leave)
    origin = open_listeners(config.host, config.port, config.backlog, os.environ)
    with origin.listeners as listeners:
        url = listeners.url("https" if config.is_ssl else "http")
        handover = Handover(listeners)

        def started() -> None:
            on_started(url)
            origin.announce()

        if config.workers > 1:
            on_started(url)
            _run_workers(Workers(config, listeners.sockets, handover, origin.announce))
        else:
            GatewayServer(config, started, handover).run(sockets=listeners.sockets)


def _obey(number: int, handover: Handover) -> None:
    if number == signal.SIGUSR2:
        handover.begin()
    else:
        log.warning(
            "SIGHUP has no effect yet", remedy="send SIGUSR2 to restart without a failed call"
        )


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
    refused_max: int = _REFUSED_MAX,
    has_room: Callable[[int], bool] = _always,
) -> GatewayConfig:
    """The configuration of uvicorn. Each server process calls `app`, so it must be picklable.

    Above `max_connections`, connections are rejected, `refused_max` of them at a time. The next
    ones wait, and all of them while `has_room` says that no descriptor is free.

    Raises `InvalidInput` for an unusable certificate.
    """
    if tls_cert is not None:
        _check_tls(tls_cert, tls_key)
    limits = ConnectionLimits(request_timeout_s=request_timeout_s, max_connections=max_connections)
    return GatewayConfig(
        partial(_start_worker, app) if workers > 1 else app,
        open_max=max_connections + refused_max,
        has_room=has_room,
        handshake_timeout_s=request_timeout_s,
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


def _check_tls(cert: Path, key: Path | None) -> None:
    try:
        # With an empty password, a key that needs one fails instead of prompting on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:
        raise InvalidInput(
            f"Cannot use TLS certificate {cert} with key {key}: {error}. Both must be PEM files "
            "that belong together, and the key must not need a password."
        ) from error


def _run_workers(supervisor: Workers) -> None:
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
