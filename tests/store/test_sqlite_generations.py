"""The generations of a SQLite store where one try is not enough, or the file is damaged."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite.connection import Connection
from modelgates_server.store.sqlite.opening import open_store
from tests.support import (
    PICO_PRICE,
    T0_MS,
    capture,
    finished,
    make_key,
    open_account,
    open_generation,
    place,
    void,
    voided_generation,
)


async def test_attachments_are_saved_when_a_batch_runs_again(sqlite_path: Path) -> None:
    """Once for a repeated command in the batch, once for a bug, once for each alone."""

    def mistake(_: Connection) -> None:
        raise ZeroDivisionError

    store = open_store(sqlite_path)
    account_id = await open_account(store, 100)
    _, key = await make_key(store, account_id)
    await store.execute(place(account_id, key.hash, "old", 1))
    for number in range(3):
        call = open_generation(account_id, key.hash, f"new-{number}", 5)
        ended = finished(call, Usage(input=4))
        answer = StoredAnswer(account_id, call.id, b"{}", T0_MS)
        asked = [
            store.execute(place(account_id, key.hash, call.id, 5), call),
            store.execute(capture(account_id, key.hash, call.id, 4), ended, answer),
        ]
        if number != 1:
            asked.append(store.execute(place(account_id, key.hash, "old", 1)))
        broken = store._writer.submit(mistake) if number else None
        receipts = await asyncio.gather(*asked)
        assert [receipt.replayed for receipt in receipts] == [False, False, True][: len(asked)]
        if broken is not None:
            with pytest.raises(ZeroDivisionError):
                await broken
        assert await store.generation(account_id, call.id) == ended
        assert await store.answer(account_id, call.id) == answer
        (row,) = await store.activity(account_id, from_day=0, limit=9)
        assert (row.requests, row.usage_pico) == (number + 1, 4 * (number + 1))
    assert (await verify(store)).findings == []
    await store.close()


async def test_damaged_record_is_not_served(sqlite_path: Path) -> None:
    store = open_store(sqlite_path)
    account_id = await open_account(store, 100)
    _, key = await make_key(store, account_id)
    call = open_generation(account_id, key.hash, "gen-1", 5, idempotency="digest")
    await store.execute(place(account_id, key.hash, call.id, 5), call)
    await store.add_prices([PICO_PRICE])
    with closing(sqlite3.connect(sqlite_path)) as connection:
        connection.execute("drop trigger price_is_never_changed")
        connection.execute("update generation set packed = substr(packed, 1, 40)")
        connection.execute("update price set tiers = '[]'")
        connection.commit()
    for read in (
        store.generation(account_id, "gen-1"),
        store.latest_by_idempotency_key(account_id, "digest"),
        store.price("price-1"),
        store.prices(),
    ):
        with pytest.raises(StoreUnavailable, match=r"cannot be read .*\. Restore the database"):
            await read
    await store.close()


async def test_error_stored_by_an_old_version_is_read_as_a_code(sqlite_path: Path) -> None:
    store = open_store(sqlite_path)
    account_id = await open_account(store, 100)
    _, key = await make_key(store, account_id)
    call = open_generation(account_id, key.hash, "gen-1", 5, idempotency="digest")
    await store.execute(place(account_id, key.hash, call.id, 5), call)
    ended = voided_generation(call)
    old = msgspec.structs.replace(ended, error="ProviderUnavailable")
    await store.execute(void(account_id, key.hash, call.id), old)
    read = msgspec.structs.replace(ended, error="provider_unavailable")
    assert await store.generation(account_id, call.id) == read
    assert await store.latest_by_idempotency_key(account_id, "digest") == read
    async with store.account_snapshot(account_id) as snapshot:
        rows = [row async for page in snapshot.generations() for row in page]
    assert [row.record for row in rows] == [read]
    assert (await verify(store)).findings == []
    await store.close()
