"""Calls while the database goes away: their ends are kept, land later, and count once."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from modelgates_server.core.errors import AccountNotFound, StoreUnavailable
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.service.calls.call import Call
from modelgates_server.service.spool_ports import PendingSettlement
from modelgates_server.store.sqlite.save import Saver
from modelgates_server.web.services import Services
from tests.gateway import (
    READ_PICO,
    TIMEOUTS,
    WRITTEN_PICO,
    CallHarness,
    FakeClient,
    asking,
    metered,
    moved_away,
    pending,
    relay,
    until,
)
from tests.service.calls.spooled import spooled
from tests.support import new_account_id
from tests.upstream import Upstream, UpstreamReply, story

TRUE_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO


def restarted(harness: CallHarness, folder: Path) -> Services:
    """The service of another process on the same database and spool."""
    return metered(harness.store, harness.clock, folder / "spool", timeouts=TIMEOUTS)


async def usage_pico(harness: CallHarness) -> int:
    return (await harness.account()).usage_pico


def counted(harness: CallHarness, what: str) -> float | None:
    """The metric of such captures for the endpoint `acme:large`."""
    labels = {"endpoint": "acme:large"}
    return harness.metered.metrics._registry.get_sample_value(
        f"modelgates_{what}_captures_total", labels
    )


async def test_provider_is_not_called_when_the_database_is_unavailable(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    with moved_away(sqlite_path), pytest.raises(StoreUnavailable):
        await harness.begin(asking())
    assert upstream.asked == []
    assert (await harness.account()).held_pico == 0


async def test_response_is_delivered_and_charged_later_when_its_capture_cannot_be_saved(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    client = FakeClient()
    call = await spooled(harness, upstream, sqlite_path, client)
    assert counted(harness, "spooled") == 1
    assert client.chunks[-1]["usage"]["prompt_tokens"] == 3
    assert await usage_pico(harness) == 0
    assert len(await pending(harness.metered.spool)) == 1
    for _ in range(2):
        await harness.calls.settling.drain_spool()
        assert await usage_pico(harness) == TRUE_PICO
        assert await pending(harness.metered.spool) == []
    saved = await harness.saved(call)
    assert (saved.state, saved.cost_pico) == (HoldState.CAPTURED, TRUE_PICO)


async def test_end_that_a_bug_keeps_from_the_ledger_is_spooled(
    harness: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.say = lambda _: UpstreamReply(story())
    call, client = await harness.begin(asking(stream=True)), FakeClient()

    def mistake(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(Saver, "save", mistake)
        await relay(call, client)
        with pytest.raises(ZeroDivisionError) as told:
            await harness.calls.settling.drain_spool()
    assert call.generation.id in told.value.__notes__[0], "the log names it"
    assert client.chunks[-1]["usage"]["prompt_tokens"] == 3
    assert len(await pending(harness.metered.spool)) == 1
    await harness.calls.settling.drain_spool()
    saved = await harness.saved(call)
    assert (saved.state, saved.cost_pico) == (HoldState.CAPTURED, TRUE_PICO)


async def test_spooled_settlement_is_committed_when_the_database_is_back(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    work = asyncio.ensure_future(harness.calls.registry.run_forever(0.001))
    await spooled(harness, upstream, sqlite_path)

    async def landed() -> bool:
        return await usage_pico(harness) == TRUE_PICO and not await pending(harness.metered.spool)

    await until(landed)
    work.cancel()


async def test_spool_of_a_killed_process_is_committed_before_its_hold_expires(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path, tmp_path: Path
) -> None:
    call = await spooled(harness, upstream, sqlite_path)
    harness.clock.forward(TIMEOUTS.hold_ttl_s * 1000)
    assert await restarted(harness, tmp_path).maintenance.run_once() == 0
    saved = await harness.saved(call)
    assert (saved.state, saved.cost_pico) == (HoldState.CAPTURED, TRUE_PICO)
    assert await pending(harness.metered.spool) == []


@pytest.mark.ledger(holds_open=True)
async def test_start_without_the_database_resolves_nothing(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path, tmp_path: Path
) -> None:
    await spooled(harness, upstream, sqlite_path)
    harness.clock.forward(TIMEOUTS.hold_ttl_s * 1000)
    with moved_away(sqlite_path), pytest.raises(StoreUnavailable, match="moved or replaced"):
        await restarted(harness, tmp_path).maintenance.run_once()
    assert len(await pending(harness.metered.spool)) == 1


async def test_capture_committed_by_several_processes_is_charged_once(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path, tmp_path: Path
) -> None:
    for _ in range(3):
        await spooled(harness, upstream, sqlite_path)
    others = [restarted(harness, tmp_path).calls for _ in range(4)]
    await asyncio.gather(*(other.settling.drain_spool() for other in [harness.calls, *others]))
    assert await usage_pico(harness) == 3 * TRUE_PICO


async def test_settlement_is_kept_in_memory_when_the_spool_cannot_be_written(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path, tmp_path: Path
) -> None:
    put_a_file_in_the_way(tmp_path)
    call = await spooled(harness, upstream, sqlite_path)
    await harness.calls.settling.drain_spool()
    assert (await harness.saved(call)).cost_pico == TRUE_PICO


def put_a_file_in_the_way(folder: Path) -> None:
    (folder / "spool").touch()


@pytest.mark.ledger(holds_open=True)
async def test_damaged_file_delays_neither_other_settlements_nor_heartbeats(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path, tmp_path: Path
) -> None:
    await spooled(harness, upstream, sqlite_path)
    lost, unknown = [await harness.begin(asking()) for _ in range(2)]
    damage(tmp_path / "spool", unknown)
    harness.clock.forward(TIMEOUTS.hold_ttl_s * 1000)
    other = restarted(harness, tmp_path)
    ticks = asyncio.ensure_future(other.calls.registry.run_forever(0.001))
    with pytest.raises(StoreUnavailable, match="damaged"):
        await other.maintenance.run_once()
    assert await usage_pico(harness) == TRUE_PICO, "the intact one was committed"
    assert (await harness.saved(lost)).state is HoldState.EXPIRED
    assert (await harness.saved(unknown)).state is HoldState.OPEN, "it may be repaired"
    assert not ticks.done()
    ticks.cancel()


def damage(folder: Path, call: Call) -> None:
    (folder / f"{call.generation.id}.json").write_bytes(b"{")


async def test_unreadable_file_does_not_stop_heartbeats(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path, tmp_path: Path
) -> None:
    await spooled(harness, upstream, sqlite_path)
    (tmp_path / "spool" / "gen-0.json").mkdir()  # root may read all files
    other = restarted(harness, tmp_path)
    ticks = asyncio.ensure_future(other.calls.registry.run_forever(0.001))
    with pytest.raises((StoreUnavailable, OSError), match="gen-0"):
        await other.maintenance.run_once()
    assert await usage_pico(harness) == TRUE_PICO, "the intact one was committed"
    assert not ticks.done()
    ticks.cancel()


async def test_capture_of_an_unknown_hold_does_not_delay_the_others(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path, tmp_path: Path
) -> None:
    await spooled(harness, upstream, sqlite_path)
    [true] = await pending(harness.metered.spool)
    foreign = msgspec.structs.replace(true.generation, id="gen-0", account_id=new_account_id())
    await harness.metered.spool.put(PendingSettlement(foreign))
    lost = await harness.begin(asking())
    harness.clock.forward(TIMEOUTS.hold_ttl_s * 1000)
    with pytest.raises(AccountNotFound):
        await restarted(harness, tmp_path).maintenance.run_once()
    assert await usage_pico(harness) == TRUE_PICO
    assert (await harness.saved(lost)).state is HoldState.EXPIRED
