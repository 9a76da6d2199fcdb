"""A call whose client leaves, is slow or waits, and one that the server stops."""

import asyncio
import sqlite3
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.errors import ProviderUnavailable, Stopping
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.service.calls.call import Call
from modelgates_server.service.verify import verify
from tests.deadlines import DEADLINE_S, within
from tests.gateway import (
    READ_PICO,
    TIMEOUTS,
    WRITTEN_PICO,
    CallHarness,
    FakeClient,
    asking,
    relay,
    scope_of,
    take,
    until,
)
from tests.upstream import Gate, Upstream, UpstreamReply, answer, plain, story, usage

TRUE_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO


class Running:
    """A call that waits where its upstream waits."""

    def __init__(
        self, harness: CallHarness, call: Call, client: FakeClient, work: Awaitable[Any]
    ) -> None:
        self.desk = harness
        self.call = call
        self.client = client
        self.task = asyncio.ensure_future(work)

    async def end(self) -> Generation:
        """The stored generation after the call has ended on its own."""
        # Not `timeout`: it cancels, and calls that are cancelled end well.
        ended, _ = await asyncio.wait([self.task], timeout=DEADLINE_S)
        assert ended
        self.task.result()
        return await self.desk.saved(self.call)


async def stream_to(harness: CallHarness, upstream: Upstream, gate: Gate, text: str) -> Running:
    """Start a stream and hear it up to a text, where its upstream pauses."""
    upstream.say = lambda _: UpstreamReply(gate)
    client = FakeClient()
    call = await harness.begin(asking(stream=True), client)
    running = Running(harness, call, client, relay(call, client))
    await client.until(text)
    return running


async def plain_to(harness: CallHarness, upstream: Upstream, gate: Gate) -> Running:
    """Start a plain call, whose upstream pauses within the body."""
    upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
    client = FakeClient()
    call = await harness.begin(asking(), client)
    running = Running(harness, call, client, take(call))
    await until(lambda: call._attempt._reply is not None)
    return running


def two_words() -> Gate:
    return Gate(story()[:2], story()[2:])


def half_an_answer() -> Gate:
    [body] = plain(answer("hi", usage(3, 5))).pieces
    return Gate([body[:20]], [body[20:]])


async def test_client_that_leaves_a_stream_pays_its_actual_usage(
    harness: CallHarness, upstream: Upstream
) -> None:
    rest = Gate(story()[2:3], story()[3:])
    gate = Gate(story()[:2], rest)
    running = await stream_to(harness, upstream, gate, "word1")
    running.client.left = True
    gate.go.set()
    await running.client.until("word2")
    rest.go.set()
    generation = await running.end()
    assert generation.cancelled
    assert generation.state is HoldState.CAPTURED
    assert generation.cost_pico == TRUE_PICO == (await harness.account()).usage_pico
    assert generation.usage is not None
    assert not generation.usage.estimated


async def test_client_that_leaves_a_plain_call_pays_its_actual_usage(
    harness: CallHarness, upstream: Upstream
) -> None:
    gate = half_an_answer()
    running = await plain_to(harness, upstream, gate)
    running.client.left = True
    gate.go.set()
    generation = await running.end()
    assert generation.cancelled
    assert generation.cost_pico == TRUE_PICO == (await harness.account()).usage_pico


async def test_drain_without_a_client_ends_at_the_limit(
    harness: CallHarness, upstream: Upstream
) -> None:
    gate = two_words()
    running = await stream_to(harness, upstream, gate, "word1")
    running.client.left = True
    harness.calls.registry.heartbeat()
    harness.clock.forward(TIMEOUTS.drain_s * 1000 - 1)
    harness.calls.registry.heartbeat()
    await asyncio.sleep(0)
    assert not running.task.done()
    harness.clock.forward(1)
    harness.calls.registry.heartbeat()
    generation = await running.end()
    gate.go.set()
    assert generation.cancelled
    assert generation.usage is not None
    assert generation.usage.estimated
    assert generation.usage.output == 3, "two words are twelve bytes"
    assert generation.cost_pico == generation.usage.input * READ_PICO + 3 * WRITTEN_PICO


async def test_provider_error_costs_nothing_when_the_client_leaves_while_it_is_read(
    harness: CallHarness, upstream: Upstream
) -> None:
    gate = Gate([b'{"error": '], [b'{"message": "no"}}'])
    upstream.say = lambda _: UpstreamReply(gate, 500, "application/json")
    client = FakeClient()
    call = await harness.begin(asking(), client)
    running = Running(harness, call, client, take(call))
    await until(lambda: call._attempt._reply is not None)
    running.client.left = True
    harness.calls.registry.heartbeat()
    harness.clock.forward(TIMEOUTS.drain_s * 1000)
    harness.calls.registry.heartbeat()
    with pytest.raises(ProviderUnavailable):
        async with within():
            await running.task
    gate.go.set()
    saved = await harness.saved(call)
    assert (saved.state, saved.cost_pico, saved.cancelled) == (HoldState.VOIDED, 0, True)


async def test_stream_with_a_connected_client_is_never_stopped(
    harness: CallHarness, upstream: Upstream
) -> None:
    gate = two_words()
    running = await stream_to(harness, upstream, gate, "word1")
    harness.clock.forward(100 * TIMEOUTS.drain_s * 1000)
    harness.calls.registry.heartbeat()
    gate.go.set()
    assert (await running.end()).cost_pico == TRUE_PICO


async def test_stream_stopped_by_the_server_says_so_and_is_charged_for_the_relayed_part(
    harness: CallHarness, upstream: Upstream
) -> None:
    gate = two_words()
    running = await stream_to(harness, upstream, gate, "word1")
    running.task.cancel()
    generation = await running.end()
    gate.go.set()
    assert generation.error == "server_stopping"
    assert generation.usage is not None
    assert generation.usage.output == 3
    last = running.client.chunks[-1]
    stopping = {"message": "The server is stopping.", "code": 503}
    assert last["error"] == {
        **stopping,
        "metadata": {"error_type": "server", "retry_after_seconds": 1},
    }
    assert last["choices"][0]["finish_reason"] == "error"


@pytest.mark.parametrize("where", ["before the head", "within the body"])
async def test_plain_call_stopped_by_the_server_costs_nothing(
    harness: CallHarness, upstream: Upstream, where: str
) -> None:
    gate = half_an_answer() if where == "within the body" else Gate([], [])
    if where == "within the body":
        running = await plain_to(harness, upstream, gate)
    else:

        def say(_: Any) -> UpstreamReply:
            return UpstreamReply(list(gate))

        upstream.say = say
        client = FakeClient()
        call = await harness.begin(asking(), client)
        running = Running(harness, call, client, take(call))
        await until(lambda: len(upstream.asked) == 1)
    running.task.cancel()
    with pytest.raises(Stopping):
        await running.end()
    gate.go.set()
    generation = await harness.saved(running.call)
    assert generation.state is HoldState.VOIDED
    assert (await harness.account()).held_pico == 0


async def test_stop_during_the_commit_of_a_capture_loses_nothing(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    gate = two_words()
    running = await stream_to(harness, upstream, gate, "word1")
    with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as other:
        other.execute("begin immediate")
        gate.go.set()
        await until(lambda: running.call._is_settled)
        await asyncio.sleep(0)
        running.task.cancel()
        await asyncio.sleep(0)
        assert not running.task.done()
        other.execute("rollback")
    generation = await running.end()
    assert generation.cost_pico == TRUE_PICO == (await harness.account()).usage_pico
    assert running.client.chunks[-1]["usage"]["prompt_tokens"] == 3


async def test_heartbeat_while_a_capture_waits_does_not_block_the_capture(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    gate = two_words()
    running = await stream_to(harness, upstream, gate, "word1")
    with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as other:
        other.execute("begin immediate")
        gate.go.set()
        await until(lambda: running.call._is_settled)
        harness.clock.forward(TIMEOUTS.hold_ttl_s * 1000 // 3)
        harness.calls.registry.heartbeat()
        await asyncio.sleep(0)
        assert running.call.checkpoint().state is HoldState.OPEN, "what it saves if it comes first"
        other.execute("rollback")
    generation = await running.end()
    assert generation.state is HoldState.CAPTURED
    assert generation.cost_pico == TRUE_PICO == (await harness.account()).usage_pico
    assert (await verify(harness.store)).findings == []


async def test_long_call_is_charged_when_the_client_leaves_before_the_first_chunk(
    harness: CallHarness, upstream: Upstream
) -> None:
    gate = Gate([], story())
    upstream.say = lambda _: UpstreamReply(gate)
    client = FakeClient()
    call = await harness.begin(asking(stream=True), client)
    running = Running(harness, call, client, relay(call, client))
    await until(lambda: len(upstream.asked) == 1)
    running.client.left = True
    harness.calls.registry.heartbeat()
    harness.clock.forward(TIMEOUTS.drain_s * 1000)

    async def given_up() -> bool:
        harness.calls.registry.heartbeat()
        return running.task.done()

    await until(given_up)
    gate.go.set()
    generation = await harness.saved(call)
    assert (generation.state, generation.cancelled) == (HoldState.CAPTURED, True)
    assert generation.cost_pico > 0
    assert generation.usage is not None
    assert generation.usage.estimated


async def test_call_stopped_by_a_gateway_bug_releases_its_hold(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply(story())
    call = await harness.begin(asking(stream=True))
    async with scope_of(call):
        await call.open()
    generation = await harness.saved(call)
    assert (generation.state, generation.error) == (HoldState.VOIDED, "internal_error")
    assert (await harness.account()).held_pico == 0


async def test_usage_that_came_with_the_first_chunk_counts_when_the_client_is_slow(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply([b"".join(story())])
    writing = asyncio.Event()

    class Slow(FakeClient):
        async def write(self, data: bytes) -> None:
            if not writing.is_set():
                writing.set()
                await asyncio.sleep(DEADLINE_S)
            await super().write(data)

    client = Slow()
    call = await harness.begin(asking(stream=True), client)
    running = Running(harness, call, client, relay(call, client))
    await writing.wait()
    running.task.cancel()
    generation = await running.end()
    assert generation.usage is not None
    assert not generation.usage.estimated
    assert generation.cost_pico == TRUE_PICO
