"""Calls with an `Idempotency-Key`: however often and wherever repeated, they bill once."""

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.times import MS_PER_DAY, format_instant
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.service.calls.call import Call
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.service.calls.settling import ANSWER_KEPT_MS
from modelgates_server.service.ports import Store
from modelgates_server.store.sqlite.archiving import archive
from modelgates_server.store.sqlite.store import SqliteStore
from tests.gateway import (
    READ_PICO,
    TIMEOUTS,
    WRITTEN_PICO,
    CallHarness,
    asking,
    begin,
    key_of,
    moved_away,
    new_caller,
    open_harness,
    take,
    until,
)
from tests.support import ManualClock, open_database
from tests.upstream import Gate, Upstream, UpstreamReply, answer, chunk, plain, usage

TRUE_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO
ASKED = asking(key="once")


async def ask(harness: CallHarness, request: CallRequest = ASKED) -> tuple[bytes, str]:
    """The answer and the id of its generation, made now or given again."""
    begun = await begin(harness.calls, harness.caller, request)
    if isinstance(begun, StoredAnswer):
        return begun.body, begun.generation_id
    return await take(begun), begun.generation.id


async def billed(harness: CallHarness) -> int:
    return (await harness.account()).usage_pico


async def test_repeat_gets_the_same_response_and_is_billed_once(
    harness: CallHarness, upstream: Upstream
) -> None:
    first = await ask(harness)
    assert [await ask(harness) for _ in range(3)] == [first] * 3
    assert len(upstream.asked) == 1
    assert await billed(harness) == TRUE_PICO


async def test_repeat_of_a_running_call_waits_for_its_response(
    harness: CallHarness, upstream: Upstream
) -> None:
    [body] = plain(answer("hi", usage(3, 5))).pieces
    gate = Gate([body[:9]], [body[9:]])
    upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
    first = asyncio.ensure_future(ask(harness))
    await until(lambda: len(upstream.asked) == 1)
    repeats = [asyncio.ensure_future(ask(harness)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.go.set()
    assert await asyncio.gather(first, *repeats) == [await ask(harness)] * 4
    assert len(upstream.asked) == 1
    assert await billed(harness) == TRUE_PICO


OTHERS: dict[str, CallRequest] = {
    "another text": asking("other", key="once"),
    "another cap": asking(key="once", max_tokens=5),
    "as a stream": asking(key="once", stream=True),
    "another API": asking(key="once", api=Api.EMBEDDINGS),
}


@pytest.mark.ledger(holds_open=True)
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("other", OTHERS)
async def test_other_request_under_the_same_key_is_refused(
    harness: CallHarness, upstream: Upstream, other: str, running: bool
) -> None:
    if running:
        await harness.begin(ASKED)
    else:
        await ask(harness)
    with pytest.raises(ReferenceReused):
        await ask(harness, OTHERS[other])
    assert len(upstream.asked) == (0 if running else 1)


SAME_BODY = json.dumps(
    {
        "model": "acme/large",
        "messages": [{"role": "user", "content": "hello"}],
        "prompt": "hello",
        "input": "hello",
    }
).encode()
"""A body that every operation takes."""


def at(api: Api) -> CallRequest:
    """The same body and key at an operation."""
    return msgspec.structs.replace(ASKED, inference=parse_request(api, SAME_BODY), body=SAME_BODY)


@pytest.mark.ledger(holds_open=True)
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(Api, 2)])
async def test_same_body_under_the_same_key_is_refused_at_another_operation(
    harness: CallHarness, upstream: Upstream, first: Api, second: Api, *, running: bool
) -> None:
    upstream.say = lambda _: plain(answer("hi", usage(3, 5), data=[{"embedding": [0.5]}]))
    if running:
        await harness.begin(at(first))
    else:
        told = await ask(harness, at(first))
    with pytest.raises(ReferenceReused):
        await ask(harness, at(second))
    assert len(upstream.asked) == (0 if running else 1)
    if not running:
        assert await ask(harness, at(first)) == told


@pytest.mark.parametrize("whose", ["the same account", "another account"])
async def test_same_idempotency_key_of_two_callers_is_two_requests(
    harness: CallHarness, store: Store, whose: str
) -> None:
    same = whose == "the same account"
    other = await (key_of(store, harness.caller.account_id) if same else new_caller(store))
    mine = await ask(harness)
    theirs = await ask(harness._replace(caller=other), asking("other", key="once"))
    assert mine[1] != theirs[1]
    assert await billed(harness) == (2 if same else 1) * TRUE_PICO


async def test_concurrent_repeats_make_one_call(
    harness: CallHarness, upstream: Upstream, database_url: str, clock: ManualClock, tmp_path: Path
) -> None:
    other = open_database(database_url)
    async with open_harness(other, clock, tmp_path, upstream.url, TIMEOUTS) as elsewhere:
        desks = [harness, elsewhere._replace(caller=harness.caller)] * 10
        results = await asyncio.gather(*(ask(one) for one in desks), return_exceptions=True)
    await other.close()
    answers = {result for result in results if isinstance(result, tuple)}
    assert len(answers) == 1
    assert {type(result) for result in results} <= {tuple, CallInProgress}
    assert len(upstream.asked) == 1
    assert await billed(harness) == TRUE_PICO


async def test_call_that_cost_nothing_may_be_made_again(
    harness: CallHarness, upstream: Upstream
) -> None:
    good = upstream.say
    upstream.say = lambda _: plain({"error": {"message": "no"}}, 500)
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            await ask(harness)
    upstream.say = good
    first = await ask(harness)
    assert await ask(harness) == first
    assert len(upstream.asked) == 3
    assert await billed(harness) == TRUE_PICO


async def test_other_request_is_refused_when_the_first_cost_nothing(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: plain({"error": {"message": "no"}}, 500)
    with pytest.raises(ProviderUnavailable):
        await ask(harness)
    with pytest.raises(ReferenceReused):
        await ask(harness, asking("other", key="once"))
    assert len(upstream.asked) == 1


@pytest.mark.parametrize("charged", [False, True])
async def test_lost_call_is_made_again_only_if_nothing_was_charged(
    harness: CallHarness, upstream: Upstream, charged: bool
) -> None:
    lost = await harness.begin(ASKED)
    if charged:
        list(lost._attempt.response.feed(chunk("said before the kill")))
        harness.clock.forward(TIMEOUTS.hold_ttl_s * 500)
        harness.calls.registry.heartbeat()
        await until(partial_saved(harness, lost, lambda saved: saved.cost_pico > 0))
    harness.clock.forward(TIMEOUTS.hold_ttl_s * 1000)
    harness.calls.registry._running.clear()  # as a kill does
    harness.calls._joins._by_id.clear()
    assert await harness.metered.maintenance.run_once() == 1
    if charged:
        with pytest.raises(CallEnded):
            await ask(harness)
    else:
        await ask(harness)
    assert len(upstream.asked) == (0 if charged else 1)


@pytest.mark.parametrize("charged", [False, True])
async def test_archived_call_is_made_again_only_if_nothing_was_charged(
    harness: CallHarness, upstream: Upstream, tmp_path: Path, charged: bool
) -> None:
    if not charged:
        upstream.say = lambda _: plain({"error": {"message": "oops"}}, 500)
        with pytest.raises(ProviderUnavailable):
            await ask(harness)
        upstream.say = lambda _: plain(answer("hi", usage(3, 5)))
    else:
        await ask(harness)
    now_ms = harness.clock() + 3 * MS_PER_DAY
    await harness.store.forget_answers(now_ms)
    assert isinstance(harness.store, SqliteStore)
    before = format_instant(now_ms - MS_PER_DAY)[:10]
    archive(harness.store._path, tmp_path, before, now_ms, lambda _: None)
    harness.calls._joins._by_id.clear()
    for body in (ASKED, asking("another text", key="once")):
        if charged:
            with pytest.raises(CallEnded):
                await ask(harness, body)
        elif body is ASKED:
            await ask(harness, body)
    assert len(upstream.asked) == (1 if charged else 2)


def partial_saved(harness: CallHarness, call: Call, so: Callable[[Any], bool]) -> Callable[[], Any]:
    async def is_so() -> bool:
        return so(await harness.store.generation(harness.caller.account_id, call.generation.id))

    return is_so


async def test_stream_is_never_made_twice(harness: CallHarness, upstream: Upstream) -> None:
    request = asking(key="once", stream=True)
    upstream.say = lambda _: UpstreamReply(
        [b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'] * 3
    )
    saved = await harness.stream(request)
    assert saved.state is HoldState.CAPTURED
    with pytest.raises(CallEnded, match=saved.id):
        await ask(harness, request)
    assert len(upstream.asked) == 1


async def test_stored_response_survives_a_restart(
    harness: CallHarness, upstream: Upstream, database_url: str, clock: ManualClock, tmp_path: Path
) -> None:
    first = await ask(harness)
    other = open_database(database_url)
    async with open_harness(other, clock, tmp_path, upstream.url, TIMEOUTS) as later:
        assert await ask(later._replace(caller=harness.caller)) == first
    await other.close()
    assert len(upstream.asked) == 1


async def test_response_is_stored_for_a_day_and_its_call_never_billed_again(
    harness: CallHarness, upstream: Upstream
) -> None:
    first = await ask(harness)
    harness.clock.forward(ANSWER_KEPT_MS)
    await harness.metered.maintenance.run_once()
    assert await ask(harness) == first
    harness.clock.forward(1)
    await harness.metered.maintenance.run_once()
    with pytest.raises(CallEnded, match=first[1]):
        await ask(harness)
    assert len(upstream.asked) == 1


async def test_response_is_not_stored_without_the_header(harness: CallHarness) -> None:
    _, generation = await harness.answer(asking())
    assert await harness.store.answer(generation.account_id, generation.id) is None


async def test_call_whose_capture_is_spooled_is_not_made_again(
    harness: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    [body] = plain(answer("hi", usage(3, 5))).pieces
    gate = Gate([body[:9]], [body[9:]])
    upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
    first = asyncio.ensure_future(ask(harness))
    await until(lambda: len(upstream.asked) == 1)
    with moved_away(sqlite_path):
        gate.go.set()
        told = await first
    with pytest.raises(CallInProgress):
        await ask(harness)
    await harness.calls.settling.drain_spool()
    assert await ask(harness) == told
    assert len(upstream.asked) == 1
    assert await billed(harness) == TRUE_PICO
