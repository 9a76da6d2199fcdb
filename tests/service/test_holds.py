"""The steps of one call's hold: each may be repeated, as after a lost answer, and counts once."""

import pytest

from modelgates_server.core.books import Account
from modelgates_server.core.errors import HoldEnded, ReferenceReused
from modelgates_server.service.holds import Holds
from modelgates_server.service.ports import Store
from tests.support import DOLLAR, ManualClock, make_key, open_account

TTL_S = 60


async def figures(store: Store, account_id: str) -> tuple[int, int]:
    account = await store.account(account_id)
    assert isinstance(account, Account)
    return account.usage_pico, account.held_pico


async def test_a_repeated_step_does_not_bill_or_hold_twice(
    store: Store, clock: ManualClock
) -> None:
    holds, account_id = Holds(store, clock), await open_account(store, 10 * DOLLAR)
    _, key = await make_key(store, account_id)
    for repeated in (False, True):
        placed = await holds.place(account_id, key.hash, "gen-1", 2 * DOLLAR, TTL_S)
        assert placed.replayed == repeated
    for repeated in (False, True):
        more = await holds.extend(account_id, "gen-1", "1", DOLLAR, TTL_S)
        assert more.replayed == repeated
    assert await figures(store, account_id) == (0, 3 * DOLLAR)
    for repeated in (False, True):
        clock.forward(1000)
        assert (await holds.capture(account_id, "gen-1", DOLLAR)).replayed == repeated
    assert await figures(store, account_id) == (DOLLAR, 0)
    with pytest.raises(ReferenceReused):
        await holds.capture(account_id, "gen-1", 2 * DOLLAR)
    with pytest.raises(HoldEnded):
        await holds.void(account_id, "gen-1")


async def test_a_void_frees_all_once(store: Store, clock: ManualClock) -> None:
    holds, account_id = Holds(store, clock), await open_account(store, 10 * DOLLAR)
    _, key = await make_key(store, account_id)
    await holds.place(account_id, key.hash, "gen-1", 2 * DOLLAR, TTL_S)
    for repeated in (False, True):
        assert (await holds.void(account_id, "gen-1")).replayed == repeated
    assert await figures(store, account_id) == (0, 0)
