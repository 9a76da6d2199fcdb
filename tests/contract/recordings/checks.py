"""Compares what a client got, and what was charged, with what a recording expects."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import dollars, total_of
from tests.contract.recordings.received import Received, read_plain, read_stream
from tests.contract.recordings.recording import ExpectedError, Recording

_OBJECTS = {
    (Api.CHAT, False): "chat.completion",
    (Api.CHAT, True): "chat.completion.chunk",
    (Api.COMPLETIONS, False): "text_completion",
    (Api.COMPLETIONS, True): "text_completion",
    (Api.EMBEDDINGS, False): "list",
}


def check_response(
    recording: Recording, status: int, headers: Mapping[str, str], body: bytes
) -> Received:
    """Checks the bytes that left the gateway; returns what they contain."""
    streamed = headers["content-type"].startswith("text/event-stream")
    assert streamed == (recording.streams and status == 200)
    received = (read_stream if streamed else read_plain)(recording, body)
    expected = recording.expected
    _check_error(expected.error, status, headers, received)
    for part in expected.keeps:
        assert part.encode() in body, part
    if status == 200:
        kind = _OBJECTS[recording.api, streamed]
        [(_, *head)] = received.heads
        assert head == [recording.model_id, recording.name, kind]
        _check_contents(recording, received)
        _check_usage(recording, received)
    return received


def _check_error(
    expected: ExpectedError | None, status: int, headers: Mapping[str, str], received: Received
) -> None:
    if expected is None:
        assert (status, received.error) == (200, None), received
        return
    error = received.error
    assert error is not None, received
    assert error["code"] == expected.status, error
    assert status in (200, expected.status)
    assert expected.says in json.dumps(error, ensure_ascii=False), error
    told = error.get("metadata", {}).get("retry_after_seconds")
    assert told == expected.retry_after_s, error
    if status != 200:
        assert headers.get("retry-after") == (None if told is None else str(told))


def _check_contents(recording: Recording, received: Received) -> None:
    """No text, reasoning or call is lost, doubled or in the wrong choice."""
    expected = recording.expected
    if recording.api is Api.EMBEDDINGS:
        assert received.embeddings == expected.embeddings
        return
    texts = [received.texts.get(index, "") for index in range(len(expected.texts))]
    assert texts == expected.texts
    assert received.texts.keys() <= set(range(len(expected.texts)))
    assert received.reasoning.get(0, "") == expected.reasoning
    assert (received.refusals.get(0) or None) == expected.refusal
    assert received.images == expected.images
    calls = received.tool_calls.get(0, [])
    assert all(id_ for id_, *_ in calls), calls
    assert len({id_ for id_, *_ in calls}) == len(calls), "two calls with one id"
    named = [
        ("*" if want[0] == "*" else call[0], *call[1:])
        for call, want in zip(calls, expected.tool_calls, strict=False)
    ] + calls[len(expected.tool_calls) :]
    assert named == expected.tool_calls
    if expected.error is None:
        ends = [received.finishes.get(index) for index in range(len(expected.finishes))]
        assert ends == expected.finishes


def _check_usage(recording: Recording, received: Received) -> None:
    usage = received.last["usage"]
    tokens = recording.expected.tokens
    if tokens is not None:
        assert usage["cost"] == dollars(recording.expected.cost_pico)
        assert usage["total_tokens"] == sum(tokens.values())
    parts = usage["cost_details"]
    both = ("upstream_inference_prompt_cost", "upstream_inference_completions_cost")
    assert sum(Decimal(parts[name]) for name in both) == Decimal(usage["cost"])
    if recording.streams and recording.expected.error is None:
        choices = received.last["choices"]
        if recording.includes_usage:
            assert choices == []
        else:
            [choice] = choices
            assert not (choice.get("delta") or choice).get("content")
            assert not choice.get("text")


def check_generation(recording: Recording, generation: Generation) -> None:
    """Checks the record of the call: what it cost, and how it ended."""
    expected = recording.expected
    assert total_of(generation.lines) == dollars(generation.cost_pico)
    assert generation.error == (None if expected.error is None else expected.error.code)
    estimated = generation.usage is not None and generation.usage.estimated
    assert estimated == expected.estimated
    if expected.estimated:
        assert generation.cost_pico > 0
        return
    counts = {} if generation.usage is None else _counts(generation)
    assert counts == (expected.tokens or {})
    assert generation.cost_pico == expected.cost_pico
    state = HoldState.VOIDED if expected.tokens is None else HoldState.CAPTURED
    assert generation.state is state


def _counts(generation: Generation) -> dict[Any, int]:
    return {line.meter: line.quantity for line in generation.lines if line.quantity}


def check_repairs(recording: Recording, repairs: set[Repair]) -> None:
    """Checks that the operator's metrics show what was repaired, and nothing else."""
    assert repairs == recording.expected.repairs
