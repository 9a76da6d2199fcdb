import json
from typing import Any

import pytest

from tests.core.calls import MODEL
from tests.dialects.anthropic import responses
from tests.dialects.anthropic.responses import NAMES, Way

_NO_DETAILS = {"stop_details": {"type": "refusal", "category": None, "explanation": None}}
_LOST: dict[str, dict[str, Any]] = {
    # In chat completions, there is one reason for both ends, and no sequence.
    "stop_sequence": {"stop_reason": "end_turn", "stop_sequence": None},
    "refusal": _NO_DETAILS,
    "refusal_without_text": _NO_DETAILS,
}
"""The losses on the way through chat completions, by golden file."""


def without_ours(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what the gateway writes: id, model and usage; and without empty details."""
    return {
        name: value
        for name, value in message.items()
        if name not in ("id", "model", "usage") and not (name == "stop_details" and value is None)
    }


def is_ours(message: dict[str, Any]) -> bool:
    return (message["id"], message["model"]) == ("gen-1", MODEL)


def expected(name: str) -> dict[str, Any]:
    return without_ours(responses.golden_message(name))


def through_chat(name: str) -> dict[str, Any]:
    return expected(name) | _LOST.get(name, {})


def test_golden_streams_are_what_the_official_package_reads() -> None:
    for name in NAMES:
        read = responses.accumulated(responses.golden_stream(name))
        assert read == responses.golden_message(name), name


@pytest.mark.parametrize("name", NAMES)
def test_native_stream_keeps_every_value_when_split_anywhere(name: str) -> None:
    stream = responses.golden_stream(name)
    whole = Way().streamed(stream)
    read = responses.accumulated(whole)
    assert without_ours(read) == expected(name)
    assert is_ours(read)
    assert read["usage"].items() >= responses.golden_message(name)["usage"].items()
    assert responses.events_of(whole)[-2]["usage"]["cost"] > 0
    for size in (1, 2, 3, 7, 64):
        assert Way().streamed(stream, size) == whole


@pytest.mark.parametrize("name", NAMES)
def test_native_stream_passes_bytes_of_blocks_unchanged(name: str) -> None:
    stream = responses.golden_stream(name)
    sent = Way().streamed(stream)
    blocks = [part for part in stream.split(b"\n\n") if b"event: content_block" in part]
    assert blocks == [part for part in sent.split(b"\n\n") if b"event: content_block" in part]


@pytest.mark.parametrize("name", NAMES)
def test_native_plain_response_keeps_every_value(name: str) -> None:
    message = responses.golden_message(name)
    read = responses.validated(Way().plain(json.dumps(message).encode()))
    assert without_ours(read) == expected(name)
    assert is_ours(read)
    assert read["usage"]["cost"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_stream_through_chat_completions_is_the_same_except_for_the_table(name: str) -> None:
    stream = responses.golden_stream(name)
    whole = responses.double(stream)
    assert without_ours(responses.accumulated(whole)) == through_chat(name)
    for size in (1, 5, 64):
        assert responses.double(stream, size) == whole


@pytest.mark.parametrize("name", NAMES)
def test_plain_response_through_chat_completions_is_the_same(name: str) -> None:
    decoded = Way(client="chat").adapter
    payload = json.dumps(responses.golden_message(name)).encode()
    assert decoded.read_answer(payload) is None
    completion = decoded.answer(Way().settled())
    read = responses.validated(Way(provider="chat").plain(completion))
    assert without_ours(read) == through_chat(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_plain", [True, False])
def test_usage_and_cost_are_equal_on_both_ways(name: str, is_plain: bool) -> None:
    native, translated = Way(), Way(client="chat")
    for way in (native, translated):
        if is_plain:
            way.plain(json.dumps(responses.golden_message(name)).encode())
        else:
            way.streamed(responses.golden_stream(name))
    assert native.adapter.meter.reading() == translated.adapter.meter.reading()
    assert native.settled().cost_pico == translated.settled().cost_pico
