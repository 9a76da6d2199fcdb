"""Calls that run: their heartbeat, and the server's wait for their ends."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from modelgates_server.core.ledger.records import HoldState
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

pytestmark = pytest.mark.usefixtures("right_books")


async def lasts(desk: CallHarness, expires_at_ms: int) -> bool:
    """Whether the one open hold lasts so long."""
    [(hold, _)] = await desk.store.open_holds(desk.caller.account_id, limit=9)
    return hold.expires_at_ms == expires_at_ms


async def test_a_call_that_runs_long_keeps_its_hold_and_leaves_checkpoints(
    desk: CallHarness, upstream: Upstream
) -> None:
    pause = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(pause)
    call, heard = await desk.begin(asking(stream=True)), FakeClient()
    work = asyncio.ensure_future(relay(call, heard))
    await heard.until("word1")
    for _ in range(6):  # twice the life of a hold
        desk.clock.forward(TIMEOUTS.hold_ttl_s * 1000 // 3)
        desk.calls.registry.heartbeat()
        await until(partial(lasts, desk, desk.clock() + TIMEOUTS.hold_ttl_s * 1000))
        assert await desk.metered.maintenance.run_once() == 0
    saved = await desk.saved(call)
    assert saved.state is HoldState.OPEN
    assert saved.usage is not None
    assert saved.usage.output == 3
    assert saved.cost_pico > 0
    assert (await desk.account()).usage_pico == 0
    pause.go.set()
    await work
    assert (await desk.saved(call)).cost_pico == TRUE_PICO


async def test_an_extension_that_could_not_be_saved_is_made_by_the_next_heartbeat(
    desk: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    pause = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(pause)
    call, heard = await desk.begin(asking(stream=True)), FakeClient()
    work = asyncio.ensure_future(relay(call, heard))
    ticks = asyncio.ensure_future(desk.calls.registry.run_forever(0.001))
    await heard.until("word1")
    with moved_away(sqlite_path), capture_logs() as logged:
        desk.clock.forward(TIMEOUTS.hold_ttl_s * 500)
        await until(lambda: any(line["event"] == "hold not extended" for line in logged))

    async def extended() -> bool:
        later_ms = desk.clock() + TIMEOUTS.hold_ttl_s * 1000 - 1
        return await desk.store.expired_holds(later_ms, 1) == []

    await until(extended)
    pause.go.set()
    await work
    ticks.cancel()
    assert (await desk.saved(call)).cost_pico == TRUE_PICO


async def test_stop_waits_for_calls_that_run(desk: CallHarness, upstream: Upstream) -> None:
    pause = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(pause)
    call, heard = await desk.begin(asking(stream=True)), FakeClient()
    work = asyncio.ensure_future(relay(call, heard))
    await heard.until("word1")
    stop = asyncio.ensure_future(desk.calls.registry.stop())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not stop.done()
    pause.go.set()
    await asyncio.gather(work, stop)
    assert (await desk.account()).usage_pico == TRUE_PICO


async def test_stop_commits_what_was_spooled(
    desk: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    await spooled(desk, upstream, sqlite_path)
    await desk.calls.registry.stop()
    assert (await desk.account()).usage_pico == TRUE_PICO
    assert await desk.metered.spool.ids() == []
