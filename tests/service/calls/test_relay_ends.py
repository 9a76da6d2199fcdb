"""Which responses are complete when their connection ends early, and what they cost."""

import json
from typing import Any

import pytest

from modelgates_server.core.errors import ProviderUnavailable
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.repairs import Repair
from tests.gateway import READ_PICO, WRITTEN_PICO, CallHarness, FakeClient, asking, relay, take
from tests.upstream import DONE, Upstream, UpstreamReply, answer, chunk, event, usage, used

TRUE_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO
TEXT = [chunk("hel"), chunk("lo")]
USAGE = used(usage(3, 5))
STOP = chunk(finish="stop")


def two(index: int, text: str = "", finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return event({"choices": [choice]})


def each_ends(text: str) -> bytes:
    """A chunk of a server that sends `stop` with each."""
    return chunk(text, finish="stop")


WHOLE: dict[str, tuple[list[bytes], int]] = {
    "end and usage": ([*TEXT, STOP, USAGE], 1),
    "usage with the end": ([*TEXT, chunk(finish="stop", usage=usage(3, 5))], 1),
    "usage without its blank line": ([*TEXT, STOP, USAGE[:-1]], 1),
    "all of two choices": (
        [two(0, "a"), two(1, "b"), two(0, "", "stop"), two(1, "", "stop"), USAGE],
        2,
    ),
}
CUT: dict[str, tuple[list[bytes], int]] = {
    "no end": (TEXT, 1),
    "no usage": ([*TEXT, STOP], 1),
    "half of the usage": ([*TEXT, STOP, USAGE[:-9]], 1),
    "an end with each chunk": ([each_ends("hel"), USAGE, each_ends("lo"), USAGE], 1),
    "one of two choices": ([two(0, "a"), two(0, "", "stop"), USAGE], 2),
    "one of two that began, then the end": (
        [two(0, "a"), two(1, "b"), two(0, "", "stop"), USAGE, DONE],
        2,
    ),
    "one of two that began": ([two(0, "a"), two(1, "b"), two(0, "", "stop"), USAGE], 2),
}


@pytest.mark.parametrize("case", WHOLE)
async def test_stream_that_breaks_after_its_usage_is_complete(
    case: str, harness: CallHarness, upstream: Upstream
) -> None:
    pieces, choices = WHOLE[case]
    upstream.say = lambda _: UpstreamReply(pieces, cut=True)
    call = await harness.begin(asking(stream=True, n=choices))
    client = FakeClient()
    await relay(call, client)
    generation = await harness.saved(call)
    assert (generation.state, generation.cost_pico, generation.error) == (
        HoldState.CAPTURED,
        TRUE_PICO,
        None,
    )
    assert call._attempt.repairs[Repair.END_MISSING] == 1


@pytest.mark.parametrize("case", CUT)
async def test_stream_that_breaks_before_all_has_ended_is_not_complete(
    case: str, harness: CallHarness, upstream: Upstream
) -> None:
    pieces, choices = CUT[case]
    upstream.say = lambda _: UpstreamReply(pieces, cut=True)
    call = await harness.begin(asking(stream=True, n=choices))
    client = FakeClient()
    await relay(call, client)
    assert b"before it was complete" in client.pieces[-1]
    assert (await harness.saved(call)).error == "provider_unavailable"
    assert (await harness.account()).held_pico == 0


async def test_stream_of_two_choices_that_closes_after_one_is_not_complete(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply([two(0, "a"), two(0, "", "stop")])
    call = await harness.begin(asking(stream=True, n=2))
    client = FakeClient()
    await relay(call, client)
    assert b"before it was complete" in client.pieces[-1]


async def test_stream_of_a_provider_that_ignores_the_number_of_choices_is_complete(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply([two(0, "a"), two(0, "", "stop"), USAGE])
    assert (await harness.stream(asking(stream=True, n=2))).cost_pico == TRUE_PICO


@pytest.mark.parametrize("stream", [False, True])
async def test_plain_response_whose_json_is_complete_does_not_need_the_rest(
    harness: CallHarness, upstream: Upstream, *, stream: bool
) -> None:
    body = json.dumps(answer("hello", usage(3, 5))).encode()
    upstream.say = lambda _: UpstreamReply(
        [body[:20], body[20:]], 200, "application/json", cut=True
    )
    call = await harness.begin(asking(stream=stream))
    if stream:
        await relay(call, FakeClient())
    else:
        await take(call)
    assert (await harness.saved(call)).cost_pico == TRUE_PICO
    assert call._attempt.repairs[Repair.END_MISSING] == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_plain_response_that_is_cut_within_its_json_costs_nothing(
    harness: CallHarness, upstream: Upstream, *, stream: bool
) -> None:
    body = json.dumps(answer("hello", usage(3, 5))).encode()
    upstream.say = lambda _: UpstreamReply([body[:-1]], 200, "application/json", cut=True)
    call = await harness.begin(asking(stream=stream))
    with pytest.raises(ProviderUnavailable, match="before it was complete"):
        await (relay(call, FakeClient()) if stream else take(call))
    assert (await harness.saved(call)).state is HoldState.VOIDED


@pytest.mark.parametrize("status", [201, 202])
@pytest.mark.parametrize("stream", [False, True])
async def test_success_of_another_status_is_a_response(
    harness: CallHarness, upstream: Upstream, status: int, *, stream: bool
) -> None:
    body = json.dumps(answer("hello", usage(3, 5))).encode()
    kinds: dict[bool, UpstreamReply] = {
        False: UpstreamReply([body], status, "application/json"),
        True: UpstreamReply([*TEXT, STOP, USAGE], status),
    }
    upstream.say = lambda _: kinds[stream]
    call = await harness.begin(asking(stream=stream))
    await (relay(call, FakeClient()) if stream else take(call))
    assert (await harness.saved(call)).cost_pico == TRUE_PICO
    assert call._attempt.repairs == {Repair.STATUS_IGNORED: 1}


FORMS: dict[str, tuple[bool, Any, str, set[Repair]]] = {
    "JSON for a stream": (True, None, "application/json", {Repair.FORM_CHANGED}),
    "JSON called events": (
        True,
        None,
        "text/event-stream",
        {Repair.FORM_CHANGED, Repair.CONTENT_TYPE_IGNORED},
    ),
    "events called JSON": (
        True,
        [*TEXT, STOP, USAGE],
        "application/json",
        {Repair.CONTENT_TYPE_IGNORED},
    ),
    "events called text": (
        True,
        [*TEXT, STOP, USAGE],
        "text/plain; charset=utf-8",
        {Repair.CONTENT_TYPE_IGNORED},
    ),
    "events for a plain call": (
        False,
        [*TEXT, STOP, USAGE],
        "text/event-stream",
        {Repair.FORM_CHANGED},
    ),
    "events called JSON for a plain call": (
        False,
        [*TEXT, STOP, USAGE],
        "application/json",
        {Repair.FORM_CHANGED, Repair.CONTENT_TYPE_IGNORED},
    ),
    "JSON called events for a plain call": (
        False,
        None,
        "text/event-stream",
        {Repair.CONTENT_TYPE_IGNORED},
    ),
}


@pytest.mark.parametrize("case", FORMS)
async def test_response_in_any_form_is_charged_alike(
    case: str, harness: CallHarness, upstream: Upstream
) -> None:
    stream, pieces, content_type, repairs = FORMS[case]
    body = json.dumps(answer("hello", usage(3, 5))).encode()
    upstream.say = lambda _: UpstreamReply(pieces or [body], 200, content_type)
    call = await harness.begin(asking(stream=stream))
    await (relay(call, FakeClient()) if stream else take(call))
    assert (await harness.saved(call)).cost_pico == TRUE_PICO
    assert set(call._attempt.repairs) == repairs
