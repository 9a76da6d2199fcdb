"""A server that other processes replace, and one whose socket belongs to a parent like systemd."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.cli.console import EXECUTABLE, Console
from tests.deadlines import DEADLINE_S
from tests.server import RunningServer

_TAKEN_OVER = "a new process accepts the requests"
_AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="modelgates.socket")
os.execv(sys.argv[2], sys.argv[2:])
"""


def events(server: RunningServer, name: str) -> list[Any]:
    """The log lines with an event."""
    lines = server.log_path.read_text().splitlines(keepends=True)
    logged = [json.loads(line) for line in lines if line[0] == "{" and line[-1] == "\n"]
    return [line for line in logged if line["event"] == name]


def current_pid(server: RunningServer) -> int:
    """The process that has taken over last."""
    taken_over = events(server, _TAKEN_OVER)
    return int(taken_over[-1]["pid"]) if taken_over else server.process.pid


@contextmanager
def restartable_server(
    folder: Path, *words: str, shell: str = 'exec "$0" serve --port 0 "$@"', **options: Any
) -> Iterator[RunningServer]:
    """A server that other processes replace. At the end, the last of them is stopped."""
    console = Console(folder)
    log_path = folder / "server.log"
    command = ["sh", "-c", shell, str(EXECUTABLE), *words]
    with (
        log_path.open("w") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env=console.environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            **options,
        ) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        server = RunningServer(url, process, console.path, log_path)
        try:
            yield server
        finally:
            with suppress(ProcessLookupError):
                os.kill(current_pid(server), signal.SIGTERM)
            process.communicate(timeout=DEADLINE_S)  # until no process has the pipe any more
    assert "Traceback" not in log_path.read_text()


async def restart(server: RunningServer) -> None:
    """Restarts the server, and returns when a new process has taken over."""
    before = current_pid(server)
    os.kill(before, signal.SIGUSR2)
    while current_pid(server) == before:
        assert events(server, "restart failed") == []
        await asyncio.sleep(0.05)


class SystemdLike:
    """A parent that keeps the listening socket while it restarts the server, like systemd."""

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self.console = Console(folder)
        self._listener = listener
        self._log = (folder / "server.log").open("a")
        self.process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        descriptor = self._listener.fileno()
        return subprocess.Popen(
            [sys.executable, "-c", _AS_SYSTEMD, str(descriptor), str(EXECUTABLE), "serve"],
            cwd=self.console.folder,
            env=self.console.environment,
            pass_fds=[descriptor],
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            text=True,
        )

    def restart(self) -> None:
        """As `systemctl restart` does: the old process ends before the new one starts."""
        self.stop()
        self.process = self._started()

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(DEADLINE_S) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self._log.close()
