"""The writer when something goes wrong between the first statement and the answer."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelgates_server.core.errors import KeyDisabled, KeyLimitExceeded, StoreUnavailable
from modelgates_server.core.keys import KeyChange
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite import admin, rows
from modelgates_server.store.sqlite.connection import Connection, Cursor, connect_stdlib
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.sqlite.store import SqliteStore
from modelgates_server.store.sqlite.writer import BatchLimits
from tests.deadlines import DEADLINE_S
from tests.support import (
    T0_MS,
    capture,
    finished,
    grant,
    make_key,
    new_account_id,
    open_account,
    open_generation,
    place,
)

Before = Callable[[str, Callable[[], Any]], Any]
"""Given a statement and how to run it; runs it or not, returns its cursor or raises."""


class Watched:
    """A connection whose statements pass through a test."""

    def __init__(self, connection: Connection, run: Before) -> None:
        self._connection = connection
        self._run = run

    def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
        cursor: Cursor = self._run(sql, lambda: self._connection.execute(sql, parameters))
        return cursor

    def interrupt(self) -> None:
        self._connection.interrupt()

    def executemany(self, sql: str, many: Iterable[Any], /) -> Any:
        return self._run(sql, lambda: self._connection.executemany(sql, many))

    def cursor(self) -> Any:
        return self._connection.cursor()

    def close(self) -> None:
        self._connection.close()


class Trouble:
    """Breaks statements that start with `at` a number of times; `after` runs them first."""

    def __init__(self, *, after: bool = False) -> None:
        self.at = "never"
        self.times = 0
        self._after = after

    def connect(self, path: Path) -> Connection:
        return Watched(connect_stdlib(path), self._run)

    def _run(self, sql: str, run: Callable[[], Any]) -> Any:
        if not sql.startswith(self.at) or self.times == 0:
            return run()
        self.times -= 1
        if self._after:
            run()
        raise sqlite3.OperationalError("disk I/O error")


async def credits_of(store: SqliteStore, account_id: str) -> int:
    account = await store.account(account_id)
    assert account is not None
    return account.credits_pico


@pytest.mark.parametrize(
    "at", ["begin", "pragma data_version", "insert into entry", "update account", "commit"]
)
async def test_failure_before_the_commit_changes_nothing_and_can_be_retried(
    sqlite_path: Path, at: str
) -> None:
    trouble = Trouble()
    store = open_store(sqlite_path, connect=trouble.connect)
    account_id = await open_account(store, 5)
    grants = [grant(account_id, 1, str(number)) for number in range(10)]
    trouble.at, trouble.times = at, 1
    results = await asyncio.gather(
        *(store.execute(command) for command in grants), return_exceptions=True
    )
    assert {type(result) for result in results} == {StoreUnavailable}
    assert {str(result) for result in results} == {
        f"The database {sqlite_path} cannot be used: disk I/O error"
    }
    assert await credits_of(store, account_id) == 5
    receipts = await asyncio.gather(*(store.execute(command) for command in grants))
    assert not any(receipt.replayed for receipt in receipts)
    assert await credits_of(store, account_id) == 15
    await store.close()


async def test_commit_that_succeeds_with_an_error_is_not_repeated(
    sqlite_path: Path,
) -> None:
    trouble = Trouble(after=True)
    store = open_store(sqlite_path, connect=trouble.connect)
    account_id = await open_account(store, 5)
    _, key = await make_key(store, account_id)
    await store.execute(grant(account_id, 1, "remembered"))
    commands = [grant(account_id, 1, "more"), place(account_id, key.hash, "h", 3)]
    for _ in range(2):
        for command in commands:
            trouble.at, trouble.times = "commit", 1
            with pytest.raises(StoreUnavailable):
                await store.execute(command)
    receipts = [await store.execute(command) for command in commands]
    assert all(receipt.replayed for receipt in receipts)
    await store.execute(capture(account_id, key.hash, "h", 2))
    account = await store.account(account_id)
    assert account is not None
    assert (account.credits_pico, account.usage_pico, account.held_pico) == (7, 2, 0)
    await store.close()


async def test_bug_in_one_change_fails_only_its_caller(sqlite_path: Path) -> None:
    store = open_store(sqlite_path)
    account_id = await open_account(store, 5)

    def mistake(connection: Connection) -> None:
        connection.execute("insert into account (id) values ('half done')")

    def worse(_: Connection) -> None:
        raise ZeroDivisionError

    grants = [store.execute(grant(account_id, 1, str(number))) for number in range(20)]
    asked = [*grants[:10], store._writer.submit(mistake), *grants[10:], store._writer.submit(worse)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    failed = [type(result) for result in results if isinstance(result, Exception)]
    assert failed == [sqlite3.IntegrityError, ZeroDivisionError]
    assert await credits_of(store, account_id) == 25
    assert await store.account("half done") is None
    await store.close()


@pytest.mark.parametrize(
    "at", ["insert into generation", "insert into activity", "insert into answer", "commit"]
)
@pytest.mark.parametrize("after", [False, True])
async def test_failure_saves_a_call_completely_or_not_at_all(
    sqlite_path: Path, at: str, *, after: bool
) -> None:
    trouble = Trouble(after=after)
    store = open_store(sqlite_path, connect=trouble.connect)
    account_id = await open_account(store, 100)
    _, key = await make_key(store, account_id)
    call = open_generation(account_id, key.hash, "gen-1", 5)
    ended = finished(call, Usage(input=4))
    answer = StoredAnswer(account_id, call.id, b"{}", T0_MS)
    await store.execute(place(account_id, key.hash, call.id, 5), call)
    trouble.at, trouble.times = at, 1
    with pytest.raises(StoreUnavailable):
        await store.execute(capture(account_id, key.hash, call.id, 4), ended, answer)
    stands = at == "commit" and after
    assert await store.generation(account_id, call.id) == (ended if stands else call)
    assert await store.answer(account_id, call.id) == (answer if stands else None)
    assert (await verify(store)).findings == []
    receipt = await store.execute(capture(account_id, key.hash, call.id, 4), ended, answer)
    assert receipt.replayed == stands
    assert await store.generation(account_id, call.id) == ended
    assert await store.answer(account_id, call.id) == answer
    (row,) = await store.activity(account_id, from_day=0, limit=9)
    assert (row.requests, row.usage_pico) == (1, 4)
    assert (await verify(store)).findings == []
    await store.close()


async def test_change_is_refused_when_ten_thousand_are_waiting(
    sqlite_path: Path,
) -> None:
    store = open_store(sqlite_path)
    account_id = await open_account(store, 5)
    grants = [grant(account_id, 1, str(number)) for number in range(10_100)]
    results = await asyncio.gather(
        *(store.execute(command) for command in grants), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, Exception)]
    assert len(refused) == 100
    assert {str(refusal) for refusal in refused} == {
        "Too many changes are waiting for the disk. Retry shortly."
    }
    assert await credits_of(store, account_id) == 5 + 10_000
    await store.execute(grants[-1])
    await store.close()


@pytest.mark.parametrize("cached", [0, 3, 100_000])
async def test_cache_of_a_store_is_never_older_than_writes_of_another(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch, cached: int
) -> None:
    monkeypatch.setattr(rows, "_CACHED_MAX", cached)
    one, other = open_store(sqlite_path), open_store(sqlite_path)
    accounts = [await open_account(one, 4) for _ in range(5)]
    keys = {account_id: (await make_key(one, account_id))[1] for account_id in accounts}
    for number in range(4):
        for store in (one, other):
            for account_id in accounts:
                hold_id = f"{number}{store is one}"
                await store.execute(place(account_id, keys[account_id].hash, hold_id, 1))
                if number % 2:
                    await (one if store is other else other).execute(
                        capture(account_id, keys[account_id].hash, hold_id, 1)
                    )
        if number == 1:
            for account_id in accounts:
                await one.execute(grant(account_id, 1, "more"))
                await other.execute(grant(account_id, 3, "much more"))
    for account_id in accounts:
        account = await one.account(account_id)
        assert account is not None
        assert (account.credits_pico, account.usage_pico, account.held_pico) == (8, 4, 4)
        assert account.last_seq == len(await other.entries(account_id, after_seq=0, limit=99))
    await one.close()
    await other.close()


async def test_key_changed_by_another_process_applies_to_the_next_hold(
    sqlite_path: Path,
) -> None:
    one, other = open_store(sqlite_path), open_store(sqlite_path)
    account_id = await open_account(one, 100)
    _, key = await make_key(one, account_id)
    await one.execute(place(account_id, key.hash, "first", 5))
    await other.change_key(key.hash, KeyChange(limit_pico=7), T0_MS)
    with pytest.raises(KeyLimitExceeded):
        await one.execute(place(account_id, key.hash, "over", 3))
    await one.change_key(key.hash, KeyChange(disabled=True), T0_MS)
    for store in (one, other):
        with pytest.raises(KeyDisabled):
            await store.execute(place(account_id, key.hash, "disabled", 1))
    await one.close()
    await other.close()


async def test_concurrent_changes_share_commits(sqlite_path: Path) -> None:
    commits = 0

    def count(sql: str, run: Callable[[], Any]) -> Any:
        nonlocal commits
        commits += sql == "commit"
        return run()

    store = open_store(
        sqlite_path,
        connect=lambda path: Watched(connect_stdlib(path), count),
        limits=BatchLimits(batch_max=50),
    )
    account_id = await open_account(store, 5)
    commits = 0
    grants = [grant(account_id, 1, str(number)) for number in range(500)]
    await asyncio.gather(*(store.execute(command) for command in grants))
    assert commits == 10
    await store.close()


async def test_batch_of_new_and_repeated_commands_answers_each_separately(
    sqlite_path: Path,
) -> None:
    store = open_store(sqlite_path)
    account_id, later = await open_account(store, 100), new_account_id()
    _, key = await make_key(store, account_id)
    await store.execute(place(account_id, key.hash, "old", 5))
    asked = [
        place(account_id, key.hash, "old", 5),
        place(account_id, key.hash, "new", 7),
        capture(account_id, key.hash, "old", 4),
        capture(account_id, key.hash, "old", 4),
        grant(account_id, 100),
        msgspec.structs.replace(place(account_id, key.hash, "old", 5), reference="again"),
        grant(later, 1),
        capture(account_id, key.hash, "new", 7),
    ]
    results = await asyncio.gather(
        *(store.execute(command) for command in asked), return_exceptions=True
    )
    told = [
        type(result).__name__ if isinstance(result, BaseException) else result.replayed
        for result in results
    ]
    expected = [True, False, False, True, True, "HoldEnded", "AccountNotFound", False]
    assert told == expected
    account = await store.account(account_id)
    assert account is not None
    assert (account.credits_pico, account.usage_pico, account.held_pico) == (100, 11, 0)
    await store.close()


async def test_restored_backup_is_switched_to_a_write_ahead_log(
    sqlite_path: Path, tmp_path: Path
) -> None:
    await open_store(sqlite_path).close()
    copy = tmp_path / "copy.db"
    admin.backup(sqlite_path, copy, lambda _, __: None)
    await open_store(copy).close()
    assert sqlite3.connect(copy).execute("pragma journal_mode").fetchone() == ("wal",)


async def test_log_does_not_grow_without_limit(sqlite_path: Path) -> None:
    limit = 100_000
    store = open_store(sqlite_path, limits=BatchLimits(log_max_bytes=limit))
    account_id = await open_account(store, 5)
    log = sqlite_path.with_name(f"{sqlite_path.name}-wal")
    sizes = []
    for number in range(60):
        await store.execute(grant(account_id, 1, f"g{number}"))
        sizes.append(log.stat().st_size)
    assert min(sizes[30:]) < limit / 2, "it was cut"
    assert max(sizes) < 2 * limit
    await store.close()
    again = open_store(sqlite_path)
    assert await credits_of(again, account_id) == 65
    await again.close()


async def test_readiness_reports_that_changes_cannot_be_saved(sqlite_path: Path) -> None:
    trouble = Trouble()
    store = open_store(sqlite_path, connect=trouble.connect)
    account_id = await open_account(store, 5)
    trouble.at, trouble.times = "commit", 2
    with pytest.raises(StoreUnavailable):
        await store.execute(grant(account_id, 1, "lost"))
    with pytest.raises(StoreUnavailable, match="disk I/O"):
        await store.ping()
    await store.ping()
    await store.execute(grant(account_id, 1, "saved"))
    await store.close()


async def test_loop_runs_while_a_commit_waits_for_the_disk(sqlite_path: Path) -> None:
    synced = threading.Event()
    synced.set()

    def slow(sql: str, run: Callable[[], Any]) -> Any:
        assert sql != "commit" or synced.wait(DEADLINE_S), "nothing else ran meanwhile"
        return run()

    store = open_store(sqlite_path, connect=lambda path: Watched(connect_stdlib(path), slow))
    account_id = await open_account(store, 5)
    synced.clear()
    saving = asyncio.ensure_future(store.execute(grant(account_id, 1, "more")))
    for _ in range(20):
        await asyncio.sleep(0)
        assert await credits_of(store, account_id) == 5, "not before it is synced"
    assert not saving.done()
    synced.set()
    await saving
    assert await credits_of(store, account_id) == 6
    await store.close()


async def test_loop_runs_while_another_process_is_in_a_transaction(
    sqlite_path: Path,
) -> None:
    store = open_store(sqlite_path)
    account_id = await open_account(store, 5)
    other = connect_stdlib(sqlite_path)
    other.execute("begin immediate")
    saving = asyncio.ensure_future(store.execute(grant(account_id, 1, "more")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not saving.done()
    other.execute("rollback")
    other.close()
    await saving
    assert await credits_of(store, account_id) == 6
    await store.close()
