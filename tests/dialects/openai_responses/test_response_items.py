from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.openai_responses.from_chat import from_chat
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.dialects.openai_responses.test_from_chat import written_of

USER = {"role": "user", "content": "x"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ENCRYPTED = {
    "type": "reasoning.encrypted",
    "data": "gAAA",
    "id": "rs_1",
    "format": "openai-responses-v1",
}


def items_of(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = written_of(messages=list(messages))["input"]
    return items


def omitted(*messages: dict[str, Any]) -> tuple[str, ...]:
    return from_chat(chat.request(messages=list(messages)), calls.model()).omitted


@pytest.mark.parametrize("role", ["system", "developer", "user"])
def test_message_keeps_its_role_and_place(role: str) -> None:
    _, item = items_of(USER, {"role": role, "content": "y"})
    assert item == {"type": "message", "role": role, "content": "y"}


def test_turn_becomes_reasoning_then_text_then_calls() -> None:
    turn = {"role": "assistant", "content": "t", "tool_calls": [CALL]}
    turn["reasoning_details"] = [ENCRYPTED]
    result = {"role": "tool", "tool_call_id": "a", "content": None}
    reasoning, message, made, done = items_of(turn, result)
    assert reasoning == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": "gAAA",
    }
    assert message["content"] == "t"
    assert (made["call_id"], made["name"], made["arguments"]) == ("a", "f", "{}")
    assert done == {"type": "function_call_output", "call_id": "a", "output": ""}


@pytest.mark.parametrize(
    "members",
    [
        {"reasoning_details": [{"type": "reasoning.text", "text": "x", "signature": "s"}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "redacted"}]},
        {"reasoning_details": [{**ENCRYPTED, "format": "anthropic-claude-v1"}]},
        {"reasoning": "x"},
        {"reasoning_content": "x"},
    ],
)
def test_reasoning_of_another_provider_is_left_out_and_named(members: dict[str, Any]) -> None:
    turn = {"role": "assistant", "content": "t", **members}
    assert [item["type"] for item in items_of(turn)] == ["message"]
    assert omitted(turn) == ("messages.reasoning",)


def test_arguments_that_are_an_object_become_text() -> None:
    call = {**CALL, "function": {"name": "f", "arguments": {"x": 1}}}
    (made,) = items_of({"role": "assistant", "content": None, "tool_calls": [call]})
    assert made["arguments"] == '{"x": 1}'


def test_images_in_a_result_are_carried() -> None:
    content = [{"type": "image_url", "image_url": "https://a/b.png"}]
    turn = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    _, done = items_of(turn, {"role": "tool", "tool_call_id": "a", "content": content})
    assert done["output"] == [{"type": "input_image", "image_url": "https://a/b.png"}]


def test_names_and_caches_are_left_out_and_named() -> None:
    part = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    message = {"role": "user", "name": "ann", "content": [part]}
    assert omitted(message) == ("messages.name", "messages.cache_control")


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "`messages[0].role` of `function`"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "`messages[0].function_call`"),
        ({"role": "assistant", "audio": {"id": "a"}}, "`messages[0].audio`"),
        ({"role": "assistant", "images": [{"type": "image_url"}]}, "`messages[0].images`"),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "A"}}]},
            "`messages[0].content[0].type` of `input_audio`",
        ),
        (
            {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "u"}}]},
            "`messages[0].content[0].type` of `video_url`",
        ),
        (
            {"role": "assistant", "content": [{"type": "image_url", "image_url": "u"}]},
            "`messages[0].content[0].type` of `image_url`",
        ),
        ({"role": "assistant", "tool_calls": [{}]}, "`messages[0].tool_calls[0].id` is missing"),
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, ".function` is missing"),
        ({"role": "tool", "content": "x"}, "`messages[0].tool_call_id` is missing"),
        ({"role": 3, "content": "x"}, "`messages[0].role` must be"),
        (
            {"role": "user", "content": [{"type": "text", "text": 3}]},
            "`messages[0].content[0].text`",
        ),
    ],
)
def test_message_without_a_counterpart_is_rejected_by_its_name(
    message: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        items_of(message)
    assert named in str(caught.value)
