import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import pytest

from modelgates_server.core.errors import AccountNotFound
from modelgates_server.core.keys import KeyChange
from modelgates_server.service.ports import Store
from tests.support import (
    T0_MS,
    capture,
    extend,
    grant,
    make_key,
    new_account_id,
    open_account,
    place,
    void,
)

T = TypeVar("T")


async def read(pages: AsyncIterator[Sequence[T]]) -> list[T]:
    return [row async for page in pages for row in page]


async def test_snapshot_has_every_row_of_one_account_in_order(store: Store) -> None:
    account_id, other = await open_account(store, 100), await open_account(store, 100)
    _, key = await make_key(store, account_id)
    _, deleted = await make_key(store, account_id)
    _, others = await make_key(store, other)
    await store.change_key(deleted.hash, KeyChange(deleted=True), T0_MS)
    await store.execute(place(other, others.hash, "h", 1))
    for hold_id in ("b", "a"):
        await store.execute(place(account_id, key.hash, hold_id, 1))
        await store.execute(extend(account_id, key.hash, hold_id, "1", 1))
    await store.execute(void(account_id, key.hash, "b"))
    await store.execute(capture(account_id, key.hash, "a", 2))
    async with store.account_snapshot(account_id) as snapshot:
        assert snapshot.account == await store.account(account_id)
        assert {k.hash for k in snapshot.keys} == {key.hash, deleted.hash}
        entries = await read(snapshot.entries())
        assert entries == await store.entries(account_id, after_seq=0, limit=100)
        on_holds = [(entry.hold_id, entry.seq) for entry in await read(snapshot.hold_entries())]
        assert on_holds == [("a", 5), ("a", 6), ("a", 8), ("b", 3), ("b", 4), ("b", 7)]
        holds = [(hold.id, hold.charged_pico) for hold in await read(snapshot.holds())]
        assert holds == [("a", 2), ("b", 0)]


async def test_snapshot_does_not_change_while_it_is_read(store: Store) -> None:
    account_id = await open_account(store, 5)
    _, key = await make_key(store, account_id)
    async with store.account_snapshot(account_id) as snapshot:
        await store.execute(grant(account_id, 1, "later"))
        await store.execute(place(account_id, key.hash, "later", 1))
        assert len(await read(snapshot.entries())) == snapshot.account.last_seq == 2
        assert await read(snapshot.hold_entries()) == []
        assert await read(snapshot.holds()) == []
    account = await store.account(account_id)
    assert account is not None
    assert (account.credits_pico, account.last_seq) == (6, 4)


async def test_long_snapshot_is_paged_without_losing_an_entry(store: Store) -> None:
    account_id = await open_account(store)
    await asyncio.gather(
        *(store.execute(grant(account_id, 1, str(number))) for number in range(1999))
    )
    async with store.account_snapshot(account_id) as snapshot:
        sizes = [len(page) async for page in snapshot.entries()]
        assert sum(sizes) == 2000
        assert max(sizes) <= 1000
        assert [e.seq for e in await read(snapshot.entries())] == list(range(1, 2001))


async def test_snapshot_of_unknown_account_is_rejected(store: Store) -> None:
    with pytest.raises(AccountNotFound):
        async with store.account_snapshot(new_account_id()):
            pytest.fail("opened")


async def test_intact_database_reports_no_damage(store: Store) -> None:
    account_id = await open_account(store, 5)
    await make_key(store, account_id)
    await store.ping()
    assert await store.damage() == []
