"""The steps of one call's hold: each may be repeated, as after a lost answer, and counts once."""

from typing import Any

import pytest

from modelgates_server.core.errors import HoldEnded, ReferenceReused
from modelgates_server.core.ledger.records import Account, HoldState
from modelgates_server.core.metering.generations import Generation, Origin
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.service.holds import Holds
from modelgates_server.service.ports import Store
from tests.support import DOLLAR, T0_MS, ManualClock, make_key, open_account

TTL_S = 60


async def begun(store: Store) -> Generation:
    """A call by a new account with ten dollars, whose worst case is two."""
    account_id = await open_account(store, 10 * DOLLAR)
    _, key = await make_key(store, account_id)
    return Generation(
        id="gen-1",
        account_id=account_id,
        key_hash=key.hash,
        api=Api.CHAT,
        model="sandbox/echo",
        endpoint_id="sandbox:echo",
        provider="sandbox",
        price_id="price_1",
        markup_bp=0,
        origin=Origin(request_id="req_1"),
        created_at_ms=T0_MS,
        hold_pico=2 * DOLLAR,
        prompt_tokens_max=10,
        completion_tokens_max=10,
        streamed=False,
    )


def ended(generation: Generation, state: HoldState, **members: Any) -> Generation:
    return Generation(
        **{
            **{name: getattr(generation, name) for name in generation.__struct_fields__},
            "state": state,
            "ended_at_ms": T0_MS + 1000,
            **members,
        }
    )


async def figures(store: Store, account_id: str) -> tuple[int, int]:
    account = await store.account(account_id)
    assert isinstance(account, Account)
    return account.usage_pico, account.held_pico


async def test_repeated_step_does_not_bill_or_hold_twice(store: Store, clock: ManualClock) -> None:
    holds, generation = Holds(store, clock), await begun(store)
    account_id = generation.account_id
    for repeated in (False, True):
        assert (await holds.place(generation, TTL_S)).replayed == repeated
    for repeated in (False, True):
        assert (await holds.extend(generation, 1, TTL_S)).replayed == repeated
    assert await figures(store, account_id) == (0, 2 * DOLLAR)
    captured = ended(generation, HoldState.CAPTURED, cost_pico=DOLLAR)
    for repeated in (False, True):
        assert (await holds.end(captured)).replayed == repeated
    assert await figures(store, account_id) == (DOLLAR, 0)
    with pytest.raises(ReferenceReused):
        await holds.end(ended(generation, HoldState.CAPTURED, cost_pico=2 * DOLLAR))
    with pytest.raises(HoldEnded):
        await holds.end(ended(generation, HoldState.VOIDED))


async def test_void_releases_the_hold_once(store: Store, clock: ManualClock) -> None:
    holds, generation = Holds(store, clock), await begun(store)
    await holds.place(generation, TTL_S)
    for repeated in (False, True):
        assert (await holds.end(ended(generation, HoldState.VOIDED))).replayed == repeated
    assert await figures(store, generation.account_id) == (0, 0)


async def test_usage_above_the_hold_is_posted_to_the_platform(
    store: Store, clock: ManualClock
) -> None:
    holds, generation = Holds(store, clock), await begun(store)
    await holds.place(generation, TTL_S)
    dear = ended(generation, HoldState.CAPTURED, cost_pico=2 * DOLLAR, overrun_pico=5)
    entry = (await holds.end(dear)).entry
    assert (entry.amount_pico, entry.overrun_pico) == (-2 * DOLLAR, -5)
    assert await figures(store, generation.account_id) == (2 * DOLLAR, 0)


async def test_extension_changes_the_expiry_and_not_the_amount(
    store: Store, clock: ManualClock
) -> None:
    holds, generation = Holds(store, clock), await begun(store)
    await holds.place(generation, TTL_S)
    clock.forward(TTL_S * 1000 - 1)
    await holds.extend(generation, 1, TTL_S)
    assert await store.expired_holds(T0_MS + TTL_S * 1000, 10) == []
    [hold] = await store.expired_holds(clock() + TTL_S * 1000, 10)
    assert (hold.id, hold.amount_pico) == ("gen-1", 2 * DOLLAR)
