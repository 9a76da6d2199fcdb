"""Tool calls as providers send them, and as OpenAI's client puts them together."""

import json
from typing import Any

import pytest

from modelgates_server.core.metering.meter import FinishReason
from modelgates_server.core.metering.repairs import Repair
from tests.dialects.openai_chat.accumulated import accumulated, answered, response, sent
from tests.dialects.openai_chat.test_stream import relayed
from tests.upstream import event


def delta(*calls: Any, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"tool_calls": list(calls)}}]}


def call(arguments: Any = "", name: Any = None, **members: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"function": {key: value for key, value in function.items() if value is not None}} | (
        members
    )


END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
A, B = '{"l":"S"}', '{"l":"T"}'

ONE_CALL: dict[str, list[Any]] = {
    "OpenAI": [
        delta(call("", "w", index=0, id="f1", type="function")),
        delta(call('{"l":', index=0)),
        delta(call('"S"}', index=0)),
    ],
    # https://github.com/open-webui/computer/issues/224
    "no index": [delta(call(A, "w", id="f1", type="function"))],
    "index as a text": [
        delta(call('{"l":', "w", index="0", id="f1")),
        delta(call('"S"}', index="0")),
    ],
    "index from 1": [delta(call('{"l":', "w", index=1, id="f1")), delta(call('"S"}', index=1))],
    "null index": [delta(call('{"l":', "w", index=None, id="f1")), delta(call('"S"}'))],
    "id and name repeated": [
        delta(call('{"l":', "w", index=0, id="f1", type="function")),
        delta(call('"S"}', "w", index=0, id="f1", type="function")),
    ],
    "id repeated, no index": [delta(call('{"l":', "w", id="f1")), delta(call('"S"}', "", id="f1"))],
    "empty id": [
        delta(call('{"l":', "w", index=0, id="", type="")),
        delta(call('"S"}', index=0, id="", type=None)),
    ],
    "null id, name repeated": [
        delta(call('{"l":', "w", index=0, id=None)),
        delta(call('"S"}', "w", index=0, id=None)),
    ],
    "id after the name": [
        delta(call('{"l":', "w", index=0)),
        delta(call('"S"}', index=0, id="f1")),
    ],
    "arguments as an object": [delta(call({"l": "S"}, "w", index=0, id="f1"))],
    "null arguments first": [
        delta({"index": 0, "id": "f1", "function": {"name": "w", "arguments": None}}),
        delta(call(A, index=0)),
    ],
    "no list": [{"choices": [{"delta": {"tool_calls": call(A, "w", id="f1")}}]}],
    "flat": [delta({"id": "f1", "name": "w", "arguments": A})],
}

TWO_CALLS: dict[str, list[Any]] = {
    "OpenAI": [
        delta(call("", "w", index=0, id="f1", type="function")),
        delta(call(A, index=0)),
        delta(call("", "w", index=1, id="f2", type="function")),
        delta(call(B, index=1)),
    ],
    # https://github.com/ai-dynamo/dynamo/issues/4723
    "all index 0": [delta(call(A, "w", index=0, id="f1")), delta(call(B, "w", index=0, id="f2"))],
    "all index 0, in pieces": [
        delta(call("", "w", index=0, id="f1")),
        delta(call(A, index=0)),
        delta(call("", "w", index=0, id="f2")),
        delta(call(B, index=0)),
    ],
    "one delta": [delta(call(A, "w", id="f1"), call(B, "w", id="f2"))],
    "one delta, no ids": [delta(call(A, "w"), call(B, "w"))],
    "no ids, all index 0": [delta(call(A, "w", index=0)), delta(call(B, "w", index=0))],
    "no ids, two names": [delta(call(A, "w")), delta(call(B, "v"))],
    "one id, two indexes": [
        delta(call(A, "w", index=0, id="call")),
        delta(call(B, "w", index=1, id="call")),
    ],
    "interleaved": [
        delta(call('{"l":', "w", index=0, id="f1"), call('{"l":', "w", index=1, id="f2")),
        delta(call('"T"}', index=1)),
        delta(call('"S"}', index=0)),
    ],
    "interleaved by id": [
        delta(call('{"l":', "w", id="f1"), call('{"l":', "w", id="f2")),
        delta(call('"T"}', id="f2"), call('"S"}', id="f1")),
    ],
}


def calls_of(chunks: list[Any]) -> list[Any]:
    message = accumulated(sent([*chunks, END])).choices[0].message
    return [each.model_dump() for each in message.tool_calls or ()]


@pytest.mark.parametrize("case", ONE_CALL)
def test_streamed_call_is_put_together_by_openai_s_client(case: str) -> None:
    (made,) = calls_of(ONE_CALL[case])
    assert made["function"]["name"] == "w"
    assert json.loads(made["function"]["arguments"]) == {"l": "S"}
    assert made["type"] == "function"
    assert made["id"] == "f1" or made["id"].startswith("call_")


@pytest.mark.parametrize("case", TWO_CALLS)
def test_parallel_calls_are_kept_apart(case: str) -> None:
    first, second = calls_of(TWO_CALLS[case])
    assert (first["function"]["arguments"], second["function"]["arguments"]) == (A, B)
    assert first["index"] == 0
    assert second["index"] == 1
    assert first["id"] != second["id"] or case == "one id, two indexes"


def test_choices_number_their_calls_separately() -> None:
    chunks = sent([delta(call(A, "w", id="f1")), delta(call(B, "w", id="f2"), index=1)])
    numbers = [chunk["choices"][0]["delta"]["tool_calls"][0]["index"] for chunk in chunks[:2]]
    assert numbers == [0, 0]


def test_generated_id_is_the_same_in_every_process_and_another_for_each_call() -> None:
    chunks = [delta(call(A, "w")), delta(call(B, "v"))]
    once, again = calls_of(chunks), calls_of(chunks)
    assert [each["id"] for each in once] == [each["id"] for each in again]
    assert once[0]["id"] != once[1]["id"]
    assert all(len(each["id"]) <= 40 for each in once)  # OpenAI accepts no longer ones


def test_unknown_fields_of_a_call_survive() -> None:
    extra = {"google": {"thought_signature": "abc"}}
    chunk = sent([delta(call(A, "w", id="f1", extra_content=extra, x=1.5))])[0]
    shown = chunk["choices"][0]["delta"]["tool_calls"][0]
    assert (shown["extra_content"], shown["x"]) == (extra, 1.5)


def test_call_that_needs_no_repair_is_forwarded_byte_for_byte() -> None:
    adapter = response()
    first = (
        '[{"index":0,"delta":{"role":"assistant","tool_calls": [{"index": 0,"id":"f1",'
        '"type":"function","function":{"name":"w","arguments":""}}]},"finish_reason":null}]'
    )
    second = (
        '[{"index":0,"delta":{"tool_calls":[{"index":0, "function":{"arguments":"\\u00e9"}}]},'
        '"finish_reason":null}]'
    )
    for raw in (first, second):
        head = '{"object":"chat.completion.chunk","created":1,"choices":'
        shown = b"".join(adapter.feed(f"data: {head}{raw}}}\n\n".encode()))
        assert raw.encode() in shown
    assert not adapter.meter.repairs


def test_repaired_calls_are_counted() -> None:
    adapter = response()
    relayed(adapter, *map(event, (*TWO_CALLS["all index 0"], END)))
    assert adapter.meter.repairs[Repair.TOOL_CALL_INDEXED] == 1
    assert adapter.meter.repairs[Repair.FINISH_REASON_CORRECTED] == 1


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("stop", "tool_calls"),
        ("STOP", "tool_calls"),
        ("done_by_magic", "tool_calls"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("network_error", "error"),
    ],
)
@pytest.mark.parametrize(
    "members",
    [
        {"tool_calls": [call(A, "w", id="f1")]},
        {"function_call": {"name": "w", "arguments": A}},
    ],
)
def test_finish_reason_says_that_tools_were_called(
    members: dict[str, Any], native: str, reason: str
) -> None:
    adapter = response()
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": native}]}
    chunks = relayed(adapter, event({"choices": [{"delta": members}]}), event(end))
    choice = chunks[-1]["choices"][0]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (reason, native)
    assert adapter.meter.finish_reason == FinishReason(reason)
    assert adapter.meter.native_finish_reason == native
    body = {"choices": [{"message": members, "finish_reason": native}]}
    whole = answered(body)["choices"][0]
    assert (whole["finish_reason"], whole["native_finish_reason"]) == (reason, native)


def test_finish_reason_stays_when_no_tool_was_called() -> None:
    for calls in (None, [], [{"index": 0, "function": {"name": "", "arguments": ""}}]):
        body = {"choices": [{"message": {"content": "a", "tool_calls": calls}}]}
        body["choices"][0]["finish_reason"] = "stop"  # type: ignore[assignment]
        assert answered(body)["choices"][0]["finish_reason"] == "stop"


def test_call_of_another_choice_does_not_change_the_finish_reason() -> None:
    adapter = response()
    ends = [{"index": n, "delta": {"content": "a"}, "finish_reason": "stop"} for n in (0, 1)]
    relayed(adapter, event(delta(call(A, "w", id="f1"), index=1)))
    (chunk,) = relayed(adapter, event({"choices": ends}))
    assert [each["finish_reason"] for each in chunk["choices"]] == ["stop", "tool_calls"]


def test_plain_calls_have_an_id_a_type_and_a_text() -> None:
    calls = [
        call({"l": 1}, "w"),
        call(None, "v", id="", type=None),
        {"id": "f3", "name": "u", "arguments": A, "index": 2},
        "junk",
    ]
    shown = answered({"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]})
    first, second, third = shown["choices"][0]["message"]["tool_calls"]
    assert first["function"] == {"name": "w", "arguments": '{"l": 1}'}
    assert second["function"] == {"name": "v", "arguments": ""}
    assert third == {"id": "f3", "index": 2, "type": "function"} | {
        "function": {"name": "u", "arguments": A}
    }
    assert len({first["id"], second["id"], third["id"]}) == 3


def test_custom_tool_call_is_forwarded_unchanged() -> None:
    custom = {"id": "c1", "type": "custom", "custom": {"name": "w", "input": "x"}}
    shown = answered(
        {"choices": [{"message": {"tool_calls": [custom]}, "finish_reason": "tool_calls"}]}
    )
    assert shown["choices"][0]["message"]["tool_calls"] == [custom]
