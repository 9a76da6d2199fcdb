"""Keys that a wrong clock shut: operators open them at once, maintenance with the next window."""

from pathlib import Path

import pytest

from modelgates_server.core.errors import Conflict, KeyLimitExceeded, KeyNotFound
from modelgates_server.core.keys import Key, WindowUsage
from modelgates_server.core.ledger.records import EntryKind
from modelgates_server.core.times import MS_PER_DAY, LimitReset
from modelgates_server.service.key_repair import KeyRepair
from modelgates_server.service.ports import Store
from modelgates_server.service.verify import verify
from tests.gateway import metered
from tests.support import (
    DOLLAR,
    HOUR_MS,
    T0_MS,
    ManualClock,
    capture,
    make_key,
    open_account,
    place,
)

FUTURE_MS = T0_MS + 300 * MS_PER_DAY
LIMIT = 10


async def shut_key(store: Store, reset: LimitReset | None = LimitReset.DAILY) -> Key:
    """A key that used 3 picos today, and 10 by a clock that was 300 days ahead."""
    account_id = await open_account(store, DOLLAR)
    _, key = await make_key(store, account_id, limit_pico=LIMIT, limit_reset=reset)
    if reset is None:
        await spend(store, key, 1, FUTURE_MS)
    else:
        await spend(store, key, 3, T0_MS)
        await spend(store, key, LIMIT, FUTURE_MS)
    return await stored(store, key)


async def spend(store: Store, key: Key, amount_pico: int, at_ms: int) -> None:
    hold_id = f"{at_ms} {amount_pico}"
    await store.execute(place(key.account_id, key.hash, hold_id, amount_pico, at_ms))
    await store.execute(capture(key.account_id, key.hash, hold_id, amount_pico, at_ms))


async def stored(store: Store, key: Key) -> Key:
    found = await store.key(key.hash)
    assert found is not None
    return found


async def repairs(store: Store, key: Key) -> list[str | None]:
    """The reasons of all repairs in the journal, which must verify."""
    entries = await store.entries(key.account_id, after_seq=0, limit=100)
    assert (await verify(store)).findings == []
    return [entry.reason for entry in entries if entry.kind is EntryKind.KEY_REPAIR]


def repairing(store: Store, clock: ManualClock) -> KeyRepair:
    return KeyRepair(store, clock, bytes)


async def test_plan_shows_what_a_repair_changes_and_changes_nothing(
    store: Store, clock: ManualClock
) -> None:
    key = await shut_key(store)
    plan = await repairing(store, clock).plan(key.hash)
    assert plan.is_needed
    assert plan.before == WindowUsage(LIMIT, LIMIT, LIMIT)
    assert plan.after == WindowUsage(3, 3, 3)
    assert await stored(store, key) == key
    with pytest.raises(KeyLimitExceeded):
        await spend(store, key, 1, T0_MS + 1)


async def test_repaired_key_can_spend_the_rest_of_its_window(
    store: Store, clock: ManualClock
) -> None:
    key, service = await shut_key(store), repairing(store, clock)
    result = await service.repair(await service.plan(key.hash), "clock of node 3")
    assert (result.entry.reference, result.entry.amount_pico) == (f"repair:{bytes(12).hex()}", 0)
    assert await repairs(store, key) == ["clock of node 3"]
    await spend(store, key, LIMIT - 3, T0_MS + 1)
    with pytest.raises(KeyLimitExceeded):
        await spend(store, key, 1, T0_MS + 2)


async def test_repair_with_a_reference_is_made_once(store: Store, clock: ManualClock) -> None:
    key, service = await shut_key(store), repairing(store, clock)
    for replayed in (False, True):
        plan = await service.plan(key.hash)
        assert (await service.repair(plan, "x", "incident-12")).replayed is replayed
    with pytest.raises(Conflict, match="no charge that is dated after today"):
        await service.repair(await service.plan(key.hash), "x", "incident-13")


async def test_plan_is_refused_when_the_key_does_not_exist(
    store: Store, clock: ManualClock
) -> None:
    with pytest.raises(KeyNotFound):
        await repairing(store, clock).plan("a" * 64)


async def test_shut_window_opens_with_the_next_real_one(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    key = await shut_key(store)
    maintenance = metered(store, clock, tmp_path / "spool").maintenance
    for _ in range(11):  # until 23:12
        await maintenance.run_once()
        assert await stored(store, key) == key
        clock.forward(HOUR_MS)
    await maintenance.run_once()
    assert await repairs(store, key) == ["The last charge is dated 2027-09-19: a clock was wrong."]
    await spend(store, key, LIMIT, clock())
    with pytest.raises(KeyLimitExceeded):
        await spend(store, key, 1, clock())
    await maintenance.run_once()
    assert len(await repairs(store, key)) == 1


@pytest.mark.parametrize(
    ("reset", "days"), [(LimitReset.WEEKLY, 7), (LimitReset.MONTHLY, 8), (None, 1)]
)
async def test_shut_window_opens_no_earlier_than_the_next_of_its_kind(
    store: Store, clock: ManualClock, reset: LimitReset | None, days: int
) -> None:
    """It is Monday, 23 November."""
    key, service = await shut_key(store, reset), repairing(store, clock)
    for _ in range(days):
        assert await service.repair_due() == 0
        clock.forward(MS_PER_DAY)
    assert await service.repair_due() == 1
    assert len(await repairs(store, key)) == 1


async def test_clock_that_steps_back_for_a_moment_opens_nothing(
    store: Store, clock: ManualClock
) -> None:
    """The right time is 300 days later."""
    key, service = await shut_key(store), repairing(store, clock)
    assert await service.repair_due() == 0
    clock.now_ms = FUTURE_MS
    assert await service.repair_due() == 0
    clock.now_ms = T0_MS + 5 * MS_PER_DAY
    assert await service.repair_due() == 0, "it was not seen to pass a midnight"
    clock.now_ms = FUTURE_MS + 1
    with pytest.raises(KeyLimitExceeded):
        await spend(store, key, 1, clock())
    assert await repairs(store, key) == []


async def test_charge_that_is_dated_tomorrow_waits_for_tomorrow(
    store: Store, clock: ManualClock
) -> None:
    account_id = await open_account(store, DOLLAR)
    _, key = await make_key(store, account_id, limit_pico=LIMIT, limit_reset=LimitReset.DAILY)
    await spend(store, key, LIMIT, T0_MS + MS_PER_DAY)
    service = repairing(store, clock)
    for _ in range(3):
        assert await service.repair_due() == 0
        clock.forward(MS_PER_DAY)


async def test_two_processes_repair_a_key_once(store: Store, clock: ManualClock) -> None:
    key = await shut_key(store)
    services = [repairing(store, clock) for _ in range(2)]
    for service in services:
        await service.repair_due()
    clock.forward(MS_PER_DAY)
    for service in services:
        await service.repair_due()
    assert len(await repairs(store, key)) == 1
