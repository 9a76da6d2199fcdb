"""A closing store finishes the commands it accepted, and raises `Stopping` for all later ones."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from modelgates_server.core.errors import Stopping
from modelgates_server.core.keys import KeyChange
from tests.support import T0_MS, grant, make_key, new_key, open_account, open_database


async def test_closing_store_finishes_accepted_commands_and_rejects_new_ones(
    database_url: str,
) -> None:
    store = open_database(database_url)
    account_id = await open_account(store, 5)
    grants = [grant(account_id, 1, str(number)) for number in range(99)]
    accepted = [asyncio.ensure_future(store.execute(command)) for command in grants]
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(Stopping, match="stopping"):
        await store.execute(grant(account_id, 1, "late"))
    assert len(await asyncio.gather(*accepted)) == 99
    reopened = open_database(database_url)
    account = await reopened.account(account_id)
    assert account is not None
    assert account.credits_pico == 104
    await reopened.close()


async def test_closed_store_raises_stopping_for_every_operation(database_url: str) -> None:
    store = open_database(database_url)
    account_id = await open_account(store, 5)
    _, key = await make_key(store, account_id)
    _, new = new_key(account_id)
    await store.close()

    async def snapshot() -> None:
        async with store.account_snapshot(account_id):
            pass

    requests: list[Callable[[], Awaitable[object]]] = [
        lambda: store.execute(grant(account_id, 1, "late")),
        lambda: store.account(account_id),
        lambda: store.account_and_key(key.hash),
        lambda: store.accounts(after="", limit=1),
        lambda: store.entries(account_id, after_seq=0, limit=1),
        lambda: store.expired_holds(T0_MS, 1),
        lambda: store.open_holds(account_id, limit=1),
        store.all_open_holds,
        lambda: store.generation(account_id, "gen-1"),
        lambda: store.generation_by_id("gen-1"),
        lambda: store.latest_by_idempotency_key(account_id, "digest"),
        lambda: store.answer(account_id, "gen-1"),
        lambda: store.forget_answers(T0_MS),
        lambda: store.activity(account_id, from_day=0, limit=1),
        lambda: store.add_prices([]),
        store.prices,
        lambda: store.price("price-1"),
        lambda: store.authenticated_key(key.hash),
        lambda: store.key(key.hash),
        lambda: store.keys(account_id, kinds=[], include_disabled=True, offset=0, limit=1),
        lambda: store.create_key(new),
        lambda: store.change_key(key.hash, KeyChange(), T0_MS),
        lambda: store.forget_key_creation_records(T0_MS),
        snapshot,
        store.damage,
        store.ping,
    ]
    for request in requests:
        with pytest.raises(Stopping):
            await request()
