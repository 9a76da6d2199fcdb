"""The sweeper on a real store: what is due is resolved, whatever else goes wrong."""

import asyncio
from pathlib import Path

import pytest

from modelgates_server import service
from modelgates_server.core.errors import ReferenceReused
from modelgates_server.service.maintenance import Maintenance
from modelgates_server.service.ports import Store
from tests.deadlines import within
from tests.gateway import asking, begin, metered, new_caller
from tests.support import (
    DOLLAR,
    HOLD_MS,
    T0_MS,
    ManualClock,
    capture,
    extend,
    grant,
    make_key,
    open_account,
    place,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0_MS + 2 * HOLD_MS)


async def account_with_hold(store: Store, hold_id: str) -> tuple[str, str]:
    """An account with one open hold of 3 dollars; its id and the key's hash."""
    account_id = await open_account(store, 10 * DOLLAR)
    _, key = await make_key(store, account_id)
    await store.execute(place(account_id, key.hash, hold_id, 3 * DOLLAR))
    return account_id, key.hash


def maintenance(store: Store, clock: ManualClock, folder: Path) -> Maintenance:
    return metered(store, clock, folder / "spool").maintenance


async def held(store: Store, account_id: str) -> int:
    account = await store.account(account_id)
    assert account is not None
    return account.held_pico


async def test_hold_left_by_a_crash_is_resolved(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    account_id, _ = await account_with_hold(store, "gen-1")
    assert await maintenance(store, clock, tmp_path).run_once() == 1
    assert await held(store, account_id) == 0
    assert await maintenance(store, clock, tmp_path).run_once() == 0


async def test_hold_that_is_not_due_is_left_open(store: Store, tmp_path: Path) -> None:
    account_id, _ = await account_with_hold(store, "gen-1")
    assert await maintenance(store, ManualClock(T0_MS), tmp_path).run_once() == 0
    assert await held(store, account_id) == 3 * DOLLAR


async def test_orphan_behind_many_running_calls_is_resolved(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.maintenance, "_PAGE", 1)
    clock = ManualClock(T0_MS - HOLD_MS)
    built = metered(store, clock, tmp_path / "spool")
    caller = await new_caller(store)
    for _ in range(3):
        await begin(built.calls, caller, asking(model="sandbox/echo"))
    account_id, _ = await account_with_hold(store, "gen-1")
    clock.forward(3 * HOLD_MS)
    assert await built.maintenance.run_once() == 1
    assert await held(store, account_id) == 0
    assert len(await store.open_holds(caller.account_id, limit=9)) == 3


async def test_hold_that_expires_while_all_processes_are_suspended_waits_for_its_heartbeat(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine sleeps during the grace that another orphan started."""
    clock = ManualClock(T0_MS + HOLD_MS)
    orphan, _ = await account_with_hold(store, "gen-1")
    account_id = await open_account(store, 10 * DOLLAR)
    _, key = await make_key(store, account_id)
    await store.execute(place(account_id, key.hash, "gen-2", 3 * DOLLAR, clock()))
    read = type(store).expired_holds

    async def sleep_after(self: Store, at_ms: int, limit: int) -> object:
        due = await read(self, at_ms, limit)
        clock.now_ms = T0_MS + 3 * HOLD_MS
        return due

    monkeypatch.setattr(type(store), "expired_holds", sleep_after)
    assert await maintenance(store, clock, tmp_path).run_once() == 1
    assert (await held(store, orphan), await held(store, account_id)) == (0, 3 * DOLLAR)
    assert await maintenance(store, clock, tmp_path).run_once() == 1
    assert await held(store, account_id) == 0


@pytest.mark.parametrize("move", ["capture", "extend"])
async def test_hold_extended_during_the_sweep_does_not_stop_it(
    store: Store,
    clock: ManualClock,
    move: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account_id, key_hash = await account_with_hold(store, "gen-1")
    read = type(store).expired_holds

    async def read_late(self: Store, at_ms: int, limit: int) -> object:
        due = await read(self, at_ms, limit)
        if due and move == "capture":
            await store.execute(capture(account_id, key_hash, "gen-1", DOLLAR))
        elif due:
            await store.execute(extend(account_id, key_hash, "gen-1", "1", 0, at_ms=clock()))
        return due

    monkeypatch.setattr(type(store), "expired_holds", read_late)
    assert await maintenance(store, clock, tmp_path).run_once() == 0


async def test_hold_that_cannot_be_resolved_does_not_delay_the_others(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    stuck, _ = await account_with_hold(store, "gen-1")
    other, _ = await account_with_hold(store, "gen-2")
    await store.execute(grant(stuck, 1, "expire:gen-1"))
    troubles: list[Exception] = []
    swept = asyncio.Event()

    def report(error: Exception) -> None:
        troubles.append(error)
        swept.set()

    task = asyncio.create_task(maintenance(store, clock, tmp_path).run_forever(3600, report))
    async with within():
        await swept.wait()
    assert not task.done(), "it continues"
    task.cancel()
    assert await held(store, other) == 0
    assert await held(store, stuck) == 3 * DOLLAR
    assert [type(error) for error in troubles] == [ReferenceReused]
