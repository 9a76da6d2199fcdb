"""The one writer of a process: what is asked while a commit runs is committed together next.

An answer is given only after the commit was synced. With one `fsync` for a whole batch, full
durability costs little (see docs/decisions).
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from modelgates_server.core.commands import Command
from modelgates_server.core.errors import GatewayError, StoreUnavailable
from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.store.batching import WorkingSet
from modelgates_server.store.sqlite.connection import (
    Connect,
    Connection,
    explained,
    inode_of,
    prepare,
    writing,
)
from modelgates_server.store.sqlite.rows import SqliteRows, save
from modelgates_server.store.sqlite.schema import check_version

Direct = Callable[[Connection], Any]
"""A change that is not a ledger command; it raises before it writes, or not at all."""

_BATCH_MAX = 512
_WAITING_MAX = 10_000


class _Job(NamedTuple):
    work: Command | Direct
    future: asyncio.Future[Any]


class Writer:
    """Accepts work on the event loop, does it on its own thread."""

    def __init__(self, path: Path, connect: Connect, batch_max: int = _BATCH_MAX) -> None:
        self._path = path
        self._connect = connect
        self._batch_max = batch_max
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._connection: Connection | None = None
        self._inode = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    async def submit(self, work: Command | Direct) -> Any:
        """Have work done; returns or raises after its batch was committed or given up."""
        if self._closed:
            raise StoreUnavailable("the database is closing")
        if self._jobs.qsize() >= _WAITING_MAX:
            raise StoreUnavailable("too many changes are waiting for the disk; try again shortly")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(work, future))
        return await future

    async def close(self) -> None:
        """Finish everything accepted, then end the thread."""
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch, more = self._collect(job)
            _deliver(batch, self._commit([job.work for job in batch]))
            if not more:
                break
        self._disconnect()

    def _collect(self, first: _Job) -> tuple[list[_Job], bool]:
        batch = [first]
        while len(batch) < self._batch_max:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                return batch, False
            batch.append(job)
        return batch, True

    def _commit(self, works: Sequence[Command | Direct]) -> list[Any]:
        """Results in the order of the works: values, or the exceptions to raise."""
        try:
            with explained(self._path):
                return self._commit_together(works)
        except StoreUnavailable as error:
            # After a failed commit only a new connection knows what the file holds.
            self._disconnect()
            return [error] * len(works)
        except Exception as error:  # noqa: BLE001 - a mistake of ours, handed to whoever asked for it
            if len(works) == 1:
                return [error]
            return [self._commit([work])[0] for work in works]

    def _commit_together(self, works: Sequence[Command | Direct]) -> list[Any]:
        connection = self._connected()
        with writing(connection):
            results: dict[int, Any] = {}
            commands = {}
            for index, work in enumerate(works):
                if isinstance(work, Command):
                    commands[index] = work
                else:
                    results[index] = _do(work, connection)
            if commands:
                working = WorkingSet(SqliteRows(connection), total_cap_pico=ENTRY_MAX_PICO)
                results.update(zip(commands, working.run(list(commands.values())), strict=True))
                save(connection, working)
        return [results[index] for index in range(len(works))]

    def _connected(self) -> Connection:
        if self._connection is None:
            if not self._path.exists():
                raise StoreUnavailable(f"database {self._path} is gone")
            self._connection = prepare(self._connect(self._path), read_only=False)
            check_version(self._connection)
            self._inode = inode_of(self._path)
        elif inode_of(self._path) != self._inode:
            # SQLite would go on writing to the deleted file, and the money would be lost with it.
            raise StoreUnavailable(f"database {self._path} was moved or replaced while in use")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _do(work: Direct, connection: Connection) -> Any:
    try:
        return work(connection)
    except GatewayError as refusal:
        return refusal


def _deliver(batch: Sequence[_Job], results: Sequence[Any]) -> None:
    loop = batch[0].future.get_loop()
    loop.call_soon_threadsafe(_settle, batch, results)


def _settle(batch: Sequence[_Job], results: Sequence[Any]) -> None:
    for job, result in zip(batch, results, strict=True):
        if job.future.done():  # its caller has gone; what was asked stands nevertheless
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
