"""Threads for reads that take long: lists, sums, and whatever grows with the database.

Reads of a few rows stay on the event loop, where nothing competes for the interpreter lock
(docs/decisions/0012). SQLite gives up that lock while it looks for a row, so a long search on a
thread costs the loop nothing.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from modelgates_server.store.sqlite.connection import Connect, Connection, prepare
from modelgates_server.store.sqlite.guard import Guard
from modelgates_server.store.sqlite.schema import check_version

T = TypeVar("T")

THREADS = 3
"""More than the lists of clients get, so that maintenance and metrics find one that is free."""


class Readers:
    """A few threads, each with its own connection, which it opens when it is first needed."""

    def __init__(self, path: Path, connect: Connect, guard: Guard) -> None:
        self._path = path
        self._connect = connect
        self._guard = guard
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ledger-reader")
        self._of_thread = threading.local()
        self._connections: list[Connection] = []

    async def run(self, read: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a read with the connection of a thread; raises `StoreUnavailable`."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self._read(read, *args, **options)
        )

    def close(self) -> None:
        """Stop what runs, and release the file."""
        for connection in self._connections:
            connection.interrupt()
        self._threads.shutdown(cancel_futures=True)
        for connection in self._connections:
            connection.close()

    def _read(self, read: Callable[..., T], *args: Any, **options: Any) -> T:
        self._guard.check()
        with self._guard.explained():
            return read(self._connected(), *args, **options)

    def _connected(self) -> Connection:
        connection: Connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = prepare(self._connect(self._path), read_only=True)
            self._connections.append(connection)
            check_version(connection)
            self._of_thread.connection = connection
        return connection
