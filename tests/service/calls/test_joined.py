"""Retries without a key that join calls in the real service: one charge for what is one call."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.errors import CallInProgress
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.service.calls import joins
from modelgates_server.service.calls.call import Call
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.service.calls.joined import JoinedCall
from modelgates_server.service.calls.joins import JOINABLE_MS
from tests.deadlines import within
from tests.gateway import (
    TIMEOUTS,
    CallHarness,
    FakeClient,
    asking,
    begin,
    key_of,
    open_harness,
    relay,
    take,
    until,
)
from tests.service.calls.joining import (
    FIRST,
    RETRY,
    STREAM,
    TRUE_PICO,
    billed,
    check_joined,
    finish,
    gated,
    start,
)
from tests.support import open_database
from tests.upstream import Gate, Upstream, UpstreamReply, answer, plain, story, usage


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("is_retry", [False, True])
async def test_equal_requests_of_waiting_clients_are_calls_of_their_own(
    quiet: CallHarness, upstream: Upstream, *, stream: bool, is_retry: bool
) -> None:
    """A retry too: its own first call may be another one."""
    gate = gated(upstream) if stream else Gate([], [*plain(answer("hi", usage(3, 5))).pieces])
    kind = "text/event-stream" if stream else "application/json"
    upstream.say = lambda _: UpstreamReply(gate, content_type=kind)
    request = asking(stream=stream, is_retry=is_retry)
    calls = [await begin(quiet.calls, quiet.caller, request) for _ in range(50)]
    assert all(isinstance(call, Call) for call in calls)
    gate.go.set()
    async with within():
        await asyncio.gather(
            *(relay(call, FakeClient()) if stream else take(call) for call in calls)  # type: ignore[arg-type]
        )
    assert len(upstream.asked) == 50
    assert await billed(quiet) == 50 * TRUE_PICO


async def test_retry_joins_the_call_that_its_client_has_left(
    quiet: CallHarness, upstream: Upstream
) -> None:
    gate = gated(upstream)
    first = await start(quiet, FIRST)
    await first.client.until("word1")
    first.client.left = True
    second = await start(quiet, RETRY)
    await second.client.until("word1")
    gate.go.set()
    await finish(first, second)
    check_joined(upstream, first, second)
    saved = await quiet.saved(first.call)  # type: ignore[arg-type]
    assert (saved.cancelled, saved.error) == (False, None)
    assert await billed(quiet) == TRUE_PICO


@pytest.mark.parametrize("stream", [False, True])
async def test_retry_gets_the_response_of_a_call_that_ended_without_its_client(
    quiet: CallHarness, upstream: Upstream, *, stream: bool
) -> None:
    upstream.say = lambda _: UpstreamReply(story()) if stream else plain(answer("hi", usage(3, 5)))
    client = FakeClient()
    client.left = True
    call = await begin(quiet.calls, quiet.caller, asking(stream=stream), client)
    assert isinstance(call, Call)
    await (relay(call, client) if stream else take(call))
    quiet.clock.forward(JOINABLE_MS)
    quiet.calls.registry.heartbeat()
    retry = asking(stream=stream, is_retry=True)
    joined = await begin(quiet.calls, quiet.caller, retry)
    assert isinstance(joined, JoinedCall)
    assert joined.generation.cost_pico == TRUE_PICO
    reader = FakeClient()
    await (relay(joined, reader) if stream else take(joined))
    assert len(upstream.asked) == 1
    # One retry has it now; another one is another call.
    other = await begin(quiet.calls, quiet.caller, retry)
    assert isinstance(other, Call)
    await (relay(other, reader) if stream else take(other))


NOT_JOINED: dict[str, dict[str, Any]] = {
    "it is no retry": {"is_retry": False},
    "its body differs": {"text": "other"},
    "its maximum cost differs": {"max_cost_pico": 90 * 10**12},
    "its headers differ": {"shaping_headers": ((b"anthropic-beta", b"x"),)},
    "it is not streamed": {"stream": False},
    "it has an Idempotency-Key": {"key": "new"},
}


@pytest.mark.ledger(holds_open=True)
@pytest.mark.parametrize("case", [*NOT_JOINED, "it has another API key", "it comes too late"])
async def test_retry_is_a_call_of_its_own(
    harness: CallHarness, upstream: Upstream, case: str
) -> None:
    gate = gated(upstream)
    first = await start(harness, FIRST)
    await first.client.until("word1")
    first.client.left = True
    harness.calls.registry.heartbeat()
    caller = harness.caller
    if case == "it has another API key":
        caller = await key_of(harness.store, caller.account_id)
    if case == "it comes too late":
        harness.clock.forward(JOINABLE_MS + 1)
    request = asking(**{**STREAM, "is_retry": True, **NOT_JOINED.get(case, {})})
    assert isinstance(await begin(harness.calls, caller, request), Call)
    gate.go.set()
    await finish(first)


async def test_two_retries_do_not_share_a_call_unless_the_first_has_left(
    quiet: CallHarness, upstream: Upstream
) -> None:
    gate = gated(upstream)
    first = await start(quiet, FIRST)
    await first.client.until("word1")
    first.client.left = True
    second = await start(quiet, RETRY)
    third = await start(quiet, RETRY)
    assert isinstance(second.call, JoinedCall)
    assert isinstance(third.call, Call)
    second.client.left = True
    fourth = await start(quiet, RETRY)
    assert fourth.call.generation.id == first.call.generation.id
    gate.go.set()
    await finish(first, second, third, fourth)
    assert len(upstream.asked) == 2
    assert await billed(quiet) == 2 * TRUE_PICO


async def test_drain_time_starts_when_the_last_client_leaves(
    quiet: CallHarness, upstream: Upstream
) -> None:
    gate = gated(upstream)
    first = await start(quiet, FIRST)
    await first.client.until("word1")
    first.client.left = True
    quiet.calls.registry.heartbeat()
    quiet.clock.forward(TIMEOUTS.drain_s * 1000 - 1)
    second = await start(quiet, RETRY)
    await second.client.until("word1")
    quiet.clock.forward(TIMEOUTS.drain_s * 1000)
    quiet.calls.registry.heartbeat()
    second.client.left = True
    quiet.calls.registry.heartbeat()
    quiet.clock.forward(TIMEOUTS.drain_s * 1000 - 1)
    quiet.calls.registry.heartbeat()
    assert not first.task.done()
    quiet.clock.forward(1)
    quiet.calls.registry.heartbeat()
    async with within():
        await asyncio.gather(first.task, second.task)
    saved = await quiet.saved(first.call)  # type: ignore[arg-type]
    assert (saved.cancelled, saved.state) == (True, HoldState.CAPTURED)
    assert 0 < await billed(quiet) < TRUE_PICO
    gate.go.set()
    upstream.say = lambda _: UpstreamReply(story())
    third = await start(quiet, RETRY)
    assert isinstance(third.call, Call)
    await finish(third)


async def test_retries_join_nothing_when_the_setting_is_off(
    quiet: CallHarness, upstream: Upstream
) -> None:
    quiet.calls._joins.retries = False
    gate = gated(upstream)
    first = await start(quiet, FIRST)
    await first.client.until("word1")
    first.client.left = True
    second = await start(quiet, RETRY)
    assert isinstance(second.call, Call)
    gate.go.set()
    await finish(first, second)
    assert await billed(quiet) == 2 * TRUE_PICO


async def test_digest_is_not_computed_for_a_call_whose_client_got_the_response(
    quiet: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(_: CallRequest) -> bytes:
        raise AssertionError("a digest costs time")

    monkeypatch.setattr(joins, "retry_digest", compute)
    upstream.say = lambda _: UpstreamReply(story())
    await finish(await start(quiet, FIRST))
    assert await billed(quiet) == TRUE_PICO


async def test_retry_in_another_process_is_rejected_while_the_call_that_was_given_up_runs(
    quiet: CallHarness, upstream: Upstream, database_url: str, tmp_path: Path
) -> None:
    gate = gated(upstream)
    first = await start(quiet, FIRST)
    await first.client.until("word1")
    store = open_database(database_url)
    async with open_harness(store, quiet.clock, tmp_path, upstream.url, TIMEOUTS) as opened:
        other = opened._replace(caller=quiet.caller)
        while_it_waits = await start(other, RETRY)
        first.client.left = True
        quiet.calls.registry.heartbeat()
        await until(lambda: is_marked(quiet, first.call.generation.id))
        for _ in range(2):
            with pytest.raises(CallInProgress):
                await start(other, RETRY)
        equal = await start(other, FIRST)
        gate.go.set()
        await finish(first, while_it_waits, equal)
        again = await start(other, RETRY)
        assert isinstance(again.call, Call)
        await finish(again)
    await store.close()
    assert len(upstream.asked) == 4
    assert await billed(quiet) == 4 * TRUE_PICO


async def is_marked(harness: CallHarness, generation_id: str) -> bool:
    saved = await harness.store.generation(harness.caller.account_id, generation_id)
    return saved is not None and saved.request_digest is not None
