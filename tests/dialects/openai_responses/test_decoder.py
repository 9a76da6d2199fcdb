"""A provider of the Responses API for a client of chat completions."""

import json
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from modelgates_server.core.errors import ProviderError, ProviderRateLimited, ProviderUnavailable
from modelgates_server.core.pricing.usage import UsageReading
from modelgates_server.dialects.openai_responses.decoder import ResponsesDecoder
from modelgates_server.dialects.openai_responses.reasoning_items import RESPONSES_FORMAT
from modelgates_server.dialects.sse import EVENT_MAX_BYTES
from tests.dialects.openai_responses.provider import (
    GOOD_LOGS,
    Event,
    encoded,
    for_chat,
    last,
    log,
    native,
    relayed,
    settled,
    wire,
)

CITY = '{"city":"Zürich"}'
SPOKEN: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"content": "Grüezi, world! 👋"}, "stop"),
    "annotated": ({"content": "Hello world"}, "stop"),
    "logprobs": ({"content": "Hello"}, "stop"),
    "function_call": ({"calls": [("call_1", "weather", CITY)]}, "tool_calls"),
    "parallel_calls": (
        {
            "content": "I look.",
            "calls": [("call_1", "weather", CITY), ("call_2", "weather", '{"city":"Bern"}')],
        },
        "tool_calls",
    ),
    "namespaced_call": ({"calls": [("call_1", "spawn", '{"task":"t"}')]}, "tool_calls"),
    "custom_call": (
        {"calls": [("call_1", "apply_patch", '*** Begin Patch\n"x"\n*** End Patch')]},
        "tool_calls",
    ),
    "reasoning": ({"content": "Done.", "reasoning": "The user asks for x."}, "stop"),
    "refusal": ({"refusal": "I cannot help with that."}, "stop"),
    "incomplete_tokens": ({"content": "Once upon a"}, "length"),
    "incomplete_filter": ({"content": "Once"}, "content_filter"),
    "empty": ({}, "stop"),
}


def spoken(message: Event) -> dict[str, Any]:
    """The parts of a message that are not empty."""
    made = [call.get("function") or call["custom"] for call in message.get("tool_calls") or ()]
    texts = [each.get("arguments", each.get("input")) for each in made]
    ids = [call["id"] for call in message.get("tool_calls") or ()]
    said = {name: message.get(name) for name in ("content", "refusal", "reasoning")}
    said["calls"] = [(i, m["name"], t) for i, m, t in zip(ids, made, texts, strict=True)]
    return {name: value for name, value in said.items() if value}


def chunks_of(data: bytes, size: int | None = None) -> list[Event]:
    blocks = relayed(for_chat(), data, size).decode().split("\n\n")[:-1]
    assert blocks[-1] == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]


def joined(chunks: list[Event]) -> tuple[Event, str | None]:
    """The message of a stream, and why it ended."""
    message: Event = {}
    calls: dict[int, Event] = {}
    reason = None
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        reason = choice["finish_reason"] or reason
        for name in ("content", "refusal", "reasoning"):
            if text := choice["delta"].get(name):
                message[name] = message.get(name, "") + text
        for part in choice["delta"].get("tool_calls") or ():
            known = calls.setdefault(part["index"], {"id": part.get("id")})
            for kind in ("function", "custom"):
                for name, text in (part.get(kind) or {}).items():
                    made = known.setdefault(kind, {})
                    made[name] = made.get(name, "") + text
    return {**message, "tool_calls": list(calls.values())}, reason


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_stream_says_what_the_provider_said(name: str) -> None:
    chunks = chunks_of(wire(log(name)))
    for chunk in chunks:
        if "custom" not in name:  # OpenAI's types of chunks know no custom tools
            ChatCompletionChunk.model_validate(chunk)
    message, reason = joined(chunks)
    assert (spoken(message), reason) == SPOKEN[name]


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_plain_response_says_what_the_provider_said(name: str) -> None:
    adapter = for_chat()
    assert adapter.read_answer(encoded(last(name))) is None
    answer = json.loads(adapter.answer(settled()))
    ChatCompletion.model_validate(answer)
    choice = answer["choices"][0]
    assert (spoken(choice["message"]), choice["finish_reason"]) == SPOKEN[name]


@pytest.mark.parametrize("name", ["text", "parallel_calls", "reasoning"])
@pytest.mark.parametrize("size", [1, 3, 64])
def test_stream_is_the_same_however_it_is_cut(name: str, size: int) -> None:
    data = wire(log(name))
    assert chunks_of(data, size) == chunks_of(data)


def test_official_client_accumulates_the_calls() -> None:
    state: Any = ChatCompletionStreamState()
    for chunk in chunks_of(wire(log("parallel_calls"))):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    made = state.get_final_completion().choices[0].message.tool_calls
    assert [call.function.arguments for call in made] == [CITY, '{"city":"Bern"}']


@pytest.mark.parametrize("form", ["plain", "stream"])
def test_citations_and_probabilities_are_translated(form: str) -> None:
    def choices(name: str) -> list[Event]:
        if form == "stream":
            return [choice for chunk in chunks_of(wire(log(name))) for choice in chunk["choices"]]
        adapter = for_chat()
        adapter.read_answer(encoded(last(name)))
        return list(json.loads(adapter.answer(settled()))["choices"])

    said = [choice.get("message") or choice["delta"] for choice in choices("annotated")]
    found = [each for message in said for each in message.get("annotations") or ()]
    inner = {"url": "https://example.com/a", "title": "A", "start_index": 0, "end_index": 5}
    assert found == [{"type": "url_citation", "url_citation": inner}]
    tokens = [
        each["token"]
        for choice in choices("logprobs")
        for each in (choice.get("logprobs") or {}).get("content") or ()
    ]
    assert tokens == ["Hel", "lo"]


@pytest.mark.parametrize("form", ["plain", "stream"])
def test_encrypted_reasoning_is_kept_with_its_id(form: str) -> None:
    adapter = for_chat()
    if form == "stream":
        chunks = chunks_of(wire(log("reasoning")))
        said = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    else:
        adapter.read_answer(encoded(last("reasoning")))
        said = [json.loads(adapter.answer(settled()))["choices"][0]["message"]]
    details = [each for message in said for each in message.get("reasoning_details") or ()]
    (kept,) = [each for each in details if each["type"] == "reasoning.encrypted"]
    assert (kept["data"], kept["id"], kept["format"]) == ("gAAAAAenc==", "rs_1", RESPONSES_FORMAT)


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_usage_is_the_same_as_without_translation(name: str) -> None:
    readings: list[UsageReading] = []
    for adapter in (native(), for_chat()):
        relayed(adapter, wire(log(name)))
        readings.append(adapter.meter.reading())
    for adapter in (native(), for_chat()):
        adapter.read_answer(encoded(last(name)))
        readings.append(adapter.meter.reading())
    assert readings[0].usage is not None
    assert all(each == readings[0] for each in readings)


@pytest.mark.parametrize("form", ["plain", "stream"])
def test_usage_of_a_failed_response_is_read(form: str) -> None:
    adapter = for_chat()
    name = "failed_server_error"
    if form == "stream":
        list(adapter.feed(wire(log(name))))
        with pytest.raises(ProviderUnavailable):
            adapter.check_end()
    else:
        with pytest.raises(ProviderUnavailable):
            adapter.read_answer(encoded(last(name)))
    usage = adapter.meter.reading().usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (30, 5)


def test_rate_limit_within_a_stream_is_one_for_the_client() -> None:
    adapter = for_chat()
    list(adapter.feed(wire(log("failed_rate_limit"))))
    with pytest.raises(ProviderRateLimited):
        adapter.check_end()


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_stream_that_is_cut_before_its_last_event_is_an_error(name: str) -> None:
    adapter = for_chat()
    list(adapter.feed(wire(log(name)[:-1])))
    list(adapter.finish())
    assert not adapter.is_done
    with pytest.raises(ProviderError):
        adapter.check_end()


@pytest.mark.parametrize("name", GOOD_LOGS)
@pytest.mark.parametrize("lost", ["ids", "deltas", "items"])
def test_stream_with_missing_parts_says_the_same(name: str, lost: str) -> None:
    events = log(name)
    if lost == "ids":  # GitHub Copilot sends another id for the same item in every event
        for number, each in enumerate(events):
            for holder in (each, each.get("item", {})):
                for field in ("item_id", "id"):
                    if field in holder:
                        holder[field] = f"other_{number}"
    elif lost == "deltas":
        events = [e for e in events if not e["type"].endswith((".delta", "annotation.added"))]
    else:
        events = [events[0], events[-1]]
    message, reason = joined(chunks_of(wire(events)))
    assert (spoken(message), reason) == SPOKEN[name]


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_plain_response_to_a_stream_says_the_same(name: str) -> None:
    message, reason = joined(chunks_of(encoded(last(name))))
    assert (spoken(message), reason) == SPOKEN[name]


@pytest.mark.parametrize("output", [[], None])
def test_calls_end_the_turn_when_the_last_event_has_no_output(output: Any) -> None:
    events = log("function_call")
    events[-1]["response"]["output"] = output
    assert joined(chunks_of(wire(events)))[1] == "tool_calls"


@pytest.mark.parametrize("start", [b"{", b"data: "])
def test_response_that_is_too_long_to_translate_is_passed_on(start: bytes) -> None:
    decoder, piece = ResponsesDecoder(), b"x" * 2**22
    passed = decoder.feed(start)
    for _ in range(EVENT_MAX_BYTES // len(piece) + 2):
        passed = decoder.feed(piece)
    assert passed == piece
    assert decoder.close() == b""
