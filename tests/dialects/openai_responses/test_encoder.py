"""A client of the Responses API, a provider of chat completions."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dialects.openai_responses.official import accumulated, check_events, check_response
from tests.dialects.openai_responses.provider import (
    ERROR,
    Event,
    encoded,
    of_chat,
    open_call,
    read,
    relayed,
    settled,
)
from tests.dialects.openai_responses.reasoning import unpacked
from tests.dialects.openai_responses.responses import request
from tests.upstream import DONE, event

USAGE = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}


def call(name: str, arguments: str = "{}", number: int = 0) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": number, "id": f"call_{number}", "type": "function", "function": function}


def stream_of(*deltas: dict[str, Any], finish: str | None = "stop") -> bytes:
    """A provider's chat completion in chunks; without a reason of the end, it is cut off."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks: list[Event] = [{"id": "c1", "model": "m", "choices": [each]} for each in choices]
    if finish is not None:
        last = {"index": 0, "delta": {}, "finish_reason": finish}
        chunks.append({"id": "c1", "model": "m", "choices": [last], "usage": USAGE})
    return b"".join(map(event, chunks)) + (DONE if finish else b"")


def streamed(*deltas: dict[str, Any], finish: str = "stop", size: int | None = None) -> list[Event]:
    events = read(relayed(of_chat(), stream_of(*deltas, finish=finish), size))
    check_events(events)
    return events


def plain(message: dict[str, Any], finish: str = "stop", **members: Any) -> Event:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    adapter = of_chat()
    body = {"id": "c1", "model": "m", "choices": [{**choice, **members}], "usage": USAGE}
    adapter.read_answer(encoded(body))
    response: Event = json.loads(adapter.answer(settled(adapter.meter.reading().usage)))
    check_response(response)
    return response


def both(message: dict[str, Any], finish: str = "stop") -> Iterator[Event]:
    """The response of a plain call, and of a stream."""
    yield plain(message, finish)
    yield streamed(message, finish=finish)[-1]["response"]


def names(events: list[Event]) -> list[str]:
    return [each["type"].removeprefix("response.") for each in events]


def test_text_has_the_events_of_the_official_order() -> None:
    assert names(streamed({"content": "a"}, {"content": "b"})) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * 2,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_reasoning_has_the_events_of_the_official_order() -> None:
    events = streamed({"reasoning": "a"}, {"reasoning": "b"}, {"content": "c"})
    summary = "reasoning_summary_"
    assert names(events)[2:10] == [
        "output_item.added",
        f"{summary}part.added",
        *[f"{summary}text.delta"] * 2,
        f"{summary}text.done",
        f"{summary}part.done",
        "output_item.done",
        "output_item.added",
    ]


def test_call_has_the_events_of_the_official_order() -> None:
    first, rest = call("weather", '{"a"'), {"index": 0, "function": {"arguments": ":1}"}}
    events = streamed({"tool_calls": [first]}, {"tool_calls": [rest]}, finish="tool_calls")
    assert names(events)[2:-1] == [
        "output_item.added",
        *["function_call_arguments.delta"] * 2,
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert events[-1]["response"]["output"][0]["arguments"] == '{"a":1}'


ITEMS: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"content": "hi"}, "stop"),
    "reasoning": ({"reasoning": "I think.", "content": "hi"}, "stop"),
    "refusal": ({"content": "Well,", "refusal": "no."}, "stop"),
    "calls": ({"content": "I look.", "tool_calls": [call("weather"), call("f", number=1)]}, "x"),
    "custom": ({"tool_calls": [call("apply_patch", '{"input":"*** \\"x\\""}')]}, "tool_calls"),
    "namespace": ({"tool_calls": [call("agents__spawn")]}, "tool_calls"),
    "cut": ({"content": "Once"}, "length"),
    "filtered": ({"content": "Once"}, "content_filter"),
    "empty": ({"content": ""}, "stop"),
    "only reasoning": ({"reasoning": "I think.", "content": ""}, "stop"),
}


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("size", [None, 1, 50])
def test_ids_are_the_same_in_all_events_and_in_the_response(name: str, size: int | None) -> None:
    message, finish = ITEMS[name]
    events = streamed(message, finish=finish, size=size)
    output = events[-1]["response"]["output"]
    assert {each["response"]["id"] for each in events if "response" in each} == {open_call().id}
    for each in events:
        if "output_index" in each:
            item = output[each["output_index"]]
            assert each.get("item_id", item["id"]) == item["id"]
            assert each.get("item", item)["id"] == item["id"]
    done = {e["output_index"]: e["item"] for e in events if e["type"].endswith("item.done")}
    assert [done[index] for index in range(len(output))] == output


@pytest.mark.parametrize("name", ITEMS)
def test_plain_response_equals_that_of_a_stream(name: str) -> None:
    one, other = both(*ITEMS[name])
    assert one == other


@pytest.mark.parametrize("name", [n for n in ITEMS if ITEMS[n][1] in ("stop", "tool_calls", "x")])
def test_official_client_accumulates_the_response(name: str) -> None:
    events = streamed(ITEMS[name][0], finish=ITEMS[name][1])
    whole = accumulated(events)
    output = events[-1]["response"]["output"]
    assert [item.to_dict()["id"] for item in whole.output] == [item["id"] for item in output]
    assert whole.output_text == events[-1]["response"]["output_text"]


def test_tools_come_back_in_the_form_of_the_request() -> None:
    made = [
        call("weather", '{"a":1}'),
        call("apply_patch", '{"input":"*** \\"x\\""}', 1),
        call("agents__spawn", '{"t":2}', 2),
    ]
    for response in both({"content": None, "tool_calls": made}, "tool_calls"):
        function, custom, namespaced = response["output"]
        assert function["id"].startswith("fc_")
        assert (function["name"], function["arguments"]) == ("weather", '{"a":1}')
        assert "namespace" not in function
        assert custom["id"].startswith("ctc_")
        assert (custom["type"], custom["name"]) == ("custom_tool_call", "apply_patch")
        assert custom["input"] == '*** "x"'
        assert (namespaced["namespace"], namespaced["name"]) == ("agents", "spawn")
        assert [each["call_id"] for each in response["output"]] == ["call_0", "call_1", "call_2"]


def test_search_of_tools_comes_back_as_one() -> None:
    tool = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}
    sent = request(tools=[tool], stream=True)
    made = call("tool_search", '{"query":"x"}')
    events = read(relayed(of_chat(sent), stream_of({"tool_calls": [made]}, finish="tool_calls")))
    check_events(events)
    (item,) = events[-1]["response"]["output"]
    assert item["id"].startswith("tsc_")
    assert (item["type"], item["execution"]) == ("tool_search_call", "client")
    assert item["arguments"] == {"query": "x"}


def test_input_of_a_custom_tool_without_an_object_is_kept() -> None:
    (item,) = plain({"tool_calls": [call("apply_patch", "raw text")]}, "tool_calls")["output"]
    assert item["input"] == "raw text"


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_response_that_was_cut_is_incomplete(finish: str, reason: str) -> None:
    for response in both({"content": "Once"}, finish):
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": reason}
        assert response["completed_at"] is None
        assert response["output"][-1]["status"] == "incomplete"


def test_call_that_was_cut_is_incomplete_and_not_completed_with_an_empty_object() -> None:
    made = [call("weather", '{"a":1}'), call("weather", "", 1)]
    for response in both({"content": None, "tool_calls": made}, "length"):
        assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
        assert response["output"][1]["arguments"] == ""


def test_call_without_arguments_has_an_empty_object() -> None:
    for response in both({"content": None, "tool_calls": [call("weather", "")]}, "tool_calls"):
        assert response["output"][0]["arguments"] == "{}"


def test_signed_reasoning_is_packed_unchanged() -> None:
    signed = {"type": "reasoning.text", "text": "I th", "format": "anthropic-claude-v1"}
    details = [
        signed,
        {**signed, "text": "ink.", "signature": "EqQ+/="},
        {"type": "reasoning.encrypted", "data": "abc==", "format": "anthropic-claude-v1"},
    ]
    pieces = [{"reasoning_details": [each]} for each in details]
    for output in (
        streamed(*pieces, {"content": "hi"})[-1]["response"]["output"],
        plain({"content": "hi", "reasoning_details": details})["output"],
    ):
        assert output[0]["summary"] == [{"type": "summary_text", "text": "I think."}]
        assert unpacked(output[0]) == [
            {**signed, "text": "I think.", "signature": "EqQ+/="},
            details[2],
        ]


def test_reasoning_that_nobody_signed_has_nothing_encrypted() -> None:
    for response in both({"reasoning": "I think.", "content": "hi"}):
        assert "encrypted_content" not in response["output"][0]


def test_citation_becomes_an_annotation() -> None:
    inner = {"url": "https://a", "title": "A", "start_index": 0, "end_index": 2}
    given = [{"type": "url_citation", "url_citation": inner}, {"type": "other"}, 5]
    events = streamed({"content": "hi"}, {"content": "", "annotations": given})
    expected = {"type": "url_citation", **inner}
    (added,) = [each for each in events if each["type"].endswith("annotation.added")]
    assert (added["annotation_index"], added["annotation"]) == (0, expected)
    for response in (events[-1]["response"], plain({"content": "hi", "annotations": given})):
        assert response["output"][0]["content"][0]["annotations"] == [expected]


def test_probabilities_are_in_deltas_and_in_the_text() -> None:
    top = {"token": "hi", "logprob": -0.5, "bytes": None}
    logprobs = {"content": [{**top, "top_logprobs": [top]}]}
    choice = {"index": 0, "delta": {"content": "hi"}, "logprobs": logprobs, "finish_reason": None}
    data = event({"id": "c1", "model": "m", "choices": [choice]}) + stream_of()
    events = read(relayed(of_chat(), data))
    check_events(events)
    known = {"token": "hi", "logprob": -0.5, "bytes": []}
    expected = [{**known, "top_logprobs": [known]}]
    by_type = {each["type"].removeprefix("response."): each for each in events}
    assert by_type["content_part.added"]["part"]["logprobs"] == []
    assert by_type["output_text.delta"]["logprobs"] == expected
    assert by_type["output_text.done"]["logprobs"] == expected
    for response in (events[-1]["response"], plain({"content": "hi"}, logprobs=logprobs)):
        assert response["output"][0]["content"][0]["logprobs"] == expected


@pytest.mark.parametrize("name", ITEMS)
def test_failed_stream_shows_no_call_as_done(name: str) -> None:
    adapter = of_chat()
    sent = b"".join(adapter.feed(stream_of(ITEMS[name][0], finish=None)))
    events = read(sent + adapter.error_end(settled(), ERROR))
    check_events(events)
    failed = events[-1]["response"]
    assert (events[-1]["type"], failed["status"]) == ("response.failed", "failed")
    assert failed["usage"]["cost"] > 0
    shown = [each["item"] for each in events if each["type"].endswith("item.done")]
    shown += failed["output"]
    assert not [item for item in shown if item["type"].endswith("_call")]


def test_stream_that_fails_before_its_first_chunk_is_whole() -> None:
    events = read(of_chat().error_end(settled(), ERROR))
    check_events(events)
    assert names(events) == ["created", "in_progress", "failed"]
