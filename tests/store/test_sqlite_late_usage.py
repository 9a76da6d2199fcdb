"""Late usage in a SQLite store: once for each hold, and in the activity of its own day."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY, day_of
from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite.opening import open_store
from tests.support import (
    HOLD_MS,
    T0_MS,
    capture,
    capture_late,
    expire,
    finished,
    make_key,
    open_account,
    open_generation,
    place,
)

ID = f"user_{'A' * 22}"
HASH, OTHER = "a" * 64, "b" * 64
EXPIRED_MS, LATE_MS = T0_MS + HOLD_MS, T0_MS + MS_PER_DAY


async def fill(path: Path) -> None:
    """A captured hold, an open one, and two that expired: one was charged late already."""
    store = open_store(path)
    await open_account(store, 100, account_id=ID)
    for key_hash in (HASH, OTHER):
        await make_key(store, ID, hash=key_hash)
    for hold_id in ("captured", "open", "lost", "late"):
        await store.execute(place(ID, HASH, hold_id, 4), open_generation(ID, HASH, hold_id, 4))
    for hold_id in ("lost", "late"):
        call = open_generation(ID, HASH, hold_id, 4)
        lost = finished(call, Usage(input=1), EXPIRED_MS, HoldState.EXPIRED)
        await store.execute(expire(ID, HASH, hold_id, EXPIRED_MS, 1), lost)
    await store.execute(capture_late(ID, HASH, "late", 2, LATE_MS))
    ended = finished(open_generation(ID, HASH, "captured", 4), Usage(input=3))
    await store.execute(capture(ID, HASH, "captured", 3), ended)
    await store.close()


async def test_second_late_usage_of_a_hold_cannot_be_stored(sqlite_path: Path) -> None:
    await fill(sqlite_path)
    with closing(sqlite3.connect(sqlite_path)) as connection:
        again = (
            "insert into entry select account_id, 99, kind, 'new', at_ms, balance_after_pico, "
            "held_after_pico, amount_pico, held_pico, platform, platform_pico, overrun_pico, "
            "hold_id, key_hash, reason, min_balance_pico from entry where kind = 'late_usage'"
        )
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            connection.execute(again)


async def test_late_usage_in_the_batch_of_its_expiry_is_saved(sqlite_path: Path) -> None:
    await fill(sqlite_path)
    store = open_store(sqlite_path)
    lost = finished(
        open_generation(ID, HASH, "open", 4), Usage(input=1), EXPIRED_MS, HoldState.EXPIRED
    )
    results = await asyncio.gather(
        store.execute(expire(ID, HASH, "open", EXPIRED_MS, 1), lost),
        store.execute(capture_late(ID, HASH, "open", 5, LATE_MS)),
        store.execute(capture_late(ID, HASH, "open", 5, LATE_MS)),
    )
    assert [result.replayed for result in results] == [False, False, True]
    assert results[1].entry == await store.late_usage(ID, "open")
    assert (results[1].entry.amount_pico, results[1].entry.overrun_pico) == (-3, -2)
    assert await store.late_usage(ID, "lost") is None
    [row] = await store.activity(ID, from_day=day_of(LATE_MS), to_day=day_of(LATE_MS), limit=9)
    assert (row.requests, row.usage_pico) == (0, 5), "those of two calls, counted the day before"
    assert (await verify(store)).findings == []
    await store.close()


async def test_late_usage_of_a_hold_without_a_generation_is_saved(sqlite_path: Path) -> None:
    store = open_store(sqlite_path)
    await open_account(store, 100, account_id=ID)
    await make_key(store, ID, hash=HASH)
    await store.execute(place(ID, HASH, "old", 4))
    await store.execute(expire(ID, HASH, "old", EXPIRED_MS))
    await store.execute(capture_late(ID, HASH, "old", 3))
    assert await store.activity(ID, from_day=0, to_day=10**6, limit=9) == []
    assert (await verify(store)).findings == []
    await store.close()
