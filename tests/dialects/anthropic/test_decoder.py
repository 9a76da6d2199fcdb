"""Odd responses of the Messages API on their way to chat completions."""

import json
from typing import Any

import pytest

from modelgates_server.core.errors import ProviderError, ProviderUnavailable
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.dialects.anthropic import decoder
from modelgates_server.dialects.anthropic.decoder import MessagesDecoder
from tests.dialects.anthropic.responses import (
    Way,
    events_of,
    golden_message,
    golden_stream,
    stream_of,
)

EVENTS = events_of(golden_stream("text"))
MESSAGE = golden_message("text")


def to_chat() -> Way:
    return Way("chat", "anthropic")


def text_of(stream: bytes) -> str:
    """The text in a stream of chat completions."""
    chunks = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: {")]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_stream_in_place_of_a_plain_response_is_joined() -> None:
    way = to_chat()
    way.adapter.read_answer(golden_stream("text"))
    told = json.loads(way.adapter.answer(way.settled()))
    said = "".join(block["text"] for block in MESSAGE["content"])
    assert told["choices"][0]["message"]["content"] == said


@pytest.mark.parametrize("size", [1, 50, 0])
def test_plain_response_in_place_of_a_stream_becomes_one(size: int) -> None:
    told = to_chat().streamed(json.dumps(MESSAGE).encode(), size)
    assert text_of(told) == "".join(block["text"] for block in MESSAGE["content"])


def test_plain_response_above_the_limit_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "EVENT_MAX_BYTES", 100)
    subject = MessagesDecoder(writes_1h=False)
    head, rest = b"{" + b" " * 99, b" " * 50
    assert (subject.feed(head), subject.feed(rest), subject.feed(rest)) == (b"", head + rest, rest)
    assert subject.close() == b""


def test_error_stays_as_it_is_for_the_chat_adapter() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with pytest.raises(ProviderError):
        to_chat().adapter.read_answer(json.dumps(error).encode())


def test_unreadable_events_are_passed_over_and_counted() -> None:
    broken: list[Any] = [{"type": "content_block_delta", "index": 0, "delta": {}}]
    stream = stream_of(EVENTS[:3]) + stream_of(broken) + b"data: hello\n\n" + stream_of(EVENTS[3:])
    way = to_chat()
    assert text_of(way.streamed(stream)) == text_of(to_chat().streamed(golden_stream("text")))
    assert way.adapter.meter.repairs[Repair.DATA_SKIPPED] == 1


def test_second_message_in_a_stream_is_not_begun() -> None:
    stream = stream_of([EVENTS[0], *EVENTS])
    assert to_chat().streamed(stream).count(b'"role"') == 1


def test_blocks_and_deltas_of_unknown_types_are_left_out() -> None:
    odd: list[Any] = [
        {"type": "content_block_start", "index": 7, "content_block": {"type": "new_block"}},
        {"type": "content_block_delta", "index": 7, "delta": {"type": "new_delta"}},
        {"type": "content_block_stop", "index": 7},
        {"type": "new_event"},
    ]
    stream = stream_of([EVENTS[0], *odd, *EVENTS[1:]])
    assert text_of(to_chat().streamed(stream)) == text_of(to_chat().streamed(stream_of(EVENTS)))


def test_thinking_and_text_in_the_start_of_a_block_are_said() -> None:
    starts: list[Any] = [
        {"type": "text", "text": "Hello "},
        {"type": "thinking", "thinking": "", "signature": ""},
    ]
    begun = [
        {"type": "content_block_start", "index": 8 + at, "content_block": block}
        for at, block in enumerate(starts)
    ]
    told = text_of(to_chat().streamed(stream_of([EVENTS[0], *begun, *EVENTS[1:]])))
    assert told.startswith("Hello ")


def test_native_stream_skips_what_does_not_belong_to_a_message() -> None:
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}
    way = Way()
    told = events_of(way.streamed(stream_of([block, EVENTS[0], *EVENTS, {"type": "new_event"}])))
    assert [each["type"] for each in told].count("message_start") == 1
    with pytest.raises(ProviderUnavailable):
        Way().streamed(stream_of([EVENTS[0]]))
