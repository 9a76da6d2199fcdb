"""Ends of calls that neither the database nor the spool takes, and new calls on a full disk."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from modelgates_server.core.errors import DiskFull
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.service.calls import settling as module
from modelgates_server.service.calls.settling import Settling
from modelgates_server.service.part_states import PartState, Status
from modelgates_server.service.spool_ports import PendingSettlement, Spool
from modelgates_server.store.emergency import emergency_folder
from modelgates_server.store.spool import FolderSpool
from tests.deadlines import within
from tests.gateway import (
    READ_PICO,
    TIMEOUTS,
    WRITTEN_PICO,
    CallHarness,
    FakeClient,
    asking,
    begin,
    disk_of,
    moved_away,
    pending,
    relay,
    take,
    until,
)
from tests.upstream import Gate, Upstream, UpstreamReply, story

COST_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO
AT_RISK = "Neither the database nor the spool takes the ends of calls: they are at risk."
WAITING = "Ends of calls wait for the database."


class Hanging:
    """A ledger on a disk that hangs: it neither saves nor fails."""

    async def execute(self, *_: Any) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError


class Ends:
    """A settling with a spool and an emergency folder, and an end to commit."""

    def __init__(self, harness: CallHarness, folder: Path, end: PendingSettlement) -> None:
        self.harness = harness
        self.end = end
        self.spool_path = folder / "spool"
        self.spool = FolderSpool(self.spool_path)
        self.emergency = emergency_folder(folder / "emergency")
        self.settling = self.on(harness.store)

    def on(self, ledger: Any) -> Settling:
        """The settling of another process."""
        observer, disk = self.harness.calls._observer, disk_of(self.spool_path)
        spools: list[Spool] = [self.spool, self.emergency]
        return Settling(ledger, spools, disk, observer, self.harness.clock)

    async def cause(self, settling: Settling | None = None) -> tuple[Status, str]:
        state = await (settling or self.settling).check()
        return state.status, state.cause


@pytest.fixture
async def ends(harness: CallHarness, tmp_path: Path) -> AsyncIterator[Ends]:
    """The end of a call that is not committed. The call is settled after the test."""
    call = await harness.begin(asking())
    await call.open()
    await call._attempt.read_answer()
    yield Ends(harness, tmp_path / "ends", PendingSettlement(call._settle(None)))
    await call.close(None)


@contextmanager
def unusable(spool: Path) -> Iterator[None]:
    """Puts a file in the way of a spool."""
    spool.parent.mkdir(parents=True, exist_ok=True)
    spool.touch()
    yield
    spool.unlink()


async def usage_pico(ends: Ends) -> int:
    return (await ends.harness.account()).usage_pico


async def test_end_that_the_spool_does_not_take_is_in_the_emergency_folder_at_once(
    ends: Ends, sqlite_path: Path
) -> None:
    with unusable(ends.spool_path):
        with moved_away(sqlite_path):
            await ends.settling.commit_end(ends.end)
            assert ends.settling.unsaved() == [ends.end]
            assert await pending(ends.emergency) == [ends.end]
            assert await ends.settling.pending_ids() == {ends.end.generation.id}
        assert await ends.cause() == (Status.WARNING, "The spool cannot be read.")
        await ends.settling.drain_spool()
    assert ends.settling.unsaved() == []
    assert await pending(ends.emergency) == []
    assert await usage_pico(ends) == COST_PICO
    assert await ends.cause() == (Status.OK, "")


async def test_end_in_the_emergency_folder_is_committed_by_the_next_process(
    ends: Ends, sqlite_path: Path
) -> None:
    with unusable(ends.spool_path), moved_away(sqlite_path):
        await ends.settling.commit_end(ends.end)
    after = ends.on(ends.harness.store)
    assert await after.pending_ids() == {ends.end.generation.id}, "its hold is not an orphan"
    assert await ends.cause(after) == (Status.WARNING, WAITING)
    for _ in range(2):
        await after.drain_spool()
        assert await usage_pico(ends) == COST_PICO
    assert await pending(ends.emergency) == []


async def test_unsaved_end_goes_to_the_database_at_the_stop(ends: Ends, sqlite_path: Path) -> None:
    with unusable(ends.spool_path):
        with moved_away(sqlite_path):
            await ends.settling.commit_end(ends.end)
        await ends.settling.save_rest()
    assert ends.settling.unsaved() == []
    assert await usage_pico(ends) == COST_PICO


async def test_unsaved_end_goes_to_the_spool_at_the_stop(ends: Ends, sqlite_path: Path) -> None:
    with moved_away(sqlite_path):
        with unusable(ends.spool_path):
            await ends.settling.commit_end(ends.end)
            assert await ends.cause(ends.settling) != (Status.OK, "")
        assert await ends.cause() == (Status.WARNING, AT_RISK)
        await ends.settling.save_rest()
        assert ends.settling.unsaved() == []
        assert await pending(ends.spool) == [ends.end]
    await ends.settling.drain_spool()
    assert await usage_pico(ends) == COST_PICO


async def test_end_is_unsaved_when_nothing_takes_it_at_the_stop(
    ends: Ends, sqlite_path: Path
) -> None:
    folders = ends.spool_path, ends.spool_path.with_name("emergency")
    with unusable(folders[0]), unusable(folders[1]), moved_away(sqlite_path):
        await ends.settling.commit_end(ends.end)
        await ends.settling.save_rest()
        assert ends.settling.unsaved() == [ends.end]
    await ends.settling.drain_spool()
    assert await usage_pico(ends) == COST_PICO


async def test_end_whose_commit_hangs_goes_to_the_spool_at_the_stop(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STEP_MAX_S", 0.05)
    settling = ends.on(Hanging())
    committing = asyncio.ensure_future(settling.commit_end(ends.end))
    await until(lambda: settling.unsaved() == [ends.end])
    async with within():
        await settling.save_rest()
    assert settling.unsaved() == []
    assert await pending(ends.spool) == [ends.end]
    committing.cancel()


async def test_end_is_not_forgotten_when_its_task_is_cancelled_again_and_again(ends: Ends) -> None:
    settling = ends.on(Hanging())
    committing = asyncio.ensure_future(settling.commit_end(ends.end))
    await until(lambda: settling.unsaved() == [ends.end])
    while not committing.done():
        committing.cancel()
        await asyncio.sleep(0)
    assert committing.cancelled()
    assert settling.unsaved() == [ends.end]


async def test_commit_on_a_full_disk_stops_new_calls(
    harness: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    call, client = await harness.begin(asking(stream=True)), FakeClient()
    work = asyncio.ensure_future(relay(call, client))
    await client.until("word1")

    async def full(*_: object) -> NoReturn:
        raise DiskFull("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(harness.store, "execute", full)
        gate.go.set()
        await work
    with pytest.raises(DiskFull):
        await harness.begin(asking())
    await harness.calls.settling.drain_spool()
    assert (await harness.saved(call)).cost_pico == COST_PICO


async def test_hold_that_meets_a_full_disk_stops_new_calls(
    harness: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> NoReturn:
        raise DiskFull("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(harness.store, "execute", full)
        with pytest.raises(DiskFull):
            await harness.begin(asking())
    with pytest.raises(DiskFull):
        await harness.begin(asking())
    assert upstream.asked == []
    assert (await harness.account()).held_pico == 0


async def test_full_disk_rejects_only_new_calls(harness: CallHarness, upstream: Upstream) -> None:
    """A running call keeps its hold and is charged, and a repeat gets the stored response."""
    first = await harness.begin(asking(key="k"))
    body = await take(first)
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    running, client = await harness.begin(asking(stream=True)), FakeClient()
    work = asyncio.ensure_future(relay(running, client))
    await client.until("word1")
    harness.calls._admission._disk.met_full()
    with pytest.raises(DiskFull):
        await harness.begin(asking())
    repeat = await begin(harness.calls, harness.caller, asking(key="k"))
    assert isinstance(repeat, StoredAnswer)
    assert repeat.body == body
    harness.clock.forward(TIMEOUTS.hold_ttl_s * 1000 // 3)
    harness.calls.registry.heartbeat()

    async def extended() -> bool:
        [(hold, _)] = await harness.store.open_holds(harness.caller.account_id, limit=9)
        return hold.expires_at_ms == harness.clock() + TIMEOUTS.hold_ttl_s * 1000

    await until(extended)
    gate.go.set()
    await work
    assert (await harness.saved(running)).cost_pico == COST_PICO


async def test_spool_that_works_is_ok(ends: Ends) -> None:
    assert await ends.settling.check() == PartState(Status.OK)
