"""One call through the real client to an upstream that is good, wrong, or breaks off."""

import gc
import weakref
from decimal import Decimal
from typing import Any

import pytest

from modelgates_server.core.errors import (
    GatewayError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import dollars, total_of
from modelgates_server.service.calls.call import Call
from tests.gateway import (
    READ_PICO,
    WRITTEN_PICO,
    CallHarness,
    FakeClient,
    asking,
    relay,
    take,
)
from tests.upstream import (
    DONE,
    Upstream,
    UpstreamReply,
    answer,
    chunk,
    event,
    plain,
    story,
    usage,
    used,
)

TRUE_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO
"""The cost of `story`."""


def streamed(**members: Any) -> Any:
    return asking(stream=True, **members)


def check(generation: Generation, cost_pico: int) -> None:
    """Receipt lines = cost, to the pico, and never more than was held."""
    assert generation.cost_pico == cost_pico <= generation.hold_pico
    assert total_of(generation.lines) == dollars(cost_pico)


def guess_pico(generation: Generation, output_bytes: int) -> int:
    """The price of what we count ourselves: a token for four bytes."""
    assert generation.usage is not None
    assert generation.usage.estimated
    assert 0 < generation.usage.input <= generation.prompt_tokens_max
    assert generation.usage.output == -(-output_bytes // 4)
    return generation.usage.input * READ_PICO + generation.usage.output * WRITTEN_PICO


async def test_plain_response_costs_its_reported_usage(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: plain(answer("hi", usage(3, 5), service={"kept": True}))
    body, generation = await harness.answer(asking(temperature=0.5, odd={"nested": [1]}))
    check(generation, TRUE_PICO)
    assert body["id"] == generation.id
    assert body["usage"]["cost"] == dollars(TRUE_PICO) == Decimal("0.0503")
    assert body["service"] == {"kept": True}
    assert upstream.asked[0]["odd"] == {"nested": [1]}
    assert (await harness.account()).usage_pico == TRUE_PICO


async def test_stream_is_charged_before_its_last_chunk(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply(story())
    call = await harness.begin(streamed())
    paid = []

    class Watcher(FakeClient):
        async def write(self, data: bytes) -> None:
            await super().write(data)
            paid.append((b"[DONE]" in data, (await harness.account()).usage_pico))

    client = Watcher()
    await relay(call, client)
    assert paid[-1] == (True, TRUE_PICO)
    assert {pico for done, pico in paid if not done} == {0}
    *_, last = client.chunks
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": None}]
    assert last["usage"]["cost"] == dollars(TRUE_PICO)
    assert {one["id"] for one in client.chunks} == {call.generation.id}
    assert [one for one in client.chunks if "usage" in one] == [last]
    assert upstream.asked[0]["stream_options"] == {"include_usage": True}
    check(await harness.saved(call), TRUE_PICO)


async def test_first_chunk_is_sent_before_chunks_that_arrived_with_it_are_metered(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply([b"".join(story())])
    client = FakeClient()
    await harness.stream(streamed(), client)
    assert [piece.count(b"data: ") for piece in client.pieces] == [1, len(story()) - 3, 2]


TEXTS, END = story()[:5], story()[5]

BELIEVED = {
    "late, after the finish": (story(), TRUE_PICO),
    "twice": ([*TEXTS, END, used(usage(3, 5)), used(usage(3, 5)), DONE], TRUE_PICO),
    "growing with each chunk": (
        [*(chunk("x", usage=usage(3, count)) for count in range(1, 6)), END, DONE],
        TRUE_PICO,
    ),
    "zeros at the end": ([*TEXTS, END, used(usage(3, 5)), used(usage(0, 0)), DONE], TRUE_PICO),
    "in two parts": (
        [chunk("x", usage=usage(3, 1)), chunk(finish="stop", usage={"completion_tokens": 5}), DONE],
        TRUE_PICO,
    ),
    "after [DONE]": ([*TEXTS, END, DONE, used(usage(3, 5))], TRUE_PICO),
    "in floats and digits": (story({"prompt_tokens": 2.5, "completion_tokens": "5"}), TRUE_PICO),
    "null until the end": ([chunk("x", usage=None), END, used(usage(3, 5)), DONE], TRUE_PICO),
    "at Groq's place": (
        [chunk("x"), chunk(finish="stop", x_groq={"usage": usage(3, 5)})],
        TRUE_PICO,
    ),
    "details larger than the total": (
        story(usage(3, 5, completion_tokens_details={"reasoning_tokens": 10**6})),
        TRUE_PICO,
    ),
    "cached tokens below zero": (
        story(usage(3, 5, prompt_tokens_details={"cached_tokens": -7})),
        TRUE_PICO,
    ),
}


@pytest.mark.parametrize("case", BELIEVED)
async def test_usage_is_charged_once_and_as_reported(
    harness: CallHarness, upstream: Upstream, case: str
) -> None:
    pieces, cost_pico = BELIEVED[case]
    upstream.say = lambda _: UpstreamReply(pieces)
    client = FakeClient()
    generation = await harness.stream(streamed(), client)
    check(generation, cost_pico)
    assert [one for one in client.chunks if "usage" in one] == client.chunks[-1:]
    assert "x_groq" not in client.text
    assert generation.state is HoldState.CAPTURED
    assert generation.usage is not None
    assert not generation.usage.estimated


UNBELIEVED: dict[str, list[bytes]] = {
    "missing": [*TEXTS, END, DONE],
    "zeros": story(usage(0, 0)),
    "empty": story({}),
    "negative": story(usage(-3, -5)),
    "negative in part": story({"prompt_tokens": 3, "completion_tokens": -1}),
    "absurd": story(usage(10**15, 10**15)),
    "digits without end": story(dict.fromkeys(["prompt_tokens", "total_tokens"], "9" * 10_000)),
    "true": story({"prompt_tokens": True, "completion_tokens": True}),
}


@pytest.mark.parametrize("case", UNBELIEVED)
async def test_implausible_usage_is_replaced_by_an_estimate(
    harness: CallHarness, upstream: Upstream, case: str
) -> None:
    upstream.say = lambda _: UpstreamReply(UNBELIEVED[case])
    generation = await harness.stream(streamed())
    check(generation, guess_pico(generation, output_bytes=30))
    assert generation.state is HoldState.CAPTURED


@pytest.mark.parametrize("stream", [False, True])
async def test_usage_above_the_hold_neither_overdraws_nor_creates_credits(
    harness: CallHarness, upstream: Upstream, stream: bool
) -> None:
    dear = usage(4 * 10**8, 4 * 10**8)
    upstream.say = lambda _: UpstreamReply(story(dear)) if stream else plain(answer("hi", dear))
    if stream:
        generation = await harness.stream(streamed())
    else:
        _, generation = await harness.answer(asking())
    check(generation, generation.hold_pico)
    assert generation.overrun_pico == 4 * 10**8 * (READ_PICO + WRITTEN_PICO) - generation.hold_pico
    account = await harness.account()
    assert account.usage_pico == generation.hold_pico
    assert account.held_pico == 0


async def test_embedding_is_charged_for_input_only(
    harness: CallHarness, upstream: Upstream
) -> None:
    told = {
        "object": "list",
        "data": [{"embedding": [0.5]}],
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    upstream.say = lambda _: plain(told)
    body, generation = await harness.answer(asking(api=Api.EMBEDDINGS))
    check(generation, 4 * READ_PICO)
    assert body["usage"]["cost"] == Decimal("0.0004")


FAILURES: dict[str, tuple[UpstreamReply, type[GatewayError]]] = {
    "finds fault with it": (plain({"error": {"message": "bad"}}, 400), ProviderRefused),
    "refuses the gateway's key": (plain({"error": {"message": "key"}}, 401), ProviderUnavailable),
    "is rate limited": (plain({"error": {"message": "slow"}}, 429), ProviderRateLimited),
    "fails": (plain({"error": {"message": "oh " * 9999}}, 500), ProviderUnavailable),
    "fails in HTML": (UpstreamReply([b"<h1>no</h1>"], 502, "text/html"), ProviderUnavailable),
    "redirects": (UpstreamReply([], 302, headers={"Location": "/elsewhere"}), ProviderUnavailable),
    "sends JSON that is not a response": (plain({"hello": 1}), ProviderUnavailable),
    "sends invalid JSON": (UpstreamReply([b"{"], 200, "application/json"), ProviderUnavailable),
    "has an error with status 200": (plain({"error": {"code": 429}}), ProviderRateLimited),
    "is cut within the body": (
        UpstreamReply([b'{"choices": ['], 200, "application/json", cut=True),
        ProviderUnavailable,
    ),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", FAILURES)
async def test_call_costs_nothing_when_the_provider_fails(
    harness: CallHarness, upstream: Upstream, case: str, stream: bool
) -> None:
    reply, error = FAILURES[case]
    upstream.say = lambda _: reply
    call = await harness.begin(streamed() if stream else asking())
    with pytest.raises(error) as raised:
        await (relay(call, FakeClient()) if stream else take(call))
    assert raised.value.generation_id == call.generation.id
    await check_free(harness, call)


async def test_call_costs_nothing_when_the_provider_is_unreachable(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.close()
    call = await harness.begin(streamed())
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await relay(call, FakeClient())
    await check_free(harness, call)


NOTHING_SAID = {
    "no finish": [chunk(), used(usage(3, 0)), DONE],
    "an empty finish": [chunk(finish=""), used(usage(3, 0)), DONE],
    "a finish that is an error": [chunk(finish="error"), used(usage(3, 0)), DONE],
    "no usage": [DONE],
    "an error at once": [event({"error": {"message": "no", "code": 500}})],
    "an end at once": [],
    "comments alone": [b": processing\n\n"],
}


@pytest.mark.parametrize("case", NOTHING_SAID)
async def test_empty_response_without_a_valid_end_is_free(
    harness: CallHarness, upstream: Upstream, case: str
) -> None:
    upstream.say = lambda _: UpstreamReply(NOTHING_SAID[case])
    call = await harness.begin(streamed())
    client = FakeClient()
    await relay(call, client)
    assert client.chunks[-1]["usage"]["cost"] == 0
    await check_free(harness, call)


async def test_empty_response_with_a_valid_end_costs_its_input(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply([chunk(finish="stop"), used(usage(3, 0)), DONE])
    check(await harness.stream(streamed()), 3 * READ_PICO)


BROKEN_OFF = "The provider `acme` ended its response before it was complete."
BROKEN: dict[str, tuple[UpstreamReply, int, str]] = {
    "cut": (UpstreamReply(TEXTS, cut=True), 502, BROKEN_OFF),
    "ended without an end": (UpstreamReply(TEXTS), 502, BROKEN_OFF),
    "garbage": (
        UpstreamReply([*TEXTS, b"data: {\n\n", *TEXTS]),
        502,
        "The provider `acme` sent an invalid response.",
    ),
    "an endless event": (
        UpstreamReply([*TEXTS, *([b"data: " + b"x" * 2**20] * 20)]),
        502,
        "The provider `acme` sent",
    ),
    "an error": (
        UpstreamReply(
            [*TEXTS, event({"error": {"message": "I am out", "code": "overloaded"}}), *TEXTS]
        ),
        503,
        "Provider returned error",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_broken_stream_is_charged_for_the_relayed_part(
    harness: CallHarness, upstream: Upstream, case: str
) -> None:
    reply, code, message = BROKEN[case]
    upstream.say = lambda _: reply
    client = FakeClient()
    generation = await harness.stream(streamed(), client)
    check(generation, guess_pico(generation, output_bytes=30))
    assert generation.state is HoldState.CAPTURED
    *texts, last = client.chunks
    assert len(texts) == 5
    assert last["error"]["code"] == code
    assert last["error"]["message"].startswith(message)
    assert last["error"]["metadata"]["provider_name"] == "acme"
    assert last["choices"] == [
        {"index": 0, "delta": {"content": ""}, "finish_reason": "error"},
    ]
    assert last["usage"]["cost"] == dollars(generation.cost_pico)


async def test_stream_that_breaks_after_its_usage_costs_that_usage(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply([*TEXTS, used(usage(3, 5))], cut=True)
    check(await harness.stream(streamed()), TRUE_PICO)


async def test_broken_stream_is_charged_beyond_an_early_usage_report(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply([used(usage(3, 0)), *TEXTS], cut=True)
    generation = await harness.stream(streamed())
    assert generation.usage is not None
    assert generation.usage.estimated
    assert generation.usage.prompt_tokens == 3
    assert generation.usage.completion_tokens > 0


async def check_free(harness: CallHarness, call: Call) -> None:
    generation = await harness.saved(call)
    assert (generation.state, generation.cost_pico) == (HoldState.VOIDED, 0)
    account = await harness.account()
    assert (account.usage_pico, account.held_pico) == (0, 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_failed_call_is_freed_without_the_garbage_collector(
    harness: CallHarness, upstream: Upstream, *, stream: bool
) -> None:
    """It holds the request's body twice, and the collector comes once in hundreds of calls."""
    refusal = UpstreamReply([b'{"error": {"message": "no"}}'], 400, "application/json")
    whats_no_answer = plain({"object": "list"})
    gc.collect()
    gc.disable()
    try:
        for reply in (refusal, whats_no_answer):
            upstream.say = lambda _, reply=reply: reply  # type: ignore[misc]
            call = await harness.begin(asking(stream=stream))
            kept = weakref.ref(call)
            failed = False
            try:
                await take(call)
            except GatewayError:
                failed = True
            del call
            assert failed
            assert kept() is None
    finally:
        gc.enable()
