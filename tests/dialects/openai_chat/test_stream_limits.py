"""Responses beyond the limits, and values in them that nobody can read."""

import json
from typing import Any

import pytest

from modelgates_server.core.errors import ProviderUnavailable
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat import stream, tool_calls
from modelgates_server.dialects.openai_chat.stream import OpenAiChatResponse
from modelgates_server.dialects.sse import SseReader
from tests.core.calls import flat, held, model, priced
from tests.dialects.openai_chat.chat import request
from tests.upstream import DONE, answer, chunk, event, usage, used

AMPLE = 10_000
LIMIT_BYTES = 1000


@pytest.fixture
def response(monkeypatch: pytest.MonkeyPatch) -> OpenAiChatResponse:
    """A response of at most `LIMIT_BYTES` in one piece."""
    monkeypatch.setattr(stream, "EVENT_MAX_BYTES", LIMIT_BYTES)
    monkeypatch.setattr(stream, "SseReader", lambda: SseReader(event_max_bytes=LIMIT_BYTES))
    generation = held(priced(flat(input="0.001", output="0.001"), request(Api.CHAT)))
    return OpenAiChatResponse(
        generation, Api.CHAT, model(), text_max_bytes=AMPLE, media_max_bytes=AMPLE
    )


def deltas(response: OpenAiChatResponse, *pieces: bytes) -> list[Any]:
    """The client's deltas."""
    data = b"".join(b"".join(response.feed(piece)) for piece in pieces)
    if not response.is_over:
        data += b"".join(response.finish())
    chunks = [json.loads(each[6:]) for each in data.split(b"\n\n") if each]
    return [choice["delta"] for each in chunks for choice in each["choices"]]


def test_json_instead_of_a_stream_is_cut_at_the_limit(response: OpenAiChatResponse) -> None:
    assert deltas(response, b'{"choices": [', b" " * LIMIT_BYTES) == []
    assert response.is_over
    with pytest.raises(ProviderUnavailable, match=f"more than {LIMIT_BYTES} bytes"):
        response.check_end()


def test_stream_of_data_that_is_not_json_is_cut_at_the_limit(response: OpenAiChatResponse) -> None:
    junk = [b"data: keep-alive\n\n"] * LIMIT_BYTES
    assert [each["content"] for each in deltas(response, chunk("a"), *junk)] == ["a"]
    assert response.is_over
    with pytest.raises(ProviderUnavailable, match=f"more than {LIMIT_BYTES} bytes"):
        response.check_end()


def test_usage_after_an_event_that_is_too_long_is_read_up_to_the_limit(
    response: OpenAiChatResponse,
) -> None:
    too_long = event({"choices": [], "x": "x" * LIMIT_BYTES})
    first = deltas(response, chunk("a"), too_long[:900], too_long[900:], used(usage(3, 5)))
    assert [each["content"] for each in first] == ["a"]
    assert response.meter.report == usage(3, 5)
    assert not response.is_over
    assert deltas(response, *[chunk("b")] * 20) == []
    assert response.is_over


def test_call_that_is_not_an_object_is_left_out_of_a_converted_response(
    response: OpenAiChatResponse,
) -> None:
    body = answer("", usage(3, 5))
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body["choices"][0]["message"] = {"tool_calls": [5, call], "refusal": 7}
    calls = [each.get("tool_calls", []) for each in deltas(response, json.dumps(body).encode())]
    assert [each["id"] for part in calls for each in part] == ["a"]


def test_chunk_without_choices_does_not_disturb_a_character_in_two_halves(
    response: OpenAiChatResponse,
) -> None:
    half, other = b'"content":"\\ud83d"', b'"content":"\\ude00"'
    around = b'data: {"choices":[{"index":0,"delta":{%b}}]}\n\n'
    shown = deltas(response, around % half, event({"service_tier": "x"}), around % other, DONE)
    assert "".join(each["content"] for each in shown) == "😀"


def test_deeply_nested_value_is_not_searched_for_halves(response: OpenAiChatResponse) -> None:
    nested = b"[" * 20 + b'"a"' + b"]" * 20
    around = b'data: {"choices":[{"index":0,"delta":{"content":"%b","x":%b}}]}\n\n'
    shown = deltas(response, around % (b"\\ud83d", b"1"), around % (b"\\ude00", nested), DONE)
    assert "".join(each["content"] for each in shown) == "😀"


def test_delta_that_cannot_be_decoded_counts_with_its_bytes(response: OpenAiChatResponse) -> None:
    delta = b'{"content":"ab","x":[1e999]}'
    deltas(response, b'data: {"choices":[{"index":0,"delta":%b}]}\n\n' % delta, DONE)
    assert response.meter.output.text_bytes == len(delta)


def test_calls_beyond_the_limit_continue_the_last_one(
    response: OpenAiChatResponse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_calls, "_CALLS_MAX", 2)
    calls = [{"index": i, "id": f"f{i}", "function": {"name": "f"}} for i in range(4)]
    parts = [event({"choices": [{"index": 0, "delta": {"tool_calls": [each]}}]}) for each in calls]
    shown = [each["tool_calls"][0]["index"] for each in deltas(response, *parts, DONE)]
    assert shown == [0, 1, 1, 1]
