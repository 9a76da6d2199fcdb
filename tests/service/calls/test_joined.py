"""Repeats that join calls in the real service: one request to the provider, one charge."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest

from modelgates_server.core.errors import (
    CallEnded,
    CallInProgress,
    ProviderUnavailable,
    ReferenceReused,
)
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.service.calls.call import Call
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.service.calls.joined import JoinedCall
from modelgates_server.service.calls.joins import JOINABLE_MS
from modelgates_server.service.calls.output_memory import OUTPUT_MAX_BYTES, OutputMemory
from tests.deadlines import within
from tests.gateway import (
    READ_PICO,
    TIMEOUTS,
    WRITTEN_PICO,
    CallHarness,
    FakeClient,
    asking,
    begin,
    key_of,
    relay,
    take,
    until,
)
from tests.upstream import Gate, Upstream, UpstreamReply, answer, chunk, plain, story, usage

TRUE_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO
STREAM = {"stream": True}
KEYED = asking(key="once", stream=True)
FIRST = asking(stream=True)
RETRY = asking(stream=True, is_retry=True)


class Running(NamedTuple):
    """A stream that waits at a gate after two words."""

    call: Call | JoinedCall
    client: FakeClient
    task: "asyncio.Task[None]"


async def start(harness: CallHarness, request: CallRequest) -> Running:
    client = FakeClient()
    call = await begin(harness.calls, harness.caller, request, client)
    assert not isinstance(call, StoredAnswer)
    return Running(call, client, asyncio.create_task(relay(call, client)))


def gated(upstream: Upstream, before: list[bytes] | None = None) -> Gate:
    gate = Gate(story()[:2] if before is None else before, story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    return gate


async def finish(*running: Running) -> None:
    async with within():
        await asyncio.gather(*(one.task for one in running))


async def billed(harness: CallHarness) -> int:
    account = await harness.account()
    assert account.held_pico == 0
    return account.usage_pico


def check_joined(upstream: Upstream, first: Running, *joined: Running) -> None:
    """All of them read the stream of one call to its end."""
    assert len(upstream.asked) == 1
    assert {one.call.generation.id for one in (first, *joined)} == {first.call.generation.id}
    for one in joined:
        assert one.client.text.endswith("data: [DONE]\n\n")
        words = [c["choices"][0]["delta"].get("content", "") for c in one.client.chunks[:-1]]
        assert "".join(words) == "word0 word1 word2 word3 word4 "
        assert one.client.chunks[-1]["usage"]["cost"] * 10**12 == TRUE_PICO


@pytest.fixture
async def quiet(harness: CallHarness) -> AsyncIterator[CallHarness]:
    """A harness that uses no memory for outputs when its time is over."""
    yield harness
    harness.clock.forward(JOINABLE_MS + 1)
    harness.calls.registry.heartbeat()
    joins = harness.calls._joins
    assert (joins._by_id, joins._by_key) == ({}, {})
    assert joins._memory.free_bytes == OutputMemory().free_bytes


async def test_keyed_repeat_gets_the_stream_so_far_and_then_the_rest(
    quiet: CallHarness, upstream: Upstream
) -> None:
    gate = gated(upstream)
    first = await start(quiet, KEYED)
    await first.client.until("word1")
    second = await start(quiet, KEYED)
    await second.client.until("word1")
    gate.go.set()
    await finish(first, second)
    check_joined(upstream, first, first, second)
    assert first.client.text == second.client.text
    assert await billed(quiet) == TRUE_PICO


async def test_keyed_repeat_gets_the_stream_from_memory_for_two_minutes(
    quiet: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply(story())
    first = await start(quiet, KEYED)
    await finish(first)
    quiet.clock.forward(JOINABLE_MS)
    quiet.calls.registry.heartbeat()
    second = await start(quiet, KEYED)
    await finish(second)
    check_joined(upstream, first, first, second)
    quiet.clock.forward(1)
    quiet.calls.registry.heartbeat()
    with pytest.raises(CallEnded):
        await start(quiet, KEYED)
    assert await billed(quiet) == TRUE_PICO


async def test_keyed_repeat_with_another_body_is_rejected_while_the_call_runs(
    quiet: CallHarness, upstream: Upstream
) -> None:
    gate = gated(upstream)
    first = await start(quiet, KEYED)
    await first.client.until("word1")
    with pytest.raises(ReferenceReused):
        await start(quiet, asking("other", key="once", stream=True))
    gate.go.set()
    await finish(first)


@pytest.mark.parametrize("stream", [False, True])
async def test_fifty_equal_keyed_requests_are_one_call(
    quiet: CallHarness, upstream: Upstream, *, stream: bool
) -> None:
    upstream.say = lambda _: UpstreamReply(story()) if stream else plain(answer("hi", usage(3, 5)))
    request = asking(key="once", stream=stream)

    async def ask() -> Any:
        if stream:
            running = await start(quiet, request)
            await running.task
            return running.client.text
        begun = await begin(quiet.calls, quiet.caller, request)
        return begun.body if isinstance(begun, StoredAnswer) else await take(begun)

    async with within():
        responses = await asyncio.gather(*(ask() for _ in range(50)))
    assert len(set(responses)) == 1
    assert len(upstream.asked) == 1
    assert await billed(quiet) == TRUE_PICO


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


@pytest.mark.parametrize("request_", [KEYED, RETRY], ids=["keyed", "retry"])
async def test_waiting_repeat_gets_the_error_and_a_later_one_is_a_new_call(
    quiet: CallHarness, upstream: Upstream, request_: CallRequest
) -> None:
    gate = Gate([], [b'{"error": {"message": "no"}}'])
    upstream.say = lambda _: UpstreamReply(gate, 500, "application/json")
    first = await start(quiet, request_)
    await until(lambda: len(upstream.asked) == 1)
    first.client.left = True
    second = await start(quiet, request_)
    assert isinstance(second.call, JoinedCall)
    gate.go.set()
    async with within():
        errors = await asyncio.gather(first.task, second.task, return_exceptions=True)
    assert [type(error) for error in errors] == [ProviderUnavailable] * 2
    assert {error.generation_id for error in errors} == {first.call.generation.id}  # type: ignore[union-attr]
    assert await billed(quiet) == 0
    upstream.say = lambda _: UpstreamReply(story())
    third = await start(quiet, request_)
    assert isinstance(third.call, Call)
    await finish(third)
    assert await billed(quiet) == TRUE_PICO


async def test_joined_stream_ends_with_the_error_and_the_cost_of_the_call(
    quiet: CallHarness, upstream: Upstream
) -> None:
    gate = Gate(story()[:2], [])
    upstream.say = lambda _: UpstreamReply(gate, cut=True)
    first = await start(quiet, KEYED)
    second = await start(quiet, KEYED)
    await second.client.until("word1")
    gate.go.set()
    await finish(first, second)
    assert first.client.text == second.client.text
    last = second.client.chunks[-1]
    assert last["error"]["code"] == 502
    assert last["usage"]["cost"] * 10**12 == await billed(quiet) > 0
    with pytest.raises(CallEnded):
        await start(quiet, KEYED)


async def test_repeat_of_a_call_that_is_not_kept_is_rejected_while_it_runs(
    quiet: CallHarness, upstream: Upstream
) -> None:
    media = {"images": [{"image_url": {"url": "data:" + "x" * OUTPUT_MAX_BYTES}}]}
    large = chunk(choices=[{"index": 0, "delta": media, "finish_reason": None}])
    gate = gated(upstream, [large, story()[0]])
    requests = (KEYED, FIRST)
    running = []
    for request in requests:
        running.append(await start(quiet, request))
        await running[-1].client.until("word0")
        running[-1].client.left = True
        with pytest.raises(CallInProgress):
            await start(quiet, msgspec.structs.replace(request, is_retry=True))
    gate.go.set()
    await finish(*running)
    assert len(upstream.asked) == 2
    with pytest.raises(CallEnded):
        await start(quiet, KEYED)


@pytest.mark.parametrize("who", ["first", "second", "both"])
async def test_cancelled_requests_end_the_call_or_only_themselves(
    quiet: CallHarness, upstream: Upstream, who: str
) -> None:
    """The server stops. The call ends with its own request, for everybody."""
    gate = gated(upstream)
    first = await start(quiet, KEYED)
    await first.client.until("word1")
    second = await start(quiet, KEYED)
    await second.client.until("word1")
    cancelled = {"first": [first], "second": [second], "both": [first, second]}[who]
    for one in cancelled:
        one.task.cancel()
    if who == "second":
        gate.go.set()
    async with within():
        await asyncio.gather(first.task, second.task, return_exceptions=True)
        await quiet.calls.registry.stop()
    if who == "second":
        check_joined(upstream, first, first)
    else:
        assert "server is stopping" in first.client.text
    assert await billed(quiet) > 0
    gate.go.set()


async def test_bug_in_the_first_request_ends_the_call_for_all(
    quiet: CallHarness, upstream: Upstream
) -> None:
    gate = gated(upstream)
    first = await start(quiet, KEYED)
    second = await start(quiet, KEYED)
    await second.client.until("word1")

    async def write(_: bytes) -> None:
        raise RuntimeError("a bug")

    first.client.write = write  # type: ignore[method-assign, assignment]
    gate.go.set()
    async with within():
        results = await asyncio.gather(first.task, second.task, return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, type(None)]
    assert await billed(quiet) > 0
    assert second.client.text.endswith("[DONE]\n\n")


async def test_retries_join_nothing_when_the_setting_is_off(
    quiet: CallHarness, upstream: Upstream
) -> None:
    quiet.calls._joins._retries = False
    gate = gated(upstream)
    first = await start(quiet, FIRST)
    await first.client.until("word1")
    first.client.left = True
    second = await start(quiet, RETRY)
    assert isinstance(second.call, Call)
    gate.go.set()
    await finish(first, second)
    assert await billed(quiet) == 2 * TRUE_PICO
