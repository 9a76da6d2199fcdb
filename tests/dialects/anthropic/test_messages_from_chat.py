import base64
import json
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.from_chat import from_chat
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from tests.dialects.anthropic import messages
from tests.dialects.anthropic.messages import call, calls_of, from_chat_of, text, tool_result
from tests.dialects.openai_chat.chat import HI

FORMER, BUDGET = "claude-opus-4-8", "claude-haiku-4-5-20251001"
PNG = base64.b64encode(messages.png(1, 1)).decode()
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def asked(*turns: Any, model: str = FORMER, **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = from_chat_of(model, messages=list(turns), **members)[0][
        "messages"
    ]
    return found


def rejection(model: str = FORMER, **members: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        from_chat_of(model, **members)
    return str(caught.value)


def test_leading_system_messages_become_the_system_prompt() -> None:
    turns = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [text("b", cache_control={"type": "ephemeral"})]},
        *HI,
    ]
    body, _ = from_chat_of(messages=turns)
    assert body["system"] == [text("a"), text("b", cache_control={"type": "ephemeral"})]
    assert from_chat_of(messages=[turns[0], *HI])[0]["system"] == "a"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (FORMER, {"role": "system", "content": "now"}),
        (BUDGET, {"role": "user", "content": [text("<system>\nnow\n</system>")]}),
    ],
)
def test_later_system_message_stays_in_its_place(model: str, expected: Any) -> None:
    found = asked(*HI, {"role": "system", "content": "now"}, *HI, model=model)
    assert found[1] == expected


def test_system_message_after_the_assistant_is_told_to_the_user() -> None:
    said = {"role": "assistant", "content": "a"}
    found = asked(*HI, said, {"role": "system", "content": [text("now"), text("on")]})
    assert found[-1]["content"] == [text("<system>\nnow\n\non\n</system>")]


def test_results_and_the_next_question_become_one_message() -> None:
    turns = (
        *HI,
        calls_of(call("a", '{"x": 1.50}'), call("b", ""), content="look"),
        tool_result("b", [text("two")]),
        tool_result("a", ""),
        {"role": "user", "content": "and?"},
    )
    _, said, heard = asked(*turns, tools=[FUNCTION])
    assert said["content"] == [
        text("look"),
        messages.use("a", given={"x": 1.5}),
        messages.use("b"),
    ]
    assert heard["content"] == [
        messages.result("b", [text("two")]),
        {"type": "tool_result", "tool_use_id": "a"},
        text("and?"),
    ]


def test_arguments_keep_their_bytes() -> None:
    turns = [*HI, calls_of(call("a", '{"x": 1.50, "y":12345678901234567890}')), tool_result("a")]
    chat = parse_chat(Api.CHAT, json.dumps({"model": "a", "messages": turns}).encode())
    body = from_chat(chat, messages.served_by(FORMER)).body
    assert b'"input":{"x": 1.50, "y":12345678901234567890}' in body


@pytest.mark.parametrize(
    ("turns", "named"),
    [
        ([*HI, calls_of(call("a"))], "`a` has no result"),
        ([*HI, calls_of(call("a")), *HI], "`messages[2]` must be the result"),
        ([*HI, calls_of(call("a")), tool_result("b")], "[2].tool_call_id` is `b`"),
        ([*HI, calls_of(call("a")), tool_result("a"), tool_result("a")], "[3].tool_call_id"),
        ([*HI, calls_of(call("a"), call("a"))], "[1].tool_calls[1].id`"),
        ([*HI, calls_of(call("", "{}"))], "[1].tool_calls[0].id`"),
        ([*HI, calls_of(call("a", "[1]"))], "function.arguments`"),
        ([*HI, calls_of(call("a", "{oops"))], "function.arguments`"),
        ([*HI, calls_of({"id": "a"})], "has no `function`"),
        ([{"role": "user", "content": ""}], "`messages[0].content` is empty"),
        ([{"role": "critic", "content": "a"}], "`messages[0].role`"),
        ([{"role": "system", "content": "a"}], "no message apart from the system prompt"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "`input_audio`"),
        ([{"role": "user", "content": [{"type": "invented"}]}], "`invented`"),
        ([{"role": "user", "content": [{"type": "text"}]}], "[0].text` is missing"),
        ([*HI, {"role": "assistant", "content": "", "audio": {"id": "a"}}], "[1].audio`"),
        ([*HI, {"role": "assistant", "function_call": {"name": "f"}}], "[1].function_call`"),
    ],
)
def test_conversation_without_a_counterpart_is_rejected(turns: Any, named: str) -> None:
    assert named in rejection(messages=turns)


def test_ids_have_only_characters_that_anthropic_accepts() -> None:
    turns = (
        *HI,
        calls_of(call("f.1:a"), call("f_1_a")),
        tool_result("f_1_a"),
        tool_result("f.1:a"),
    )
    _, said, heard = asked(*turns)
    first, second = [each["id"] for each in said["content"]]
    assert first.replace("_", "").isalnum()
    assert second == "f_1_a"
    assert [each["tool_use_id"] for each in heard["content"]] == [second, first]


def test_empty_message_of_the_assistant_is_left_out() -> None:
    assert len(asked(*HI, {"role": "assistant", "content": ""}, *HI)) == 2


def test_refusal_is_repeated_as_text() -> None:
    said = {"role": "assistant", "content": None, "refusal": "no"}
    assert asked(*HI, said, *HI)[1] == {"role": "assistant", "content": "no"}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "high"}},
            {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": PNG},
            },
        ),
        (
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            },
            messages.pdf(b"%PDF", title="a.pdf"),
        ),
        (
            {"type": "file", "file": {"file_data": "https://a/b.pdf"}},
            {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}},
        ),
    ],
)
def test_part_has_a_counterpart(part: Any, block: Any) -> None:
    assert asked({"role": "user", "content": [text("a"), part]})[0]["content"] == [text("a"), block]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,Qk0="}},
        {"type": "image_url", "image_url": {"url": "data:image/png,raw"}},
        {"type": "image_url", "image_url": {"url": "ftp://a"}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "file", "file": {"file_data": "data:text/csv;base64,QQ=="}},
    ],
)
def test_unreadable_media_are_rejected_and_never_described(part: Any) -> None:
    assert "`messages[0].content[0]." in rejection(messages=[{"role": "user", "content": [part]}])


def test_unknown_details_are_dropped_and_named() -> None:
    details = [{"type": "reasoning.summary", "summary": "s"}]
    said = {"role": "assistant", "content": "so", "reasoning_details": details}
    body, omitted = from_chat_of(messages=[*HI, said, *HI])
    assert body["messages"][1]["content"] == "so"
    assert omitted == ("messages.reasoning_details",)


def test_signed_thinking_comes_first_and_unsigned_is_dropped() -> None:
    details = [
        {"type": "reasoning.text", "text": "wh", "index": 0},
        {"type": "reasoning.text", "text": "y", "signature": "sig==", "index": 0},
        {"type": "reasoning.encrypted", "data": "enc==", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "other", "format": "openai-responses-v1"},
        {"type": "reasoning.text", "text": "unsigned"},
    ]
    said = {"role": "assistant", "content": "so", "reasoning": "why", "reasoning_details": details}
    body, omitted = from_chat_of(messages=[*HI, said, *HI])
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "why", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "enc=="},
        text("so"),
    ]
    assert omitted == ("messages.reasoning_details",)


def test_reasoning_without_details_is_dropped_and_named() -> None:
    said = {"role": "assistant", "content": "so", "reasoning_content": "why", "name": "n"}
    body, omitted = from_chat_of(messages=[*HI, said, *HI])
    assert body["messages"][1] == {"role": "assistant", "content": "so"}
    assert omitted == ("messages.reasoning_content", "messages.name")
