"""Calls that run: their heartbeat, and the server's wait for their ends."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from modelgates_server.core.ledger.commands import CommandResult
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.pricing.usage import BYTES_PER_TOKEN
from tests.deadlines import within
from tests.gateway import (
    READ_PICO,
    TIMEOUTS,
    WRITTEN_PICO,
    CallHarness,
    FakeClient,
    asking,
    moved_away,
    relay,
    until,
)
from tests.service.calls.spooled import spooled
from tests.upstream import Gate, Upstream, UpstreamReply, story

TRUE_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO

pytestmark = pytest.mark.usefixtures("verified_ledger")


async def lasts(harness: CallHarness, expires_at_ms: int) -> bool:
    """Whether the one open hold lasts so long."""
    [(hold, _)] = await harness.store.open_holds(harness.caller.account_id, limit=9)
    return hold.expires_at_ms == expires_at_ms


async def test_long_call_keeps_its_hold_and_saves_checkpoints(
    harness: CallHarness, upstream: Upstream
) -> None:
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    call, client = await harness.begin(asking(stream=True)), FakeClient()
    work = asyncio.ensure_future(relay(call, client))
    await client.until("word1")
    for _ in range(6):  # twice the life of a hold
        harness.clock.forward(TIMEOUTS.hold_ttl_s * 1000 // 3)
        harness.calls.registry.heartbeat()
        await until(partial(lasts, harness, harness.clock() + TIMEOUTS.hold_ttl_s * 1000))
        assert await harness.metered.maintenance.run_once() == 0
    saved = await harness.saved(call)
    assert saved.state is HoldState.OPEN
    assert saved.usage is not None
    assert saved.usage.output == 3
    assert saved.cost_pico > 0
    assert (await harness.account()).usage_pico == 0
    gate.go.set()
    await work
    assert (await harness.saved(call)).cost_pico == TRUE_PICO


async def test_checkpoint_has_everything_received_when_the_client_is_slow(
    harness: CallHarness, upstream: Upstream
) -> None:
    gate = Gate([b"".join(story()[:4])], story()[4:])
    upstream.say = lambda _: UpstreamReply(gate)
    writing, reads = asyncio.Event(), asyncio.Event()

    class Slow(FakeClient):
        async def write(self, data: bytes) -> None:
            writing.set()
            await reads.wait()
            await super().write(data)

    call, client = await harness.begin(asking(stream=True)), Slow()
    work = asyncio.ensure_future(relay(call, client))
    try:
        await writing.wait()
        harness.clock.forward(TIMEOUTS.hold_ttl_s * 1000 // 3)
        harness.calls.registry.heartbeat()
        await until(partial(lasts, harness, harness.clock() + TIMEOUTS.hold_ttl_s * 1000))
        saved = await harness.saved(call)
    finally:
        reads.set()
        gate.go.set()
        await work
    assert saved.usage is not None
    assert saved.usage.output == len("word0 word1 word2 word3 ") // BYTES_PER_TOKEN
    assert (await harness.saved(call)).cost_pico == TRUE_PICO
    assert all(f"word{number} " in client.text for number in range(5))


async def test_extension_that_failed_is_repeated_by_the_next_heartbeat(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    call, client = await harness.begin(asking(stream=True)), FakeClient()
    work = asyncio.ensure_future(relay(call, client))
    ticks = asyncio.ensure_future(harness.calls.registry.run_forever(0.001))
    await client.until("word1")
    with moved_away(sqlite_path), capture_logs() as logged:
        harness.clock.forward(TIMEOUTS.hold_ttl_s * 500)
        await until(lambda: any(line["event"] == "hold not extended" for line in logged))

    async def extended() -> bool:
        later_ms = harness.clock() + TIMEOUTS.hold_ttl_s * 1000 - 1
        return await harness.store.expired_holds(later_ms, 1) == []

    await until(extended)
    gate.go.set()
    await work
    ticks.cancel()
    assert (await harness.saved(call)).cost_pico == TRUE_PICO


async def test_stop_waits_for_running_calls(harness: CallHarness, upstream: Upstream) -> None:
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    call, client = await harness.begin(asking(stream=True)), FakeClient()
    work = asyncio.ensure_future(relay(call, client))
    await client.until("word1")
    stop = asyncio.ensure_future(harness.calls.registry.stop())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not stop.done()
    gate.go.set()
    await asyncio.gather(work, stop)
    assert (await harness.account()).usage_pico == TRUE_PICO


async def test_stop_commits_spooled_settlements(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    await spooled(harness, upstream, sqlite_path)
    await harness.calls.registry.stop()
    assert (await harness.account()).usage_pico == TRUE_PICO
    assert await harness.metered.spool.ids() == []


async def test_call_that_ends_while_its_hold_is_extended_is_no_trouble(
    harness: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call is extended when its client leaves, so its end is often near."""
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    client = FakeClient()
    call = await harness.begin(asking(stream=True), client)
    work = asyncio.ensure_future(relay(call, client))
    await client.until("word1")
    registry, tried = harness.calls.registry, asyncio.Event()
    extend = registry._holds.extend

    async def extend_after_the_end(*parameters: Any) -> CommandResult:
        await call.settled()
        try:
            return await extend(*parameters)
        finally:
            tried.set()

    monkeypatch.setattr(registry._holds, "extend", extend_after_the_end)
    with capture_logs() as logs:
        client.left = True
        registry.heartbeat()
        gate.go.set()
        await work
        async with within():
            await tried.wait()
            await registry.stop()
    assert [line["event"] for line in logs if line["log_level"] != "info"] == []
