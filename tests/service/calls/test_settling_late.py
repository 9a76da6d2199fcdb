"""Calls whose process slept past the life of their holds: what was used is charged late, once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from modelgates_server.core.ledger.records import Entry, EntryKind, HoldState
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.core.times import MS_PER_DAY, day_of
from modelgates_server.service.calls.call import Call
from modelgates_server.service.late_usage import final_generation
from modelgates_server.service.spool_ports import PendingSettlement
from tests.deadlines import DEADLINE_S
from tests.gateway import (
    READ_PICO,
    TIMEOUTS,
    WRITTEN_PICO,
    CallHarness,
    FakeClient,
    asking,
    begin,
    metered,
    pending,
    relay,
    take,
)
from tests.service.calls.spooled import spooled
from tests.support import adjust, closing
from tests.upstream import Gate, Upstream, UpstreamReply, story

FINAL_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO
TTL_MS = TIMEOUTS.hold_ttl_s * 1000


def counted(harness: CallHarness, name: str, **labels: str) -> float | None:
    registry = harness.metered.metrics._registry
    return registry.get_sample_value(f"modelgates_{name}_total", labels)


async def late_entry(harness: CallHarness, call: Call) -> Entry:
    entry = await harness.store.late_usage(harness.caller.account_id, call.generation.id)
    assert entry is not None
    return entry


async def expire_elsewhere(harness: CallHarness, folder: Path) -> None:
    """Another process, which knows neither the call nor the spool, resolves all holds."""
    harness.clock.forward(TTL_MS)
    elsewhere = metered(harness.store, harness.clock, folder / "another", timeouts=TIMEOUTS)
    assert await elsewhere.maintenance.run_once() == 1


async def slept_through(
    harness: CallHarness,
    upstream: Upstream,
    folder: Path,
    *,
    with_checkpoint: bool = True,
    meanwhile: Callable[[], object] = lambda: None,
) -> Call:
    """A stream that ends after another process has expired its hold."""
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    call, client = await harness.begin(asking(stream=True)), FakeClient()
    work = asyncio.ensure_future(relay(call, client))
    await client.until("word1")
    if with_checkpoint:
        harness.clock.forward(TTL_MS // 2)
        harness.calls.registry.heartbeat()
        await asyncio.gather(*harness.calls.registry._tasks)
    await expire_elsewhere(harness, folder)
    if asyncio.iscoroutine(doing := meanwhile()):
        await doing
    gate.go.set()
    ended, _ = await asyncio.wait([work], timeout=DEADLINE_S)
    assert ended
    assert client.chunks[-1]["usage"]["prompt_tokens"] == 3, "the client gets the whole response"
    return call


async def test_capture_after_the_expiry_of_its_hold_is_charged_late(
    harness: CallHarness, upstream: Upstream, tmp_path: Path
) -> None:
    with capture_logs() as logs:
        call = await slept_through(harness, upstream, tmp_path)
    saved, late = await harness.saved(call), await late_entry(harness, call)
    assert saved.state is HoldState.EXPIRED
    assert 0 < saved.cost_pico < FINAL_PICO, "the checkpoint saw a part of the stream"
    assert -late.amount_pico == FINAL_PICO - saved.cost_pico
    assert (late.kind, late.reference) == (EntryKind.LATE_USAGE, f"late:{saved.id}")
    assert (late.at_ms, late.overrun_pico) == (harness.clock(), 0)
    account = await harness.account()
    assert (account.usage_pico, account.held_pico) == (FINAL_PICO, 0)
    [line] = [log for log in logs if "after its hold" in log["event"]]
    assert line["event"] == "capture after its hold was resolved: charged as late usage"
    assert (line["log_level"], line["state"], line["overrun"]) == ("warning", "expired", "0")
    assert counted(harness, "late_captures", endpoint="acme:large") == 1
    assert counted(harness, "cost_dollars", model="acme/large") == pytest.approx(
        -late.amount_pico / 10**12
    )


async def test_call_that_expired_without_a_checkpoint_is_charged_whole(
    harness: CallHarness, upstream: Upstream, tmp_path: Path
) -> None:
    call = await slept_through(harness, upstream, tmp_path, with_checkpoint=False)
    assert (await harness.saved(call)).cost_pico == 0
    assert -(await late_entry(harness, call)).amount_pico == FINAL_PICO
    [row] = await harness.store.activity(harness.caller.account_id, from_day=0, limit=9)
    assert (row.requests, row.usage_pico) == (1, FINAL_PICO)


async def test_receipt_shows_the_charge_at_the_expiry_and_the_late_one(
    harness: CallHarness, upstream: Upstream, tmp_path: Path
) -> None:
    call = await slept_through(harness, upstream, tmp_path)
    saved = await harness.saved(call)
    receipt, late = await final_generation(harness.store, saved)
    assert late == await late_entry(harness, call)
    assert receipt.lines[:-1] == saved.lines
    assert receipt.lines[-1].meter == "late_usage"
    assert sum(line.amount for line in receipt.lines) * 10**12 == FINAL_PICO
    assert receipt.cost_pico == FINAL_PICO
    assert receipt.state is HoldState.EXPIRED


async def test_late_usage_is_activity_of_today_without_another_request(
    harness: CallHarness, upstream: Upstream, tmp_path: Path
) -> None:
    call = await slept_through(
        harness, upstream, tmp_path, meanwhile=lambda: harness.clock.forward(MS_PER_DAY)
    )
    saved = await harness.saved(call)
    today = day_of(harness.clock())
    rows = await harness.store.activity(harness.caller.account_id, from_day=0, limit=9)
    assert [(row.day, row.requests, row.usage_pico) for row in rows] == [
        (today, 0, FINAL_PICO - saved.cost_pico),
        (today - 1, 1, saved.cost_pico),
    ]


async def test_rest_of_late_usage_is_an_overrun_when_the_credits_are_gone(
    harness: CallHarness, upstream: Upstream, tmp_path: Path
) -> None:
    async def spend() -> None:
        account = await harness.account()
        await harness.store.execute(adjust(account.id, WRITTEN_PICO - account.available_pico))

    call = await slept_through(harness, upstream, tmp_path, meanwhile=spend)
    saved, late = await harness.saved(call), await late_entry(harness, call)
    assert late.amount_pico == -WRITTEN_PICO
    assert saved.cost_pico - late.amount_pico - late.overrun_pico == FINAL_PICO
    assert (await harness.account()).available_pico == 0
    receipt, _ = await final_generation(harness.store, saved)
    assert receipt.overrun_pico == -late.overrun_pico


async def test_late_usage_of_a_closed_account_is_an_overrun(
    harness: CallHarness, upstream: Upstream, tmp_path: Path
) -> None:
    async def close() -> None:
        account = await harness.account()
        await harness.store.execute(adjust(account.id, -account.available_pico))
        await harness.store.execute(closing(account.id))

    call = await slept_through(harness, upstream, tmp_path, meanwhile=close)
    late = await late_entry(harness, call)
    assert late.amount_pico == 0
    assert (await harness.saved(call)).cost_pico - late.overrun_pico == FINAL_PICO
    receipt, _ = await final_generation(harness.store, await harness.saved(call))
    assert receipt.lines == (await harness.saved(call)).lines


async def test_spooled_capture_is_charged_late_once_by_several_processes(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path, tmp_path: Path
) -> None:
    call = await spooled(harness, upstream, sqlite_path)
    await expire_elsewhere(harness, tmp_path)
    [settlement] = await pending(harness.metered.spool)
    others = [
        metered(harness.store, harness.clock, tmp_path / "spool", timeouts=TIMEOUTS)
        for _ in range(3)
    ]
    await asyncio.gather(*(other.calls.settling.drain_spool() for other in others))
    assert await pending(harness.metered.spool) == []
    assert (await harness.account()).usage_pico == FINAL_PICO
    await harness.metered.spool.put(settlement)
    await harness.calls.settling.drain_spool()
    assert (await harness.account()).usage_pico == FINAL_PICO
    assert (await harness.saved(call)).state is HoldState.EXPIRED
    services = [harness.metered, *others]
    total = sum(
        service.metrics._registry.get_sample_value(
            "modelgates_late_captures_total", {"endpoint": "acme:large"}
        )
        or 0
        for service in services
    )
    assert total == 1


async def test_void_after_the_expiry_of_its_hold_charges_nothing(
    harness: CallHarness, tmp_path: Path
) -> None:
    call = await harness.begin(asking())
    await expire_elsewhere(harness, tmp_path)
    voided = msgspec.structs.replace(
        call.generation, state=HoldState.VOIDED, ended_at_ms=harness.clock()
    )
    with capture_logs() as logs:
        await harness.calls.settling.commit_end(PendingSettlement(voided))
    assert await harness.store.late_usage(voided.account_id, voided.id) is None
    assert (await harness.account()).usage_pico == 0
    assert [log["event"] for log in logs] == [
        "end of a call after its hold was resolved: not charged"
    ]


async def test_capture_of_a_voided_hold_is_reported_and_not_charged(
    harness: CallHarness,
) -> None:
    """A bug: only an expired hold can have late usage."""
    call = await harness.begin(asking())
    ended = msgspec.structs.replace(call.generation, ended_at_ms=harness.clock())
    for state in (HoldState.VOIDED, HoldState.CAPTURED):
        end = msgspec.structs.replace(ended, state=state)
        await harness.calls.settling.commit_end(PendingSettlement(end))
    assert await harness.store.late_usage(ended.account_id, ended.id) is None
    assert (await harness.saved(call)).state is HoldState.VOIDED
    assert await pending(harness.metered.spool) == []


async def test_repeat_gets_the_response_of_a_call_that_was_charged_late(
    harness: CallHarness, tmp_path: Path
) -> None:
    request = asking(key="once")
    call = await harness.begin(request)
    await expire_elsewhere(harness, tmp_path)
    body = await take(call)
    assert -(await late_entry(harness, call)).amount_pico == (await harness.account()).usage_pico
    other = metered(
        harness.store,
        harness.clock,
        tmp_path / "other",
        catalog=harness.metered.catalog,
        providers=harness.metered.providers,
    )
    repeat = await begin(other.calls, harness.caller, request)
    assert isinstance(repeat, StoredAnswer)
    assert repeat.body == body


async def test_process_that_wakes_does_not_expire_its_own_calls(
    harness: CallHarness, upstream: Upstream
) -> None:
    """Its maintenance may run before the heartbeat that extends their holds."""
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    call, client = await harness.begin(asking(stream=True)), FakeClient()
    work = asyncio.ensure_future(relay(call, client))
    await client.until("word1")
    harness.clock.forward(10 * TTL_MS)
    assert await harness.metered.maintenance.run_once() == 0
    harness.calls.registry.heartbeat()
    await asyncio.gather(*harness.calls.registry._tasks)
    assert await harness.store.expired_holds(harness.clock(), 9) == []
    gate.go.set()
    ended, _ = await asyncio.wait([work], timeout=DEADLINE_S)
    assert ended
    assert (await harness.saved(call)).state is HoldState.CAPTURED
