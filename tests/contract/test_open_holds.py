"""The open holds of one account, and of all accounts together."""

from modelgates_server.core.ledger.records import Hold, HoldState
from modelgates_server.service.ports import CallSummary, OpenHolds, Store
from tests.support import (
    HOLD_MS,
    T0_MS,
    extend,
    make_key,
    open_account,
    open_generation,
    place,
    void,
)


async def account_with_key(store: Store, credits_pico: int = 1000) -> tuple[str, str]:
    account_id = await open_account(store, credits_pico)
    _, key = await make_key(store, account_id)
    return account_id, key.hash


async def test_open_holds_are_those_of_the_account_oldest_first(store: Store) -> None:
    one, other = await account_with_key(store), await account_with_key(store)
    for hold_id, minute in (("c", 3), ("a", 1), ("b", 2), ("ended", 0)):
        await store.execute(place(*one, hold_id, 1, T0_MS + minute * 60_000))
    await store.execute(place(*other, "x", 5, T0_MS + 7))
    await store.execute(void(one[0], one[1], "ended"))
    await store.execute(extend(one[0], one[1], "c", "1", 4))
    open_holds = await store.open_holds(one[0], limit=10)
    assert [hold.id for hold, _ in open_holds] == ["a", "b", "c"]
    assert open_holds[0] == (
        Hold(*(one[0], "a", one[1], HoldState.OPEN, 1, T0_MS + 60_000, T0_MS + 60_000 + HOLD_MS)),
        None,
    )
    assert [hold.id for hold, _ in await store.open_holds(one[0], limit=2)] == ["a", "b"]
    assert await store.all_open_holds() == OpenHolds(4, 12, T0_MS + 7)


async def test_open_holds_come_with_their_calls(store: Store) -> None:
    account_id, key_hash = await account_with_key(store)
    for number, streamed in enumerate([True, False]):
        names = (account_id, key_hash, f"gen-{number}", 1, T0_MS + number)
        generation = open_generation(*names, model=f"maker/{number}", streamed=streamed)
        await store.execute(place(*names), generation)
    await store.execute(place(account_id, key_hash, "by-hand", 1, T0_MS + 2))
    open_holds = await store.open_holds(account_id, limit=10)
    assert [(hold.id, call) for hold, call in open_holds] == [
        ("gen-0", CallSummary(model="maker/0", streamed=True)),
        ("gen-1", CallSummary(model="maker/1", streamed=False)),
        ("by-hand", None),
    ]


async def test_holds_of_all_accounts_can_exceed_the_maximum_of_one(store: Store) -> None:
    for _ in range(3):
        account_id, key_hash = await account_with_key(store, 2**63 - 1)
        await store.execute(place(account_id, key_hash, "h", 2**63 - 1))
    assert (await store.all_open_holds()).amount_pico == 3 * (2**63 - 1)
