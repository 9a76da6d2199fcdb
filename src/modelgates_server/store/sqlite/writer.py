"""The one writer of a process: what is asked while a commit runs is committed together next.

An answer is given only after the commit was synced. With one `fsync` for a whole batch, full
durability costs little (docs/decisions/0002).
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import msgspec

from modelgates_server.core.errors import GatewayError, StoreUnavailable
from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.store.batching import Posting, WorkingSet
from modelgates_server.store.sqlite.connection import (
    Connect,
    Connection,
    explained,
    inode_of,
    prepare,
    size_of,
    writing,
)
from modelgates_server.store.sqlite.rows import CachedRows, save
from modelgates_server.store.sqlite.schema import check_version

Direct = Callable[[Connection], Any]
"""A change that is not a ledger command; it raises before it writes, or not at all."""

_WAITING_MAX = 10_000


class _Job(NamedTuple):
    work: Posting | Direct
    future: asyncio.Future[Any]


class Limits(msgspec.Struct, frozen=True):
    """Most changes in one commit, and the size above which the log is copied to the file."""

    batch_max: int = 512
    log_max_bytes: int = 32 * 1024 * 1024


class Writer:
    """Accepts work on one event loop, does it on its own thread."""

    def __init__(self, path: Path, connect: Connect, limits: Limits) -> None:
        self._path = path
        self._connect = connect
        self._limits = limits
        self._log_path = path.with_name(f"{path.name}-wal")
        self._log_limit_bytes = limits.log_max_bytes
        self._trouble: StoreUnavailable | None = None
        self._gathered: list[_Job] = []
        self._waiting = 0
        self._groups: SimpleQueue[list[_Job] | None] = SimpleQueue()
        self._connection: Connection | None = None
        self._rows: CachedRows | None = None
        self._inode = inode_of(path)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Posting | Direct) -> asyncio.Future[Any]:
        """Have work done; the future ends after its batch was committed or given up."""
        if self._closed or not self._thread.is_alive():
            raise StoreUnavailable("the database is closing")
        if self._waiting >= _WAITING_MAX:
            raise StoreUnavailable("too many changes are waiting for the disk; try again shortly")
        loop = asyncio.get_running_loop()
        if not self._gathered:
            # Handed over after all that is ready on the loop has asked, too: answered together,
            # callers ask together again, and the thread does not start on the first of them alone.
            loop.call_soon(self._hand_over)
        future: asyncio.Future[Any] = loop.create_future()
        self._gathered.append(_Job(work, future))
        self._waiting += 1
        return future

    def check(self) -> None:
        """Raise `StoreUnavailable` while changes cannot be saved, as far as is known."""
        if not self._thread.is_alive():
            raise StoreUnavailable("the writer has stopped")
        if self._trouble is not None:
            raise self._trouble

    async def close(self) -> None:
        """Finish everything accepted, then end the thread."""
        self._closed = True
        self._hand_over()
        self._groups.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        if self._gathered:
            self._groups.put(self._gathered)
            self._gathered = []

    def _run(self) -> None:
        while (jobs := self._groups.get()) is not None:
            more = self._join_waiting(jobs)
            for start in range(0, len(jobs), self._limits.batch_max):
                batch = jobs[start : start + self._limits.batch_max]
                results = self._commit([job.work for job in batch])
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    batch[0].future.get_loop().call_soon_threadsafe(self._settle, batch, results)
            self._shorten_log()
            if not more:
                break
        self._disconnect()

    def _join_waiting(self, jobs: list[_Job]) -> bool:
        """Add the groups that came in meanwhile; False when the end was among them."""
        while len(jobs) < self._limits.batch_max:
            try:
                group = self._groups.get_nowait()
            except Empty:
                break
            if group is None:
                return False
            jobs.extend(group)
        return True

    def _commit(self, works: Sequence[Posting | Direct]) -> list[Any]:
        """Results in the order of the works: values, or the exceptions to raise."""
        try:
            with explained(self._path):
                results = self._commit_together(works)
        except StoreUnavailable as error:
            # After a failed commit only a new connection knows what the file holds.
            self._disconnect()
            self._trouble = error
            return [error] * len(works)
        except Exception as error:  # noqa: BLE001 - a mistake of ours, handed to whoever asked for it
            if len(works) == 1:
                return [error]
            return [self._commit([work])[0] for work in works]
        self._trouble = None
        return results

    def _commit_together(self, works: Sequence[Posting | Direct]) -> list[Any]:
        try:
            return self._transact(works, careful=False)
        except sqlite3.IntegrityError:
            return self._transact(works, careful=True)

    def _transact(self, works: Sequence[Posting | Direct], *, careful: bool) -> list[Any]:
        connection, rows = self._connected()
        results: dict[int, Any] = {}
        postings: dict[int, Posting] = {}
        with writing(connection):
            rows.refresh()
            for index, work in enumerate(works):
                if isinstance(work, Posting):
                    postings[index] = work
                else:
                    results[index] = _do(work, connection)
            if results:
                rows.forget()  # keys may have changed
            working = WorkingSet(rows, total_cap_pico=ENTRY_MAX_PICO, careful=careful)
            results.update(zip(postings, working.run(list(postings.values())), strict=True))
            save(connection, working)
        rows.remember(working)
        return [results[index] for index in range(len(works))]

    def _connected(self) -> tuple[Connection, CachedRows]:
        if inode_of(self._path) != self._inode:
            # SQLite would go on writing to the deleted file, and the money would be lost with it.
            raise StoreUnavailable(f"database {self._path} was moved or replaced while in use")
        if self._connection is None or self._rows is None:
            self._connection = prepare(self._connect(self._path), read_only=False)
            check_version(self._connection)
            self._connection.execute("pragma busy_timeout = 0")  # `begin_write` waits, and evenly
            self._rows = CachedRows(self._connection)
        return self._connection, self._rows

    def _disconnect(self) -> None:
        connection, self._connection, self._rows = self._connection, None, None
        if connection is not None:
            with suppress(sqlite3.Error):  # it is given up anyway
                connection.close()

    def _shorten_log(self) -> None:
        """Copy a long log to the file and cut it, after everybody was answered.

        SQLite would do it within a commit and beside the commits of other processes, and until
        3.51.3 that could lose committed pages (sqlite.org/wal.html#walresetbug). `truncate` keeps
        other writers out meanwhile.
        """
        size = size_of(self._log_path)
        if size <= self._log_limit_bytes or self._connection is None:
            return
        try:
            self._connection.execute("pragma busy_timeout = 1000")
            busy = self._connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
            self._connection.execute("pragma busy_timeout = 0")
        except sqlite3.Error:
            self._disconnect()  # the log stays whole; the next commit tells what is wrong
            return
        # A long read, as by `ledger verify`, keeps the log: it is tried again when it has grown.
        self._log_limit_bytes = (
            size + self._limits.log_max_bytes if busy else self._limits.log_max_bytes
        )

    def _settle(self, batch: Sequence[_Job], results: Sequence[Any]) -> None:
        self._waiting -= len(batch)
        for job, result in zip(batch, results, strict=True):
            if job.future.done():  # its caller has gone; what was asked stands nevertheless
                continue
            if isinstance(result, Exception):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)


def _do(work: Direct, connection: Connection) -> Any:
    try:
        return work(connection)
    except GatewayError as refusal:
        return refusal
