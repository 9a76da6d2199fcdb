"""A restart in which a new process takes over the listening sockets, so that no call fails.

The new process runs whatever program and settings are on the disk by then. It inherits the sockets,
and says that it is ready through a pipe. Only then does the old process stop accepting; it finishes
its calls and ends. If the new process fails, the old one carries on.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from threading import Thread, Timer
from typing import NamedTuple

import structlog

from modelgates_server.core.errors import GatewayError
from modelgates_server.telemetry.metrics import MULTIPROCESS_DIR
from modelgates_server.web.http.listening import Listeners, adopt, listen, passed_by_systemd

log = structlog.get_logger()

_INHERITED = "_MODELGATES_INHERITED"
"""The parent's process id, whether the files of unix sockets go along (0 or 1), and the descriptors
of the pipe and the sockets."""
_START_MAX_S = 300
_READY = b"1"


class ListenerOrigin(NamedTuple):
    """Where the listening sockets come from, and who waits for the server to be ready."""

    listeners: Listeners
    pipe: int | None = None

    def announce(self) -> None:
        """Reports to the process to be replaced, or to systemd, that this server accepts requests.

        Raises `GatewayError` if the process to be replaced was stopped: nobody wants a new one.
        """
        if self.pipe is None:
            notify_systemd("READY=1")
            return
        try:
            os.write(self.pipe, _READY)
        except BrokenPipeError:
            raise GatewayError("The server was stopped while this process started.") from None
        finally:
            os.close(self.pipe)


def open_listeners(
    host: str, port: int, backlog: int, environment: MutableMapping[str, str]
) -> ListenerOrigin:
    """Inherits the listening sockets, or listens. Raises `InvalidInput` if it cannot."""
    inherited = environment.pop(_INHERITED, "").split(",")
    systemd = passed_by_systemd(environment)
    if inherited[0] == str(os.getppid()):
        owns_files, pipe, *sockets = map(int, inherited[1:])
        os.set_inheritable(pipe, False)
        return ListenerOrigin(adopt(sockets, owns_files=bool(owns_files)), pipe)
    if systemd:
        return ListenerOrigin(adopt(systemd, owns_files=False))
    return ListenerOrigin(listen(host, port, backlog))


class Handover:
    """Starts this program again, with its sockets, and ends this process when that one is ready."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._child: subprocess.Popen[bytes] | None = None
        self._is_done = False
        self._is_given_up = False

    def begin(self) -> None:
        """Start the new process, unless one is starting already or nothing would keep it alive."""
        if self._child is not None:
            log.warning("a restart is in progress", pid=self._child.pid)
        elif reason := _reason_against():
            log.error("cannot restart", reason=reason)
        else:
            self._start()

    def give_up(self) -> None:
        """The operator stops the server: a process that is not ready yet must not replace it."""
        self._is_given_up = True
        if self._child is not None and not self._is_done:
            self._child.terminate()

    def _start(self) -> None:
        ours, theirs = os.pipe()
        descriptors = [theirs, *(listener.fileno() for listener in self._listeners.sockets)]
        environment = {
            **{name: value for name, value in os.environ.items() if name != MULTIPROCESS_DIR},
            _INHERITED: ",".join(
                map(str, (os.getpid(), int(self._listeners.owns_files), *descriptors))
            ),
        }
        try:
            self._child = subprocess.Popen(  # noqa: S603 - the command that started this process
                [sys.executable, *sys.orig_argv[1:]], env=environment, pass_fds=descriptors
            )
        except OSError as error:
            os.close(ours)
            log.error("cannot restart", reason=str(error))  # noqa: TRY400 - one clear line
            return
        finally:
            os.close(theirs)
        log.info("restarting", pid=self._child.pid)
        Thread(target=self._await, args=(self._child, ours), daemon=True).start()

    def _await(self, child: subprocess.Popen[bytes], pipe: int) -> None:
        too_late = Timer(_START_MAX_S, child.kill)
        too_late.daemon = True
        too_late.start()
        is_ready = os.read(pipe, len(_READY)) == _READY
        too_late.cancel()
        os.close(pipe)
        if is_ready and not self._is_given_up:
            self._is_done = True
            self._listeners.hand_over()
            notify_systemd(f"MAINPID={child.pid}")
            log.info("a new process accepts the requests", pid=child.pid)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        child.terminate()
        code = child.wait()
        if not self._is_given_up:
            log.error(
                "restart failed",
                reason="The new process ended before it was ready. This one carries on.",
                exit_code=code,
            )
        self._child = None


def _reason_against() -> str:
    """Why the end of this process would also end the new one; empty if it would not."""
    if os.getpid() == 1:
        return "The end of process 1 ends the container. Start a new container instead."
    is_main = os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())
    if is_main and not os.environ.get("NOTIFY_SOCKET"):
        return (
            "systemd would end the new process with this one. Set `Type=notify` in the unit, "
            "or use `systemctl restart`."
        )
    return ""


def notify_systemd(state: str) -> None:
    """Reports a state to systemd, if systemd has started this process: see `sd_notify(3)`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] in ("/", "@"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(state.encode(), address.replace("@", "\0", 1))
