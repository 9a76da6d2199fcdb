import json
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.anthropic.tool_ids import to_messages
from tests.dialects.anthropic import messages
from tests.dialects.anthropic.messages import assistant, in_chat, result, text, tool, use, user

OPENROUTER = messages.served_by("claude", dialects=("openai-chat",), profile="openrouter")
DEEPSEEK = messages.served_by("deepseek-chat", dialects=("openai-chat",), profile="deepseek")
RESPONSES = messages.served_by("gpt-5", dialects=("openai-responses",))
SIGNED = {"type": "thinking", "thinking": "why", "signature": "sig=="}
UNSIGNED = {"type": "thinking", "thinking": "why", "signature": ""}
REDACTED = {"type": "redacted_thinking", "data": "enc=="}


def chat(**members: Any) -> dict[str, Any]:
    return in_chat(**members)[0]


def said(*turns: Any, **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chat(messages=list(turns), **members)["messages"]
    return found


def rejection(**members: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        in_chat(**members)
    return str(caught.value)


def test_system_blocks_become_one_message() -> None:
    system = [text("a"), text(""), text("b", cache_control={"type": "ephemeral"})]
    assert said(*messages.HI, system=system)[0] == {"role": "system", "content": "a\n\nb"}
    assert said(*messages.HI, system="c")[0] == {"role": "system", "content": "c"}
    assert said(*messages.HI, system="")[0]["role"] == "user"


def test_system_message_in_the_middle_stays_there() -> None:
    turns = (*messages.HI, {"role": "system", "content": [text("now")]}, assistant(text("ok")))
    roles = [(each["role"], each["content"]) for each in said(*turns, *messages.HI)]
    assert roles[1] == ("system", "now")


def test_marks_for_caches_are_kept_where_they_are_read() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    system = [text("a"), text("b", cache_control=mark)]
    body, omitted = in_chat(OPENROUTER, system=system)
    assert body["messages"][0]["content"] == system
    assert omitted == ()
    assert in_chat(system=system)[1] == ("cache_control",)


def test_results_come_right_after_the_calls_and_before_the_users_text() -> None:
    turns = (
        *messages.HI,
        assistant(text("look"), use("t1"), use("t2", given={"a": [1.5, "é"]})),
        user(text("also"), result("t2", "two"), result("t1", [text("o"), text("ne")])),
    )
    _, call, *rest = said(*turns, tools=[tool()])
    assert call["content"] == "look"
    assert [each["id"] for each in call["tool_calls"]] == ["t1", "t2"]
    assert json.loads(call["tool_calls"][1]["function"]["arguments"]) == {"a": [1.5, "é"]}
    assert rest == [
        {"role": "tool", "tool_call_id": "t2", "content": "two"},
        {"role": "tool", "tool_call_id": "t1", "content": "o\nne"},
        {"role": "user", "content": "also"},
    ]


def test_content_is_null_next_to_calls_alone() -> None:
    assert said(*messages.HI, assistant(use("t")), user(result("t")))[1]["content"] is None


def test_turns_of_one_role_are_merged() -> None:
    turns = (
        *(user(text("a")), user(text("b"))),
        *(assistant(use("t1")), assistant(use("t2"))),
        *(user(result("t1"), text("c")), user(result("t2"))),
    )
    roles = [each["role"] for each in said(*turns)]
    assert roles == ["user", "assistant", "tool", "tool", "user"]


def test_failed_result_says_so() -> None:
    turns = (*messages.HI, assistant(use("t")), user(result("t", "no file", is_error=True)))
    assert said(*turns)[-1]["content"] == "Error: no file"


def test_empty_result_is_an_empty_text() -> None:
    empty = {"type": "tool_result", "tool_use_id": "t"}
    assert said(*messages.HI, assistant(use("t")), user(empty))[-1]["content"] == ""


@pytest.mark.parametrize(
    "turns",
    [
        (user(result("t")),),
        (*messages.HI, assistant(use("t")), user(result("t"), result("t"))),
        (*messages.HI, assistant(use("t")), user(result("t")), *messages.HI, user(result("t"))),
    ],
)
def test_result_without_an_open_call_is_rejected(turns: tuple[Any, ...]) -> None:
    assert "tool_use_id` is `t`" in rejection(messages=list(turns))


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
            {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "a/b", "data": "QQ=="}},
            {"type": "image_url", "image_url": {"url": "data:a/b;base64,QQ=="}},
        ),
        (
            messages.pdf(b"%PDF", title="t.pdf", context=""),
            {
                "type": "file",
                "file": {"filename": "t.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            },
        ),
        (
            {
                "type": "document",
                "title": "T",
                "context": "C",
                "source": {"type": "text", "media_type": "text/plain", "data": "D"},
            },
            {"type": "text", "text": "T\nC\nD"},
        ),
        (
            {"type": "search_result", "source": "S", "title": "T", "content": [text("D")]},
            {"type": "text", "text": "S\nT\nD"},
        ),
    ],
)
def test_part_has_a_counterpart(block: dict[str, Any], part: dict[str, Any]) -> None:
    assert said(user(text("see"), block))[0]["content"] == [text("see"), part]


def test_document_of_blocks_is_read_block_by_block() -> None:
    picture = messages.image(messages.png(1, 1))
    content = [text("a"), picture]
    block = {"type": "document", "title": "T", "source": {"type": "content", "content": content}}
    kinds = [each["type"] for each in said(user(block))[0]["content"]]
    assert kinds == ["text", "text", "image_url"]
    single = {"type": "document", "source": {"type": "content", "content": "whole"}}
    assert said(user(single))[0]["content"] == "whole"


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "content[0].source"),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, "content[0].source"),
        ({"type": "document", "source": {"type": "url", "url": "https://a"}}, "content[0].source"),
        (messages.pdf(citations={"enabled": True}), "content[0].citations"),
        ({"type": "invented"}, "`invented`"),
        ({"type": "tool_removal", "tool": {"name": "f"}}, "`tool_removal`"),
        (use("t"), "`tool_use`"),
    ],
)
def test_part_without_a_counterpart_is_rejected(block: dict[str, Any], named: str) -> None:
    assert named in rejection(messages=[user(block)])


def test_context_of_a_file_is_told_before_it() -> None:
    content = said(user(messages.pdf(context="From May")))[0]["content"]
    assert [each["type"] for each in content] == ["text", "file"]


def test_linked_file_is_sent_where_links_are_opened() -> None:
    block = {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}}
    body, _ = in_chat(OPENROUTER, messages=[user(block)])
    assert body["messages"][0]["content"][0]["file"]["file_data"] == "https://a/b.pdf"


def test_unknown_fields_of_a_picture_are_named() -> None:
    block = {**messages.image(messages.png(1, 1)), "transformations": {"oversized_image": "error"}}
    assert in_chat(messages=[user(block)])[1] == ("image.transformations",)


def test_thinking_is_dropped_whole_for_a_provider_that_did_not_issue_it() -> None:
    turns = [*messages.HI, assistant(SIGNED, REDACTED, text("so")), *messages.HI]
    body, omitted = in_chat(messages=turns)
    assert body["messages"][1] == {"role": "assistant", "content": "so"}
    assert omitted == ("thinking",)
    body, omitted = in_chat(DEEPSEEK, messages=turns)
    assert body["messages"][1] == {"role": "assistant", "content": "so"}
    assert omitted == ("thinking",)


def test_message_of_dropped_thinking_alone_is_left_out() -> None:
    turns = [*messages.HI, assistant(SIGNED), *messages.HI]
    assert [each["role"] for each in in_chat(messages=turns)[0]["messages"]] == ["user", "user"]
    kept = in_chat(OPENROUTER, messages=turns)[0]["messages"][1]
    assert kept.keys() == {"role", "content", "reasoning_details"}


def test_ids_that_were_encoded_for_the_client_are_the_providers_again() -> None:
    encoded = to_messages("functions.get:0")
    assert encoded != "functions.get:0"
    turns = (*messages.HI, assistant(use(encoded), use("mgid_!")), user(result(encoded)))
    _, called, answered = said(*turns)
    assert [each["id"] for each in called["tool_calls"]] == ["functions.get:0", "mgid_!"]
    assert answered["tool_call_id"] == "functions.get:0"


def test_own_thinking_returns_to_a_provider_that_requires_it() -> None:
    turns = [*messages.HI, assistant(UNSIGNED, use("t")), user(result("t"))]
    body, omitted = in_chat(DEEPSEEK, messages=turns)
    assert body["messages"][1]["reasoning_content"] == "why"
    assert omitted == ()


@pytest.mark.parametrize("model", [OPENROUTER, RESPONSES])
def test_thinking_passes_with_its_signature_where_signatures_are_read(model: Any) -> None:
    turns = [*messages.HI, assistant(SIGNED, REDACTED, text("so")), *messages.HI]
    body, omitted = in_chat(model, messages=turns)
    assert body["messages"][1]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "why", "signature": "sig=="},
        {"type": "reasoning.encrypted", "data": "enc=="},
    ]
    assert omitted == ()
