"""The clock of the machine, compared with the ledger and with the time that has passed."""

from pathlib import Path

import msgspec
import pytest

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.service.clock_check import ClockCheck
from modelgates_server.service.part_states import PartState, Status
from modelgates_server.service.ports import Store
from tests.gateway import metered
from tests.support import HOUR_MS, T0_MS, ManualClock, grant, open_account

DAY_MS = 24 * HOUR_MS
OK = PartState(Status.OK)


class Machine:
    """A machine whose clock can be set, apart from the time that passes."""

    def __init__(self, store: Store, now_ms: int = T0_MS) -> None:
        self.clock = ManualClock(now_ms)
        self.steady = ManualClock(77)
        self.check = ClockCheck(store, self.clock, self.steady)

    def pass_time(self, ms: int) -> None:
        self.clock.forward(ms)
        self.steady.forward(ms)

    async def cause(self) -> str:
        state = await self.check()
        assert (state.status is Status.WARNING) == bool(state.cause)
        return state.cause


BEHIND = "The clock is more than an hour behind the newest entry of the ledger."


async def test_clock_that_agrees_with_the_ledger_and_with_time_is_ok(store: Store) -> None:
    await open_account(store, 5)
    machine = Machine(store)
    assert await machine.check() == OK
    machine.pass_time(3 * HOUR_MS)
    assert await machine.check() == OK
    assert (machine.check.behind_ms, machine.check.stepped_ms) == (0, 0)


async def test_empty_or_idle_ledger_is_no_evidence(store: Store) -> None:
    assert await Machine(store, 0).check() == OK
    await open_account(store, 5)
    assert await Machine(store, T0_MS + 400 * DAY_MS).check() == OK


@pytest.mark.parametrize(("behind_ms", "cause"), [(HOUR_MS, ""), (HOUR_MS + 1, BEHIND)])
async def test_clock_far_behind_the_newest_entry_is_reported_at_the_start(
    store: Store, behind_ms: int, cause: str
) -> None:
    await open_account(store, 5)
    machine = Machine(store, T0_MS - behind_ms)
    assert await machine.cause() == cause
    assert machine.check.behind_ms == behind_ms
    state = await machine.check()
    assert ("newest entry is dated 2026-11-23T13:12:00.000Z" in state.detail) is bool(cause)


async def test_entry_with_the_right_time_does_not_hide_one_in_the_future(store: Store) -> None:
    account_id = await open_account(store)
    machine = Machine(store, T0_MS - 2 * HOUR_MS)
    assert await machine.cause() == BEHIND
    await store.execute(msgspec.structs.replace(grant(account_id, 5), at_ms=machine.clock()))
    assert await machine.cause() == BEHIND
    machine.pass_time(2 * HOUR_MS)
    assert await machine.check() == OK, "that time has come"


@pytest.mark.parametrize(
    ("step_ms", "direction"), [(60_001, "forward"), (-60_001, "back"), (400 * DAY_MS, "forward")]
)
async def test_step_of_the_clock_is_reported_for_a_day(
    store: Store, step_ms: int, direction: str
) -> None:
    machine = Machine(store)
    assert await machine.check() == OK
    machine.clock.forward(step_ms)
    cause = f"The clock was set {direction} by more than a minute."
    assert await machine.cause() == cause
    assert machine.check.stepped_ms == step_ms
    machine.pass_time(DAY_MS)
    assert await machine.cause() == cause
    machine.pass_time(1)
    assert await machine.check() == OK
    assert machine.check.stepped_ms == 0
    machine.clock.forward(-step_ms)
    assert await machine.cause() != "", "the way back is a step too"


async def test_step_that_is_undone_is_no_longer_reported(store: Store) -> None:
    machine = Machine(store)
    machine.clock.forward(HOUR_MS)
    assert await machine.cause() != ""
    machine.clock.forward(-HOUR_MS)
    assert await machine.check() == OK


async def test_small_corrections_of_the_clock_are_ok(store: Store) -> None:
    machine = Machine(store)
    for step_ms in (60_000, -30_000, 30_000):
        machine.clock.forward(step_ms)
        assert await machine.check() == OK
    machine.clock.forward(1)
    assert await machine.cause() != "", "together they are more than a minute"
    machine.pass_time(DAY_MS + 1)
    assert await machine.check() == OK


async def test_database_that_is_unavailable_leaves_the_clock_to_the_other_evidence() -> None:
    class Away:
        async def newest_entry_ms(self) -> int:
            raise StoreUnavailable

    machine = Machine(Away())  # type: ignore[arg-type]
    assert await machine.check() == OK
    machine.clock.forward(2 * HOUR_MS)
    assert await machine.cause() == "The clock was set forward by more than a minute."


async def test_server_process_checks_its_clock(store: Store, tmp_path: Path) -> None:
    await open_account(store, 5)
    services = metered(store, ManualClock(T0_MS - 2 * HOUR_MS), tmp_path)
    assert (await services.checks["clock"]()).cause == BEHIND
