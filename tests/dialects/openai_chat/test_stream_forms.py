"""A response in the other form is converted: its text, usage and cost are the same."""

import json
import time
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgates_server.core.errors import ProviderRateLimited, ProviderUnavailable
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.metering.settlement import settle
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.usage import estimate_usage
from modelgates_server.dialects.openai_chat.stream import OpenAiChatResponse
from tests.core.calls import flat, held, model, priced
from tests.dialects.openai_chat.chat import request
from tests.upstream import DONE, answer, chunk, event, usage, used

AMPLE = 10_000
PRICE = flat(input="0.001", output="0.002")
CALL = {"id": "call-1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}


def adapter(api: Api = Api.CHAT, choices: int = 1) -> OpenAiChatResponse:
    return OpenAiChatResponse(
        held(priced(PRICE, request(api))),
        api,
        model(),
        text_max_bytes=AMPLE,
        media_max_bytes=AMPLE,
        choices=choices,
    )


def settled(response: OpenAiChatResponse, api: Api = Api.CHAT) -> Generation:
    generation = held(priced(PRICE, request(api)))
    return settle(generation, PRICE, request(api), response.meter, failure=None, at_ms=2)


def streamed(*pieces: bytes, api: Api = Api.CHAT) -> tuple[list[Any], Generation]:
    """The client's chunks for a stream, and the settled generation."""
    response = adapter(api)
    data = b"".join(b"".join(response.feed(piece)) for piece in pieces)
    if not response.is_over:
        data += b"".join(response.finish())
    response.check_end()
    return [json.loads(each[6:]) for each in data.split(b"\n\n") if each], settled(response, api)


def plain(payload: bytes, api: Api = Api.CHAT) -> tuple[Any, Generation]:
    """The client's plain response, and the settled generation."""
    response = adapter(api)
    assert response.read_answer(payload) is None
    generation = settled(response, api)
    return json.loads(response.answer(generation), parse_float=Decimal), generation


def rich() -> dict[str, Any]:
    """A plain response with two choices that have about everything."""
    body = answer("hello there", usage(3, 5))
    body["choices"][0]["message"] |= {
        "reasoning": "let me see",
        "reasoning_details": [{"type": "reasoning.text", "text": "let me see", "index": 0}],
        "refusal": None,
        "annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.example"}}],
        "images": [{"type": "image_url", "index": 0, "image_url": {"url": "https://b.example"}}],
        "audio": {"id": "audio-1", "data": "AAAA", "transcript": "hello"},
    }
    body["choices"][0]["logprobs"] = {"content": [{"token": "hello", "logprob": -0.5}]}
    second = {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "call-2"}]}
    body["choices"].append({"index": 1, "message": second, "finish_reason": "tool_calls"})
    return body


def test_plain_response_and_the_stream_made_of_it_say_the_same() -> None:
    payload = json.dumps(rich()).encode()
    expected, charged = plain(payload)
    chunks, generation = streamed(payload)
    assert (generation.cost_pico, generation.usage) == (charged.cost_pico, charged.usage)
    again, accumulated = plain(
        b"".join(map(event, [*chunks, {"choices": [], "usage": usage(3, 5)}])) + DONE
    )
    assert accumulated.cost_pico == charged.cost_pico
    assert again["choices"] == expected["choices"]


def test_stream_made_of_a_plain_response_has_the_form_of_a_stream() -> None:
    chunks, _ = streamed(json.dumps(rich()).encode())
    assert {each["object"] for each in chunks} == {"chat.completion.chunk"}
    assert all(len(each["choices"]) == 1 and "usage" not in each for each in chunks)
    first, end, second, last = (each["choices"][0] for each in chunks)
    assert (first["index"], first["delta"]["role"], first["finish_reason"]) == (
        0,
        "assistant",
        None,
    )
    assert (end["index"], end["delta"], end["finish_reason"]) == (0, {}, "stop")
    assert [call["index"] for call in second["delta"]["tool_calls"]] == [0, 1]
    assert (last["index"], last["finish_reason"]) == (1, "tool_calls")


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.text(max_size=5)), max_size=12),
    st.lists(st.integers(0, 3000), max_size=8),
)
def test_stream_for_a_plain_call_keeps_the_text_of_each_choice(
    parts: list[tuple[int, str]], cuts: list[int]
) -> None:
    texts = ["", "", ""]
    events = [
        event({"choices": [{"index": index, "delta": {"role": "assistant"}}]}) for index in range(3)
    ]
    for index, text in parts:
        texts[index] += text
        events.append(event({"choices": [{"index": index, "delta": {"content": text}}]}))
    end = {"delta": {}, "finish_reason": "stop"}
    events += [event({"choices": [{"index": index, **end}]}) for index in range(3)]
    data = b"".join(events) + used(usage(3, 5)) + DONE
    shown, generation = plain(data)
    assert [each["message"]["content"] or "" for each in shown["choices"]] == texts
    assert shown["object"] == "chat.completion"
    assert shown["usage"]["prompt_tokens"] == 3
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    _, other = streamed(*(data[start:end] for start, end in pairwise(places)))
    assert other.cost_pico == generation.cost_pico == 13 * 10**9


def test_tool_calls_and_reasoning_of_a_stream_are_put_together() -> None:
    def delta(**fields: Any) -> bytes:
        return event({"choices": [{"index": 0, "delta": fields}]})

    def detail(text: str) -> dict[str, Any]:
        return {"type": "reasoning.text", "text": text, "index": 0}

    def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        name = {"name": "f"} if more else {}
        return {"index": index, **more, "function": {"arguments": arguments, **name}}

    new = {"type": "function"}
    shown, _ = plain(
        delta(role="assistant", reasoning_details=[detail("let ")], reasoning="let ")
        + delta(reasoning_details=[detail("me see")], reasoning="me see")
        + delta(tool_calls=[call(0, '{"x"', id="a", **new), call(1, "{", id="b", **new)])
        + delta(tool_calls=[call(1, "}")])
        + delta(tool_calls=[call(0, ":1}")])
        + chunk(finish="tool_calls")
        + DONE
    )
    message = shown["choices"][0]["message"]
    assert message["reasoning"] == message["reasoning_details"][0]["text"] == "let me see"
    assert len(message["reasoning_details"]) == 1
    assert [(each["id"], each["function"]) for each in message["tool_calls"]] == [
        ("a", {"name": "f", "arguments": '{"x":1}'}),
        ("b", {"name": "f", "arguments": "{}"}),
    ]


def test_tool_calls_that_share_an_index_stay_apart() -> None:
    calls = [{"index": 0, **CALL}, {"index": 0, **CALL, "id": "call-2"}]
    parts = [event({"choices": [{"delta": {"tool_calls": [call]}}]}) for call in calls]
    shown, _ = plain(b"".join(parts) + chunk(finish="tool_calls") + DONE)
    assert [each["id"] for each in shown["choices"][0]["message"]["tool_calls"]] == [
        "call-1",
        "call-2",
    ]


@pytest.mark.parametrize("identity", [{}, {"id": ""}, {"id": None}])
@pytest.mark.parametrize("second", ["f", "g"])
def test_tool_calls_stay_apart_when_they_share_an_index_and_have_no_id(
    identity: dict[str, Any], second: str
) -> None:
    calls = [("f", '{"x":1}'), (second, '{"x":2}')]
    body = b"".join(
        event({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
        for call in (
            {**identity, "index": 0, "function": {"name": name, "arguments": arguments}}
            for name, arguments in calls
        )
    )
    expected, _ = plain(body + chunk(finish="stop") + DONE)
    got = expected["choices"][0]["message"]["tool_calls"]
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in got] == calls
    assert len({call["id"] for call in got}) == len(calls)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("extra", [{"role": "assistant"}, {"role": "assistant", "content": "x"}])
def test_message_of_a_plain_response_is_measured_when_a_delta_is_next_to_it(
    extra: dict[str, Any], is_stream: bool
) -> None:
    body = answer("a text of 21 bytes ok", None)
    body["choices"][0]["delta"] = extra
    _, charged = (streamed if is_stream else plain)(json.dumps(body).encode())
    assert charged.usage is not None
    assert charged.usage.output == estimate_usage(text_bytes=0, messages=0, output_bytes=21).output


@pytest.mark.parametrize("message", [{}, None, []])
def test_delta_in_a_plain_response_for_a_stream_is_relayed_when_the_message_is_empty(
    message: Any,
) -> None:
    body = answer("", usage(3, 5))
    body["choices"][0] |= {"message": message, "delta": {"content": "hello"}}
    shown, _ = streamed(json.dumps(body).encode())
    assert shown[0]["choices"][0]["delta"]["content"] == "hello"


def test_message_after_deltas_is_neither_measured_nor_relayed() -> None:
    late = {"choices": [{"index": 0, "message": {"content": "a longer text"}}]}
    body = chunk("hi") + event(late) + chunk(finish="stop") + DONE
    shown, charged = plain(body)
    assert shown["choices"][0]["message"]["content"] == "hi"
    assert charged.usage is not None
    assert charged.usage.output == estimate_usage(text_bytes=0, messages=0, output_bytes=2).output


def test_deltas_after_a_message_add_to_it() -> None:
    message = {"content": "a", "annotations": [1], "tool_calls": [CALL]}
    delta = {"content": "b", "annotations": [2], "tool_calls": [{**CALL, "id": "call-2"}]}
    parts = [{"index": 0, "message": message}, {"index": 0, "delta": delta}]
    body = b"".join(event({"choices": [part]}) for part in parts)
    shown, _ = plain(body + chunk(finish="stop") + DONE)
    written = shown["choices"][0]["message"]
    assert (written["content"], written["annotations"]) == ("ab", [1, 2])
    assert [call["id"] for call in written["tool_calls"]] == ["call-1", "call-2"]


def test_time_is_in_proportion_to_the_parts_when_a_stream_is_put_together() -> None:
    details = [{"index": index, "text": "a"} for index in range(20_000)]
    body = event({"choices": [{"index": 0, "delta": {"reasoning_details": details}}]})
    before = time.process_time()
    plain(body + chunk(finish="stop", usage=usage(3, 5)) + DONE)
    assert time.process_time() - before < 5  # it takes about 100 ms


def test_completion_is_converted_both_ways() -> None:
    parts = [{"choices": [{"index": 0, "text": text}]} for text in ("hel", "lo")]
    end = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}], "usage": usage(3, 5)}
    shown, generation = plain(b"".join(map(event, [*parts, end])) + DONE, Api.COMPLETIONS)
    assert (shown["object"], shown["choices"][0]["text"]) == ("text_completion", "hello")
    body = {"object": "text_completion", "usage": usage(3, 5), "choices": shown["choices"]}
    chunks, other = streamed(json.dumps(body, default=str).encode(), api=Api.COMPLETIONS)
    assert [each["choices"][0]["text"] for each in chunks] == ["hello", ""]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert other.cost_pico == generation.cost_pico


def test_embeddings_in_events_are_read() -> None:
    items = [{"object": "embedding", "index": index, "embedding": [0.5]} for index in range(2)]
    body = {"object": "list", "data": items, "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    response = adapter(Api.EMBEDDINGS)
    assert response.read_answer(event(body) + DONE) is None
    shown = json.loads(response.answer(held(priced(PRICE, request(Api.EMBEDDINGS)))))
    assert (shown["object"], shown["data"]) == ("list", items)


def test_chunks_without_data_fields_are_a_stream() -> None:
    story = (chunk("hel"), chunk("lo"), chunk(finish="stop"), used(usage(3, 5)))
    lines = b"".join(each[6:-1] for each in story)
    chunks, generation = streamed(lines)
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in chunks) == "hello"
    assert generation.cost_pico == 13 * 10**9


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\n\n", b" "])
def test_start_of_a_body_does_not_hide_its_form(start: bytes) -> None:
    payload = start + json.dumps(answer("hello", usage(3, 5))).encode()
    assert len(streamed(payload)[0]) == 2
    assert plain(payload)[0]["choices"][0]["message"]["content"] == "hello"
    events = start + chunk("hello") + chunk(finish="stop") + used(usage(3, 5)) + DONE
    assert plain(events)[0]["choices"][0]["message"]["content"] == "hello"
    assert len(streamed(events)[0]) == 2


def test_error_in_the_other_form_is_an_error() -> None:
    limited = {"error": {"code": 429, "message": "slow"}}
    with pytest.raises(ProviderRateLimited):
        streamed(json.dumps(limited).encode())
    with pytest.raises(ProviderRateLimited):
        plain(event(limited))
    with pytest.raises(ProviderRateLimited):
        plain(chunk("hel") + event(limited))


@pytest.mark.parametrize(
    ("payload", "problem"),
    [(b"", "empty"), (b" \n", "empty"), (b"<html>", "invalid"), (b"data: {}\n\n", "invalid")],
)
def test_body_without_a_response_is_named(payload: bytes, problem: str) -> None:
    with pytest.raises(ProviderUnavailable, match=f"sent an {problem} response"):
        adapter().read_answer(payload)


def test_incomplete_stream_for_a_plain_call_is_an_error() -> None:
    with pytest.raises(ProviderUnavailable, match="before it was complete"):
        adapter().read_answer(chunk("hello"))
    whole = chunk("hello") + chunk(finish="stop") + used(usage(3, 5))
    assert adapter().read_answer(whole, is_cut=True) is None
    with pytest.raises(ProviderUnavailable, match="before it was complete"):
        adapter().read_answer(chunk("hello") + chunk(finish="stop"), is_cut=True)


def test_deep_value_that_is_read_does_not_lose_the_text() -> None:
    deep: Any = "x"
    for _ in range(600):
        deep = [deep]
    body = answer("hello", usage(3, 5))
    body["choices"][0]["message"]["extra"] = deep
    shown, generation = plain(json.dumps(body).encode())
    assert shown["choices"][0]["message"]["content"] == "hello"
    assert generation.cost_pico == 13 * 10**9


@pytest.mark.parametrize("value", [b"NaN", b"-Infinity", b"[" * 5000 + b"]" * 5000, b"1e999"])
def test_value_that_is_not_json_or_too_deep_does_not_lose_the_response(value: bytes) -> None:
    body = json.dumps(answer("hello", usage(3, 5))).encode()
    for name in (b'"id"', b'"index"', b'"role"'):
        odd = body.replace(name, b'"score":%b,%b' % (value, name))
        shown, generation = plain(odd)
        assert shown["choices"][0]["message"]["content"] == "hello"
        assert generation.cost_pico == 13 * 10**9


def test_conversions_are_counted() -> None:
    response = adapter()
    assert list(response.feed(json.dumps(answer("hello", usage(3, 5))).encode())) == []
    assert len(list(response.finish())) == 2
    assert response.meter.repairs[Repair.FORM_CHANGED] == 1
    other = adapter()
    other.read_answer(chunk("hello") + b"data: null\n\n" + chunk(finish="stop") + DONE)
    assert other.meter.repairs == {Repair.FORM_CHANGED: 1, Repair.DATA_SKIPPED: 1}
