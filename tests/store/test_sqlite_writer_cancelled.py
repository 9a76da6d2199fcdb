"""The writer when its task is cancelled, as at the end of a loop, and what the loop is spared."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite.connection import Connection, connect_stdlib
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.sqlite.store import SqliteStore
from tests.deadlines import DEADLINE_S, within
from tests.store.test_sqlite_writer import Watched, credits_of
from tests.support import (
    T0_MS,
    capture,
    finished,
    grant,
    make_key,
    open_account,
    open_generation,
    place,
)


class Gate:
    """Holds commits up on their thread until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.opened.set()
        self.reached = threading.Event()

    def connect(self, path: Path) -> Connection:
        return Watched(connect_stdlib(path), self._run)

    def _run(self, sql: str, run: Callable[[], Any]) -> Any:
        if sql == "commit" and not self.opened.is_set():
            self.reached.set()
            assert self.opened.wait(DEADLINE_S), "nobody opened the gate"
        return run()

    def shut(self) -> None:
        self.reached.clear()
        self.opened.clear()

    async def until_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, DEADLINE_S)


class ManualTime:
    """The module `time` where only sleeping takes any."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s


def writing_task(store: SqliteStore) -> asyncio.Task[None]:
    task = store._writer._busy
    assert task is not None
    return task


async def test_cancelled_writer_knows_the_outcome_of_its_commit(sqlite_path: Path) -> None:
    gate = Gate()
    store = open_store(sqlite_path, connect=gate.connect)
    account_id = await open_account(store, 5)
    _, key = await make_key(store, account_id)
    await store.execute(place(account_id, key.hash, "h", 5))
    gate.shut()
    first = asyncio.ensure_future(store.execute(capture(account_id, key.hash, "h", 1)))
    await gate.until_reached()
    writing_task(store).cancel()
    second = asyncio.ensure_future(store.execute(grant(account_id, 1, "next")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.opened.set()
    async with within():
        receipts = await asyncio.gather(first, second)
    assert [receipt.replayed for receipt in receipts] == [False, False]
    for number in range(3):
        await store.execute(grant(account_id, 1, f"later {number}"))
    assert await credits_of(store, account_id) == 9
    assert (await verify(store)).findings == []
    await store.close()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, 5])
async def test_change_submitted_while_the_writer_is_cancelled_is_committed(
    sqlite_path: Path, turns: int
) -> None:
    store = open_store(sqlite_path)
    account_id = await open_account(store, 5)
    first = asyncio.ensure_future(store.execute(grant(account_id, 1, "first")))
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    writing_task(store).cancel()
    second = asyncio.ensure_future(store.execute(grant(account_id, 1, "second")))
    async with within():
        await asyncio.gather(first, second)
    assert await credits_of(store, account_id) == 7
    await store.close()


def test_calls_that_end_with_the_loop_are_settled(sqlite_path: Path) -> None:
    """A second SIGINT cancels all tasks at once; a call answers that with its settlement."""
    gate, settled = Gate(), set[int]()

    async def call(store: SqliteStore, account_id: str, key_hash: str, number: int) -> None:
        end = capture(account_id, key_hash, f"h{number}", 1)
        try:
            await (asyncio.sleep(100) if number else store.execute(end))
        except asyncio.CancelledError:
            await store.execute(end)
            settled.add(number)

    async def serve() -> None:
        store = open_store(sqlite_path, connect=gate.connect)
        account_id = await open_account(store, 100)
        _, key = await make_key(store, account_id)
        for number in range(count):
            await store.execute(place(account_id, key.hash, f"h{number}", 5))
        gate.shut()
        tasks.extend(
            asyncio.create_task(call(store, account_id, key.hash, number))
            for number in range(count)
        )
        await gate.until_reached()
        threading.Timer(0.1, gate.opened.set).start()
        raise KeyboardInterrupt

    for count in (1, 2, 3, 7):
        tasks = list[asyncio.Task[None]]()
        settled.clear()
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(serve())
        assert settled == set(range(count))


async def test_cancelled_close_still_commits_accepted_changes(sqlite_path: Path) -> None:
    gate = Gate()
    store = open_store(sqlite_path, connect=gate.connect)
    account_id = await open_account(store, 5)
    gate.shut()
    saving = asyncio.ensure_future(store.execute(grant(account_id, 1, "more")))
    await gate.until_reached()
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    gate.opened.set()
    async with within():
        assert not (await saving).replayed
    await store.close()


async def test_cancelled_writer_does_not_lock_out_other_processes(sqlite_path: Path) -> None:
    store = open_store(sqlite_path)
    account_id = await open_account(store, 5)
    other = connect_stdlib(sqlite_path)
    other.execute("begin immediate")
    saving = asyncio.ensure_future(store.execute(grant(account_id, 1, "more")))
    await asyncio.sleep(0.02)
    writing_task(store).cancel()
    await asyncio.sleep(0.02)
    other.execute("rollback")
    async with within():
        await saving
    other.execute("begin immediate")
    other.close()
    await store.close()


async def test_disk_that_cannot_stat_the_file_is_an_outage(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sqlite_path)
    account_id = await open_account(store, 5)
    stat, broken = Path.stat, {sqlite_path.name}

    def failing(path: Path, **options: Any) -> Any:
        if path.name in broken:
            raise OSError(5, "Input/output error")
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", failing)
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        await store.execute(grant(account_id, 1, "later"))
    broken = {f"{sqlite_path.name}-wal"}
    grants = [grant(account_id, 1, str(number)) for number in range(300)]
    async with within():
        await asyncio.gather(*(store.execute(command) for command in grants))
        await store.close()


async def test_long_batch_runs_on_the_thread(sqlite_path: Path) -> None:
    names = []

    def note(sql: str, run: Callable[[], Any]) -> Any:
        if sql.startswith(("insert into entry", "delete")):
            names.append(threading.current_thread() is threading.main_thread())
        return run()

    store = open_store(sqlite_path, connect=lambda path: Watched(connect_stdlib(path), note))
    account_id = await open_account(store, 100)
    _, key = await make_key(store, account_id)
    for size, on_the_loop in ((10, True), (1024 * 1024, False)):
        call = open_generation(account_id, key.hash, f"gen-{size}", 5)
        await store.execute(place(account_id, key.hash, call.id, 5), call)
        names.clear()
        answer = StoredAnswer(account_id, call.id, b"x" * size, T0_MS)
        await store.execute(
            capture(account_id, key.hash, call.id, 4), finished(call, Usage(input=4)), answer
        )
        assert set(names) == {on_the_loop}
    names.clear()
    assert await store.forget_answers(T0_MS + 1) == 2
    assert set(names) == {False}
    await store.close()


async def test_changes_behind_a_locked_batch_fail_with_it(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualTime()
    monkeypatch.setattr("modelgates_server.store.sqlite.connection.time", clock)
    monkeypatch.setattr("modelgates_server.store.sqlite.connection._WAIT_MS", 20)
    store = open_store(sqlite_path)
    account_id = await open_account(store, 5)
    other = connect_stdlib(sqlite_path)
    other.execute("begin immediate")
    grants = [grant(account_id, 1, str(number)) for number in range(1000)]
    clock.now_s = 0
    async with within():
        told = await asyncio.gather(
            *(store.execute(command) for command in grants), return_exceptions=True
        )
    assert {type(answer) for answer in told} == {StoreUnavailable}
    assert clock.now_s < 0.04, "one wait for all, not one after another"
    other.close()
    await store.execute(grants[0])
    await store.close()
