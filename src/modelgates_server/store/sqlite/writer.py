"""The only writer of a process: changes that arrive during a commit form the next batch.

A change is acknowledged only after its commit was synced. With one `fsync` for a whole batch, full
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
    inode_of,
    moved,
    prepare,
    size_of,
    try_write,
    undo,
)
from modelgates_server.store.sqlite.guard import Guard
from modelgates_server.store.sqlite.rows import CachedRows
from modelgates_server.store.sqlite.save import Saver
from modelgates_server.store.sqlite.schema import check_version, version_of
from modelgates_server.store.sqlite.snapshot import generation_rows

T = TypeVar("T")

WriteFunction = Callable[[Connection], Any]
"""A change that is not a ledger command. If it raises, it has not written anything."""

_WAITING_MAX = 10_000
_LIGHT_MAX_BYTES = 128 * 1024
"""Batches with more bytes of responses are written on the thread: a mebibyte takes 5 ms."""


class _Job(NamedTuple):
    work: WriteRequest | WriteFunction
    future: asyncio.Future[Any]


class BatchLimits(msgspec.Struct, frozen=True):
    """The most changes in one commit, and the size above which the log is checkpointed.

    The loop does nothing else during a batch: 128 changes take about 5 ms.
    """

    batch_max: int = 128
    log_max_bytes: int = 32 * 1024 * 1024


class Writer:
    """Runs statements on the event loop, and operations that wait for the disk on a thread.

    Statements on another thread would compete with the loop for the interpreter lock, and pass it
    back and forth for each statement.
    """

    def __init__(
        self, path: Path, connect: Connect, limits: BatchLimits, guard: Guard | None = None
    ) -> None:
        self._path = path
        self._guard = guard or Guard(path, insists=False)
        self._connect = connect
        self._limits = limits
        self._log_path = path.with_name(f"{path.name}-wal")
        self._log_limit_bytes = limits.log_max_bytes
        self._trouble: StoreUnavailable | None = None
        self._waiting: list[_Job] = []
        self._busy: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._rows: CachedRows | None = None
        self._saver: Saver | None = None
        self._inode = inode_of(path)
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-writer")

    def submit(self, work: WriteRequest | WriteFunction) -> asyncio.Future[Any]:
        """Queue a change; the future completes after its batch is committed or has failed."""
        if self._closed:
            raise Stopping("The server is stopping.")
        if len(self._waiting) >= _WAITING_MAX:
            raise StoreUnavailable("Too many changes are waiting for the disk. Retry shortly.")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(work, future))
        self._go_on()
        return future

    def _go_on(self, _: object = None) -> None:
        """Start a task if changes wait, even after the last one was cancelled by a closing loop."""
        if self._waiting and (self._busy is None or self._busy.done()):
            # The task starts after everything that is ready on the loop has submitted its changes.
            self._busy = asyncio.get_running_loop().create_task(self._run())
            self._busy.add_done_callback(self._go_on)

    async def check(self) -> None:
        """Raise `StoreUnavailable` if the last batch could not be saved, and still cannot be."""
        if self._trouble is not None:
            await self.submit(_write_nothing_new)

    async def close(self) -> None:
        """Finish all accepted changes, then release the file."""
        self._closed = True
        while self._busy is not None and not self._busy.done():
            await asyncio.wait([self._busy])  # unlike the task itself, this may be cancelled
        self._disconnect()
        self._thread.shutdown()

    async def _run(self) -> None:
        """Commit batches until nothing waits."""
        while self._waiting:
            batch = self._waiting[: self._limits.batch_max]
            del self._waiting[: self._limits.batch_max]
            results = await self._commit([job.work for job in batch])
            _resolve(batch, results)
            if isinstance(results[0], StoreUnavailable):
                # Everything that waits fails too; otherwise each batch would wait for a lock again.
                rest, self._waiting = self._waiting, []
                _resolve(rest, [results[0]] * len(rest))
            await self._shorten_log()
            # Callers that are answered together submit their next changes together.
            await asyncio.sleep(0)

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        """Run on the thread an operation that may wait for the disk or for other processes.

        Waits for it even if this task is cancelled, as all tasks are when a loop ends: until then
        the thread uses the connection, and the outcome of a commit must be known.
        """
        done = asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        while not done.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([done])
        return done.result()

    async def _commit(self, jobs: Sequence[WriteRequest | WriteFunction]) -> list[Any]:
        """Results in the order of the jobs: values, or the exceptions to raise."""
        try:
            with self._guard.explained():
                results = await self._commit_together(jobs)
        except StoreUnavailable as error:
            # After a failed commit, only a new connection shows what the file contains.
            self._disconnect()
            self._trouble = error
            return [error] * len(jobs)
        except Exception as error:  # noqa: BLE001 - a bug, raised where the change was submitted
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
        connection, rows, saver = await self._connected()
        await self._begin(connection)
        try:
            if _is_light(jobs):
                results, state = _work(connection, rows, saver, jobs, check_references)
            else:
                results, state = await self._in_thread(
                    _work, connection, rows, saver, jobs, check_references
                )
            await self._in_thread(connection.execute, "commit")
        except BaseException:
            rows.forget()  # only the file shows what was committed
            undo(connection)
            raise
        rows.remember(state)
        return results

    async def _begin(self, connection: Connection) -> None:
        if not try_write(connection):
            await self._in_thread(begin_write, connection)

    async def _connected(self) -> tuple[Connection, CachedRows, Saver]:
        self._guard.check()
        try:
            inode = inode_of(self._path)
        except OSError as error:
            raise StoreUnavailable(
                f"The database {self._path} cannot be reached: {error}"
            ) from error
        if inode != self._inode:
            # SQLite would keep writing to the deleted file, and the money would be lost with it.
            raise moved(self._path)
        if self._connection is None or self._rows is None or self._saver is None:
            self._connection = await self._in_thread(self._open)
            self._rows = CachedRows(self._connection)
            self._saver = Saver(generation_rows(self._connection))
        return self._connection, self._rows, self._saver

    def _open(self) -> Connection:
        connection = prepare(self._connect(self._path), read_only=False)
        check_version(connection)
        connection.execute("pragma busy_timeout = 0")  # `begin_write` waits, with short retries
        return connection

    def _disconnect(self) -> None:
        connection, self._connection, self._rows = self._connection, None, None
        if connection is not None:
            with suppress(sqlite3.Error):  # the connection is discarded anyway
                connection.close()

    async def _shorten_log(self) -> None:
        """Checkpoint and truncate a long log, after all changes were acknowledged.

        SQLite would do it during a commit, concurrently with commits of other processes, which
        before 3.51.3 could lose committed pages (sqlite.org/wal.html#walresetbug). `truncate` keeps
        other writers out meanwhile.
        """
        try:
            size = size_of(self._log_path)
            if size <= self._log_limit_bytes or self._connection is None:
                return
            busy = await self._in_thread(_copy_log, self._connection)
        except (sqlite3.Error, OSError):
            self._disconnect()  # the log stays intact; the next commit reports the problem
            return
        # A long read, such as `ledger verify`, blocks the checkpoint: retry when the log has grown.
        self._log_limit_bytes = (
            size + self._limits.log_max_bytes if busy else self._limits.log_max_bytes
        )


def _work(
    connection: Connection,
    rows: CachedRows,
    saver: Saver,
    jobs: Sequence[WriteRequest | WriteFunction],
    check_references: bool,
) -> tuple[list[Any], BatchState]:
    """Apply a batch in the open transaction; returns the results, and the state to remember."""
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
    saver.save(connection, state)
    return [results[index] for index in range(len(jobs))], state


def _is_light(jobs: Sequence[WriteRequest | WriteFunction]) -> bool:
    """Whether a batch is short: it deletes no rows in bulk, and writes no megabytes."""
    size_bytes = 0
    for job in jobs:
        if not isinstance(job, WriteRequest):
            return False
        for attachment in job.attachments:
            if isinstance(attachment, StoredAnswer):
                size_bytes += len(attachment.body)
    return size_bytes <= _LIGHT_MAX_BYTES


def _copy_log(connection: Connection) -> bool:
    """Checkpoint without waiting; returns whether readers blocked part of it.

    With a busy timeout of 0, `truncate` copies what no reader needs, as `passive` does, and gives
    up the rest at once. `passive` itself would not keep other writers out.
    """
    busy = connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
    return bool(busy)


def _resolve(batch: Sequence[_Job], results: Sequence[Any]) -> None:
    for job, result in zip(batch, results, strict=True):
        if job.future.done():  # its caller is gone; the change is committed nevertheless
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)


def _write_nothing_new(connection: Connection) -> None:
    """Write the schema version again: a commit that changed nothing would not reach the disk."""
    connection.execute(f"pragma user_version = {version_of(connection)}")


def _do(work: WriteFunction, connection: Connection) -> Any:
    try:
        return work(connection)
    except GatewayError as error:
        return error
