"""Texts and reasoning of messages, under the names that clients know."""

from typing import Any

import pytest

from modelgates_server.dialects.openai_chat.message_parts import flatten_content
from tests.dialects.openai_chat.accumulated import answered, response, sent
from tests.dialects.openai_chat.test_stream import relayed
from tests.upstream import event


def details(text: str) -> list[dict[str, Any]]:
    return [{"type": "reasoning.text", "text": text, "index": 0, "format": "unknown"}]


def message(**members: Any) -> dict[str, Any]:
    body = {"choices": [{"message": members, "finish_reason": "stop"}]}
    shown: dict[str, Any] = answered(body)["choices"][0]["message"]
    return shown


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "reasoning_text", "thinking"])
def test_reasoning_has_every_name_that_clients_know(name: str) -> None:
    parts = [message(content="a", **{name: "hmm"})]
    chunks = sent([{"choices": [{"index": 0, "delta": {name: "hmm"}}]}])
    parts.append(chunks[0]["choices"][0]["delta"])
    for part in parts:
        assert part["reasoning"] == part["reasoning_content"] == part[name] == "hmm"
        assert part["reasoning_details"] == details("hmm")


def test_existing_reasoning_details_stay_as_they_are() -> None:
    kept = [{"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1"}]
    part = message(content="a", reasoning="hmm", reasoning_details=kept)
    assert (part["reasoning_details"], part["reasoning_content"]) == (kept, "hmm")
    assert "reasoning" not in message(content="a", reasoning_details=kept)


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_reasoning_gets_no_other_name(empty: str | None) -> None:
    assert "reasoning_details" not in message(content="a", reasoning_content=empty)


def test_reasoning_counts_once_under_all_its_names() -> None:
    adapter = response()
    relayed(adapter, event({"choices": [{"delta": {"reasoning_content": "hmm"}}]}))
    assert adapter.meter.output.text_bytes == 3


def test_content_in_parts_becomes_a_text_with_its_reasoning() -> None:
    # https://docs.mistral.ai/capabilities/reasoning/
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}], "closed": True}
    image = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}
    reference = {"type": "reference", "reference_ids": [1]}
    text = {"type": "text", "text": "So "}
    part = message(content=[thinking, text, "be", reference, image, {"type": "x", "text": "!"}])
    assert part["content"] == "So be!"
    assert part["reasoning"] == part["reasoning_content"] == "hmm"
    assert part["images"] == [image]


@pytest.mark.parametrize(
    ("content", "text"),
    [(5, "5"), (1.5, "1.5"), (True, "true"), ([], ""), ({}, ""), ({"text": "a"}, "a")],
)
def test_content_of_another_type_becomes_a_text(content: Any, text: str) -> None:
    assert message(content=content, refusal=None)["content"] == text


@pytest.mark.parametrize("content", [5, -1.5, True, "text", ["a", "b"]])
def test_content_of_any_type_is_measured_as_clients_get_it(content: Any) -> None:
    adapter = response()
    [shown] = relayed(adapter, event({"choices": [{"delta": {"content": content}}]}))
    text = shown["choices"][0]["delta"]["content"]
    assert adapter.meter.output.text_bytes == len(text) > 0


@pytest.mark.parametrize("arguments", ['{"n":1}', {"n": 1}, [1, 23], 5])
@pytest.mark.parametrize("is_bare", [False, True])
def test_arguments_of_any_type_are_measured_as_clients_get_them(
    arguments: Any, is_bare: bool
) -> None:
    adapter = response()
    call = {"name": "f", "arguments": arguments}
    delta = {"tool_calls": [call if is_bare else {"function": call}]}
    [shown] = relayed(adapter, event({"choices": [{"delta": delta}]}))
    written = shown["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]
    assert adapter.meter.output.text_bytes == len(
        "f" + written.replace(": ", ":").replace(", ", ",")
    )


def test_text_with_think_tags_is_not_touched() -> None:
    text = "<think>hmm</think>So be it."
    assert message(content=text)["content"] == text
    assert not flatten_content({})
