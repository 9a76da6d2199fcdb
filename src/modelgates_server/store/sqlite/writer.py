"""The one writer of a process: what comes in while a commit runs is committed together next.

An answer is given only after the commit was synced. With one `fsync` for a whole batch, full
durability costs little (docs/decisions/0002).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from modelgates_server.core.errors import GatewayError, Stopping, StoreUnavailable
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.store.batching.apply import BatchState
from modelgates_server.store.batching.plan import Rows, WriteRequest, load_each, rows_needed
from modelgates_server.store.sqlite.connection import (
    Connect,
    Connection,
    begin_write,
    explained,
    inode_of,
    prepare,
    size_of,
    try_write,
    undo,
)
from modelgates_server.store.sqlite.rows import CachedRows
from modelgates_server.store.sqlite.save import save
from modelgates_server.store.sqlite.schema import check_version

T = TypeVar("T")

WriteFunction = Callable[[Connection], Any]
"""A change that is not a ledger command; it raises before it writes, or not at all."""

_WAITING_MAX = 10_000
_LIGHT_MAX_BYTES = 128 * 1024
"""More answers than that are written on the thread: a mebibyte takes 5 ms."""


class _Job(NamedTuple):
    work: WriteRequest | WriteFunction
    future: asyncio.Future[Any]


class BatchLimits(msgspec.Struct, frozen=True):
    """Most changes in one commit, and the size above which the log is copied to the file.

    The loop does nothing else while it works on a batch: 128 changes take it some 5 ms.
    """

    batch_max: int = 128
    log_max_bytes: int = 32 * 1024 * 1024


class Writer:
    """Accepts work on one event loop: its statements run there, what waits for the disk beside it.

    On a thread of their own the statements would contend with the loop for the interpreter, and
    hand it over and back for each of them.
    """

    def __init__(self, path: Path, connect: Connect, limits: BatchLimits) -> None:
        self._path = path
        self._connect = connect
        self._limits = limits
        self._log_path = path.with_name(f"{path.name}-wal")
        self._log_limit_bytes = limits.log_max_bytes
        self._trouble: StoreUnavailable | None = None
        self._waiting: list[_Job] = []
        self._busy: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._rows: CachedRows | None = None
        self._inode = inode_of(path)
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-writer")

    def submit(self, work: WriteRequest | WriteFunction) -> asyncio.Future[Any]:
        """Have work done; the future ends after its batch was committed or given up."""
        if self._closed:
            raise Stopping("The server is stopping.")
        if len(self._waiting) >= _WAITING_MAX:
            raise StoreUnavailable("too many changes are waiting for the disk; try again shortly")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(work, future))
        self._go_on()
        return future

    def _go_on(self, _: object = None) -> None:
        """See that what waits is done, also after our task was cancelled, as a loop's end does."""
        if self._waiting and (self._busy is None or self._busy.done()):
            # It begins after everything that is ready on the loop has submitted its work, too.
            self._busy = asyncio.get_running_loop().create_task(self._run())
            self._busy.add_done_callback(self._go_on)

    def check(self) -> None:
        """Raise `StoreUnavailable` while changes cannot be saved, as far as is known."""
        if self._trouble is not None:
            raise StoreUnavailable(str(self._trouble))

    async def close(self) -> None:
        """Finish everything accepted, then let go of the file."""
        self._closed = True
        while self._busy is not None and not self._busy.done():
            await asyncio.wait([self._busy])  # unlike the task itself, this may be cancelled
        self._disconnect()
        self._thread.shutdown()

    async def _run(self) -> None:
        """Commit what waits until nothing does."""
        while self._waiting:
            batch = self._waiting[: self._limits.batch_max]
            del self._waiting[: self._limits.batch_max]
            results = await self._commit([job.work for job in batch])
            _resolve(batch, results)
            if isinstance(results[0], StoreUnavailable):
                # All that waits fails with it: otherwise each batch would wait for a lock again.
                rest, self._waiting = self._waiting, []
                _resolve(rest, [results[0]] * len(rest))
            await self._shorten_log()
            # Answered together, callers ask together again.
            await asyncio.sleep(0)

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        """Run on the thread what may wait for the disk or for other processes.

        It is waited for even when our task is cancelled, as all are at the end of a loop: the
        connection is the thread's until then, and whether a commit stands must be known.
        """
        done = asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        while not done.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([done])
        return done.result()

    async def _commit(self, jobs: Sequence[WriteRequest | WriteFunction]) -> list[Any]:
        """Results in the order of the jobs: values, or the exceptions to raise."""
        try:
            with explained(self._path):
                results = await self._commit_together(jobs)
        except StoreUnavailable as error:
            # After a failed commit only a new connection knows what the file holds.
            self._disconnect()
            self._trouble = error
            return [error] * len(jobs)
        except Exception as error:  # noqa: BLE001 - a bug of ours, raised where the work was submitted
            if len(jobs) == 1:
                return [error]
            return [(await self._commit([job]))[0] for job in jobs]
        self._trouble = None
        return results

    async def _commit_together(self, jobs: Sequence[WriteRequest | WriteFunction]) -> list[Any]:
        try:
            return await self._transact(jobs, check_references=False)
        except sqlite3.IntegrityError:
            return await self._transact(jobs, check_references=True)

    async def _transact(
        self, jobs: Sequence[WriteRequest | WriteFunction], *, check_references: bool
    ) -> list[Any]:
        connection, rows = await self._connected()
        await self._begin(connection)
        try:
            if _is_light(jobs):
                results, state = _work(connection, rows, jobs, check_references)
            else:
                results, state = await self._in_thread(
                    _work, connection, rows, jobs, check_references
                )
            await self._in_thread(connection.execute, "commit")
        except BaseException:
            rows.forget()  # what stands, only the file knows
            undo(connection)
            raise
        rows.remember(state)
        return results

    async def _begin(self, connection: Connection) -> None:
        if not try_write(connection):
            await self._in_thread(begin_write, connection)

    async def _connected(self) -> tuple[Connection, CachedRows]:
        try:
            inode = inode_of(self._path)
        except OSError as error:
            raise StoreUnavailable(f"database {self._path} cannot be reached: {error}") from error
        if inode != self._inode:
            # SQLite would go on writing to the deleted file, and the money would be lost with it.
            raise StoreUnavailable(f"database {self._path} was moved or replaced while in use")
        if self._connection is None or self._rows is None:
            self._connection = await self._in_thread(self._open)
            self._rows = CachedRows(self._connection)
        return self._connection, self._rows

    def _open(self) -> Connection:
        connection = prepare(self._connect(self._path), read_only=False)
        check_version(connection)
        connection.execute("pragma busy_timeout = 0")  # `begin_write` waits, and evenly
        return connection

    def _disconnect(self) -> None:
        connection, self._connection, self._rows = self._connection, None, None
        if connection is not None:
            with suppress(sqlite3.Error):  # it is given up anyway
                connection.close()

    async def _shorten_log(self) -> None:
        """Copy a long log to the file and cut it, after everybody was answered.

        SQLite would do it within a commit and beside the commits of other processes, and until
        3.51.3 that could lose committed pages (sqlite.org/wal.html#walresetbug). `truncate` keeps
        other writers out meanwhile.
        """
        try:
            size = size_of(self._log_path)
            if size <= self._log_limit_bytes or self._connection is None:
                return
            busy = await self._in_thread(_copy_log, self._connection)
        except (sqlite3.Error, OSError):
            self._disconnect()  # the log stays whole; the next commit tells what is wrong
            return
        # A long read, as by `ledger verify`, keeps the log: it is tried again when it has grown.
        self._log_limit_bytes = (
            size + self._limits.log_max_bytes if busy else self._limits.log_max_bytes
        )


def _work(
    connection: Connection,
    rows: CachedRows,
    jobs: Sequence[WriteRequest | WriteFunction],
    check_references: bool,
) -> tuple[list[Any], BatchState]:
    """Do it all in the open transaction; the results, and what is to be remembered of it."""
    results: dict[int, Any] = {}
    requests: dict[int, WriteRequest] = {}
    rows.refresh()
    for index, job in enumerate(jobs):
        if isinstance(job, WriteRequest):
            requests[index] = job
        else:
            results[index] = _do(job, connection)
    if results:
        rows.forget()  # keys may have changed
    source: Rows = rows
    if check_references:
        source = load_each(rows, rows_needed(request.command for request in requests.values()))
    state = BatchState(source, total_cap_pico=ENTRY_MAX_PICO, check_references=check_references)
    results.update(zip(requests, state.apply(list(requests.values())), strict=True))
    save(connection, state)
    return [results[index] for index in range(len(jobs))], state


def _is_light(jobs: Sequence[WriteRequest | WriteFunction]) -> bool:
    """Whether the work is short: no deleting of a thousand rows, no megabytes of answers."""
    size_bytes = 0
    for job in jobs:
        if not isinstance(job, WriteRequest):
            return False
        for attachment in job.attachments:
            if isinstance(attachment, StoredAnswer):
                size_bytes += len(attachment.body)
    return size_bytes <= _LIGHT_MAX_BYTES


def _copy_log(connection: Connection) -> bool:
    """Whether readers kept part of the log from being copied."""
    connection.execute("pragma busy_timeout = 1000")
    busy = connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
    connection.execute("pragma busy_timeout = 0")
    return bool(busy)


def _resolve(batch: Sequence[_Job], results: Sequence[Any]) -> None:
    for job, result in zip(batch, results, strict=True):
        if job.future.done():  # its caller has gone; the work stands nevertheless
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)


def _do(work: WriteFunction, connection: Connection) -> Any:
    try:
        return work(connection)
    except GatewayError as refusal:
        return refusal
