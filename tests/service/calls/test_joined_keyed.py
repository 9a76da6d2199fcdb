"""Repeats with an `Idempotency-Key` that join calls in the real service, and failing calls."""

import asyncio
from typing import Any

import msgspec
import pytest

from modelgates_server.core.errors import (
    CallEnded,
    CallInProgress,
    ProviderUnavailable,
    ReferenceReused,
)
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.service.calls.call import Call
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.service.calls.joined import JoinedCall
from modelgates_server.service.calls.joins import JOINABLE_MS
from modelgates_server.service.calls.output_memory import OUTPUT_MAX_BYTES
from modelgates_server.service.spool_ports import PendingSettlement
from tests.deadlines import within
from tests.gateway import (
    CallHarness,
    asking,
    begin,
    take,
    until,
)
from tests.service.calls.joining import (
    FIRST,
    KEYED,
    RETRY,
    TRUE_PICO,
    billed,
    check_joined,
    finish,
    gated,
    start,
)
from tests.upstream import Gate, Upstream, UpstreamReply, answer, chunk, plain, story, usage


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
    """The server stops. The call ends with its own request, for all of its clients."""
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


async def test_call_is_settled_once_when_its_request_fails_while_a_repeat_reads(
    quiet: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, commit_end = [], quiet.calls.settling.commit_end

    async def commit(settlement: PendingSettlement) -> None:
        ends.append(settlement.generation.id)
        await commit_end(settlement)

    monkeypatch.setattr(quiet.calls.settling, "commit_end", commit)
    gate = Gate(story()[:1], Gate(story()[1:2], []))
    upstream.say = lambda _: UpstreamReply(gate)
    first = await start(quiet, KEYED)
    await first.client.until("word0")
    writing, fails = asyncio.Event(), asyncio.Event()

    async def write(_: bytes) -> None:
        writing.set()
        await fails.wait()
        raise RuntimeError("a bug")

    first.client.write = write  # type: ignore[method-assign, assignment]
    second = await start(quiet, KEYED)
    await second.client.until("word0")
    gate.go.set()
    async with within():
        await writing.wait()
        await second.client.until("word1")
        await asyncio.sleep(0)
        fails.set()
        results = await asyncio.gather(first.task, second.task, return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, type(None)]
    assert "The gateway failed" in second.client.text
    assert ends == [first.call.generation.id]
    assert await billed(quiet) > 0
    gate._after.go.set()  # type: ignore[union-attr]
