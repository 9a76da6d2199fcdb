"""Usage, finish reasons and errors that providers report, as found in public bug reports."""

import json
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from modelgates_server.core.errors import ProviderUnavailable
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation, Origin, UsageWarning
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import dollars, total_of
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.telemetry import observer
from tests.gateway import (
    READ_PICO,
    WRITTEN_PICO,
    CallHarness,
    FakeClient,
    asking,
    take,
)
from tests.upstream import DONE, Upstream, UpstreamReply, answer, chunk, event, plain, usage, used

FIVE_READ_TWO_WRITTEN_PICO = 5 * READ_PICO + 2 * WRITTEN_PICO
ENDS = [chunk(finish="stop"), used(usage(5, 2)), DONE]


def delta(**members: Any) -> bytes:
    """A chunk that says something in other members than `content`."""
    return event({"id": "up-1", "choices": [{"index": 0, "delta": members, "finish_reason": None}]})


async def streamed(
    harness: CallHarness, upstream: Upstream, *pieces: bytes, cut: bool = False
) -> Generation:
    upstream.say = lambda _: UpstreamReply(list(pieces), cut=cut)
    generation = await harness.stream(asking(stream=True))
    assert total_of(generation.lines) == dollars(generation.cost_pico)
    return generation


def saying(reason: object, content: str = "", **members: Any) -> UpstreamReply:
    """A plain answer that ends so."""
    choice = {"index": 0, "message": {"content": content}, "finish_reason": reason}
    return plain({"id": "up-1", "choices": [choice], **members})


@pytest.mark.parametrize("word", ["error", "network_error", "insufficient_system_resource", "odd"])
async def test_plain_response_is_free_when_it_ended_as_failed_without_output(
    word: str, harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: saying(word, usage=usage(5, 2))
    call = await harness.begin(asking())
    with pytest.raises(ProviderUnavailable, match=f"finish reason '{word}'"):
        await take(call)
    saved = await harness.saved(call)
    assert (saved.state, saved.cost_pico) == (HoldState.VOIDED, 0)


@pytest.mark.parametrize(
    ("word", "normalised"),
    [
        ("end_turn", "stop"),
        ("MAX_TOKENS", "length"),
        ("tool_use", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("network_error", "error"),
        ("odd", "stop"),
    ],
)
async def test_plain_response_with_text_is_charged_and_its_finish_reason_normalized(
    word: str, normalised: str, harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: saying(word, "some text", usage=usage(5, 2))
    body, generation = await harness.answer(asking())
    [choice] = body["choices"]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (normalised, word)
    assert (generation.finish_reason, generation.native_finish_reason) == (normalised, word)
    assert generation.cost_pico == FIVE_READ_TWO_WRITTEN_PICO


@pytest.mark.parametrize("text", ["", "some text"])
async def test_stream_ends_with_an_error_chunk_when_its_finish_reason_is_a_failure(
    text: str, harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply(
        [chunk(text or None), chunk(finish="network_error"), used(usage(5, 2)), DONE]
    )
    client = FakeClient()
    generation = await harness.stream(asking(stream=True), client)
    assert client.chunks[-1]["error"]["code"] == 502
    assert generation.finish_reason == "error"
    assert generation.cost_pico == (FIVE_READ_TWO_WRITTEN_PICO if text else 0)


async def test_stream_has_normalized_and_native_finish_reasons(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply([chunk("hi"), chunk(finish="end_turn"), *ENDS[1:]])
    client = FakeClient()
    await harness.stream(asking(stream=True), client)
    ends = [choice for each in client.chunks[:-1] for choice in each["choices"]]
    assert [end["finish_reason"] for end in ends] == [None, "stop"]
    assert ends[-1]["native_finish_reason"] == "end_turn"


SAID = {
    "reasoning details": delta(reasoning_details=[{"type": "reasoning.text", "text": "x" * 40}]),
    "encrypted reasoning": delta(reasoning_details=[{"type": "encrypted", "data": "x" * 40}]),
    "one text under three names": delta(
        reasoning="x" * 40,
        reasoning_content="x" * 40,
        reasoning_details=[{"type": "reasoning.text", "text": "x" * 40, "signature": "y" * 99}],
    ),
    "a transcript": delta(audio={"id": "a", "transcript": "x" * 40, "expires_at": 1}),
    "an unknown field": delta(thoughts="x" * 40),
    "parts of text": delta(content=[{"type": "text", "text": "x" * 40}]),
    "escaped text": delta(content="\u00e9" * 20),
}


@pytest.mark.parametrize("case", SAID)
async def test_broken_stream_is_charged_for_every_relayed_text(
    case: str, harness: CallHarness, upstream: Upstream
) -> None:
    generation = await streamed(harness, upstream, SAID[case], cut=True)
    assert generation.state is HoldState.CAPTURED
    assert generation.usage is not None
    assert (generation.usage.output, generation.usage.estimated) == (10, True)
    assert generation.cost_pico >= 10 * WRITTEN_PICO


@pytest.mark.parametrize("n", [1, 2])
async def test_usage_on_choices_is_added_up_with_the_prompt_counted_once(
    n: int, harness: CallHarness, upstream: Upstream
) -> None:
    choices = [
        {"index": i, "delta": {"content": "hi"}, "finish_reason": "stop", "usage": usage(5, 2)}
        for i in range(n)
    ]
    upstream.say = lambda _: UpstreamReply([event({"choices": choices}), DONE])
    generation = await harness.stream(asking(stream=True, n=n))
    assert generation.cost_pico == 5 * READ_PICO + 2 * n * WRITTEN_PICO
    assert generation.reported is not None


async def test_usage_of_the_response_is_not_added_to_usage_on_choices(
    harness: CallHarness, upstream: Upstream
) -> None:
    last = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage(5, 2)}
    generation = await streamed(
        harness, upstream, chunk("hi"), event({"choices": [last], "usage": usage(5, 2)}), DONE
    )
    assert generation.cost_pico == FIVE_READ_TWO_WRITTEN_PICO


async def test_reported_model_and_cost_are_stored(harness: CallHarness, upstream: Upstream) -> None:
    upstream.say = lambda _: plain({**answer("hi", usage(5, 2, cost=0.25)), "model": "m1-2026"})
    _, generation = await harness.answer(asking())
    assert generation.served_model == "m1-2026"
    assert generation.upstream_cost_pico == 25 * 10**10
    assert generation.usage_warnings == (UsageWarning.COST_DIFFERS,)


async def test_usage_warnings_are_counted_and_a_different_cost_is_logged(
    harness: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(observer, "log", log)
    upstream.say = lambda _: plain(
        answer("some text", {"prompt_tokens": 5, "total_tokens": -1, "cost": 0.25, "cost_x": 1})
    )
    _, generation = await harness.answer(asking())
    assert set(generation.usage_warnings) == {
        UsageWarning.COUNT_REFUSED,
        UsageWarning.ZERO_ESTIMATED,
        UsageWarning.COST_DIFFERS,
    }
    for warning in generation.usage_warnings:
        labels = {"endpoint": "acme:large", "warning": warning.value}
        figures = harness.metered.metrics._registry
        assert figures.get_sample_value("modelgates_usage_warnings_total", labels) == 1
    [line] = log.calls
    assert (line.method_name, line.args) == ("warning", ("provider reports a different cost",))
    assert (line.kwargs["id"], line.kwargs["reported_cost"]) == (generation.id, "0.25")
    assert "cost_x" not in str(line.kwargs), "a report may hold anything"


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (Api.CHAT, {"choices": [], "usage": usage(5, 2)}),
        (Api.CHAT, {"choices": None, "error": {"message": "no"}}),
        (Api.CHAT, {"choices": [], "error": {"message": "no"}, "usage": usage(5, 2)}),
        (Api.CHAT, {"data": [{"embedding": [0.5]}]}),
        (Api.EMBEDDINGS, {"data": [], "usage": usage(5, 0)}),
        (Api.EMBEDDINGS, {"data": None, "error": {"message": "no"}}),
        (Api.EMBEDDINGS, {"choices": [{"message": {"content": "hi"}}]}),
    ],
)
async def test_response_without_content_is_a_failure_and_free(
    api: Api, body: dict[str, Any], harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: plain(body)
    call = await harness.begin(asking(api=api))
    with pytest.raises(ProviderUnavailable):
        await take(call)
    saved = await harness.saved(call)
    assert (saved.state, saved.cost_pico) == (HoldState.VOIDED, 0)


async def test_plain_response_that_ended_as_failed_is_charged_and_stores_the_failure(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: saying("network_error", "some text", usage=usage(5, 2))
    body, generation = await harness.answer(asking())
    assert body["choices"][0]["finish_reason"] == "error"
    assert generation.error == "provider_unavailable"
    assert generation.cost_pico == FIVE_READ_TWO_WRITTEN_PICO


async def test_stream_is_incomplete_when_a_choice_has_not_ended(
    harness: CallHarness, upstream: Upstream
) -> None:
    def part(index: int, finish: str | None) -> bytes:
        choice = {"index": index, "delta": {"content": "hi"}, "finish_reason": finish}
        return event({"choices": [choice]})

    client = FakeClient()
    upstream.say = lambda _: UpstreamReply([part(0, None), part(1, None), part(0, "stop")])
    await harness.stream(asking(stream=True, n=2), client)
    assert client.chunks[-1]["error"]["code"] == 502
    client = FakeClient()
    upstream.say = lambda _: UpstreamReply([part(0, None), part(1, "stop"), part(0, "stop")])
    await harness.stream(asking(stream=True, n=2), client)
    assert "error" not in client.chunks[-1]


@pytest.mark.parametrize("reported", [usage(900, 1), None])
async def test_echoed_prompt_is_not_output_and_does_not_cut_the_stream(
    reported: dict[str, int] | None, harness: CallHarness, upstream: Upstream
) -> None:
    prompt = "word " * 20_000
    said = event({"choices": [{"index": 0, "text": f"{prompt}and", "finish_reason": "length"}]})
    upstream.say = lambda _: UpstreamReply(
        [said, used(reported), DONE] if reported else [said, DONE]
    )
    body = {"model": "acme/large", "prompt": prompt, "echo": True, "max_tokens": 1, "stream": True}
    raw = json.dumps(body).encode()
    request = CallRequest(
        inference=parse_request(Api.COMPLETIONS, raw),
        dialect=OPENAI_CHAT,
        body=raw,
        origin=Origin(request_id="req_1"),
    )
    client = FakeClient()
    generation = await harness.stream(request, client)
    assert generation.error is None
    assert generation.usage is not None
    assert generation.usage.completion_tokens <= 1
    assert generation.overrun_pico == 0
    assert client.chunks[0]["choices"][0]["text"] == f"{prompt}and"
