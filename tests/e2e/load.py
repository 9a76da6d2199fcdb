"""Clients that keep a server busy while it is stopped or killed."""

import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.deadlines import DEADLINE_S, tcp_connection
from tests.e2e.wire import request, wire

CLIENTS = 16
ENOUGH = 50


class Load:
    """Creates keys over many connections until the server is gone; starts with `ENOUGH` created."""

    def __init__(self, url: str, process: subprocess.Popen[str], key: str) -> None:
        self.acknowledged: list[str] = []
        self.statuses: set[int] = set()
        self._request = request("POST /api/v1/keys", key, body=b'{"name": "load"}')
        self._threads = [threading.Thread(target=self._run, args=[url]) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        wait_until(lambda: len(self.acknowledged) >= ENOUGH, process)

    def _run(self, url: str) -> None:
        with wire(url) as client:
            client.send(self._request)
            while answer := client.answer():
                self.statuses.add(answer.status)
                self.acknowledged.append(answer.json["data"]["hash"])
                client.send(self._request)

    def end(self) -> None:
        """Waits until the server has closed all connections."""
        for thread in self._threads:
            thread.join(DEADLINE_S)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits until a condition is true; the process must not end before."""
    while not condition():
        assert process.poll() is None


def is_listening(url: str) -> bool:
    try:
        tcp_connection(url).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return False
    return True


def key_hashes(database_path: Path) -> set[str]:
    """The hashes of all keys, read from the database file."""
    with closing(sqlite3.connect(database_path)) as connection:
        return {row[0] for row in connection.execute("select hash from api_key")}
