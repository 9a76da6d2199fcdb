"""The translation of items; names of public reports stand where one of them failed elsewhere."""

import json
from typing import Any

import pytest

from modelgates_server.dialects.openai_responses.reasoning_items import pack
from modelgates_server.dialects.openai_responses.rules import ITEMS_TO_CHAT, Action
from modelgates_server.dialects.openai_responses.to_chat import to_chat
from tests.dialects.openai_responses.responses import (
    CALL,
    OUTPUT,
    function,
    messages_of,
    rejection,
    request,
)

USER = {"role": "user", "content": "x"}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
REJECTED = [name for name, rule in ITEMS_TO_CHAT.items() if rule.action is Action.REJECTED]
DROPPED = [name for name, rule in ITEMS_TO_CHAT.items() if rule.action is Action.DROPPED]
DETAILS = [{"type": "reasoning.text", "text": "Hm.", "signature": "s"}]
OWN = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": pack(DETAILS)}


def call(call_id: str, name: str = "f", **members: Any) -> dict[str, Any]:
    return {**CALL, "call_id": call_id, "name": name, **members}


def output(call_id: str, value: Any = "1") -> dict[str, Any]:
    return {**OUTPUT, "call_id": call_id, "output": value}


def roles(*items: dict[str, Any]) -> list[str]:
    return [message["role"] for message in messages_of(*items)]


def test_turn_becomes_one_message_of_the_assistant() -> None:
    text = {"role": "assistant", "content": "I look."}
    assistant, _, _ = messages_of(OWN, text, call("a"), call("b"), output("a"), output("b"))
    assert assistant["content"] == "I look."
    assert assistant["reasoning"] == "Hm."
    assert assistant["reasoning_details"] == DETAILS
    assert [each["id"] for each in assistant["tool_calls"]] == ["a", "b"]


def test_parallel_results_follow_their_calls_in_order() -> None:
    """req_llm#250, rowboat#378: results that are split over turns."""
    late = [call("a"), call("b"), output("b", "2"), USER, output("a", "1")]
    _, first, second, user = messages_of(*late)
    assert (first["tool_call_id"], first["content"]) == ("a", "1")
    assert (second["tool_call_id"], second["content"]) == ("b", "2")
    assert user["role"] == "user"


def test_calls_after_a_result_are_a_turn_of_their_own() -> None:
    assert roles(call("a"), output("a"), call("b"), output("b")) == ["assistant", "tool"] * 2


def test_repeated_call_id_gets_the_result_of_its_own_turn() -> None:
    items = (call("a"), output("a", "1"), call("a"), output("a", "2"))
    assert [each["content"] for each in messages_of(*items)] == [None, "1", None, "2"]


@pytest.mark.parametrize("items", [[OUTPUT], [CALL, OUTPUT, OUTPUT]])
def test_result_without_a_call_is_rejected(items: list[dict[str, Any]]) -> None:
    """picoclaw#1793: two results for one call."""
    assert f"`input[{len(items) - 1}].call_id` has no tool call" in rejection(input=items)


def test_call_ids_are_kept() -> None:
    """vllm#34745: an id that was dropped, so that results matched no call."""
    assistant, tool = messages_of(call("toolu_01-x"), output("toolu_01-x"))
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == "toolu_01-x"
    assert "`input[0].call_id` is missing" in rejection(input=[call("")])


def test_instructions_come_first_and_join_the_leading_system_messages() -> None:
    items = [{"role": "developer", "content": "2"}, {"role": "system", "content": "3"}, USER]
    system, user = messages_of(*items, instructions="1")
    assert system == {"role": "system", "content": "1\n\n2\n\n3"}
    assert user == USER


def test_later_system_message_keeps_its_place() -> None:
    assert roles(USER, {"role": "developer", "content": "2"}, USER) == ["user", "system", "user"]


def test_images_in_a_result_are_shown_after_all_results() -> None:
    """llama.cpp#22536, claude-code-proxy#59: images in results that were lost."""
    items = (call("a"), call("b"), output("a", [IMAGE]), output("b", "2"))
    *_, first, second, user = messages_of(*items)
    assert first["content"] == "The output is shown in the next message."
    assert second["content"] == "2"
    named, image = user["content"]
    assert named["text"] == "Output of the tool call a:"
    assert image == {"type": "image_url", "image_url": {"url": IMAGE["image_url"]}}


def test_document_in_a_result_is_carried() -> None:
    """kiro#165, litellm#38267: documents that vanished or failed."""
    file = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,A"}
    *_, user = messages_of(CALL, output("c1", [file]))
    assert user["content"][1]["file"] == {"file_data": file["file_data"], "filename": "a.pdf"}


def test_image_by_file_id_is_rejected_and_never_turned_into_text() -> None:
    """sandboxed.sh#389: an image that became the text `[image:url]`."""
    content = [{"type": "input_image", "file_id": "file_1"}]
    assert "`input[0].content[0].image_url` is missing" in rejection(
        input=[{"role": "user", "content": content}]
    )


def test_custom_call_becomes_a_call_with_one_text() -> None:
    """litellm#31571: custom tools that were silently dropped."""
    made = {"type": "custom_tool_call", "call_id": "a", "name": "patch", "input": 'a "b"\n'}
    done = {"type": "custom_tool_call_output", "call_id": "a", "output": "ok"}
    assistant, tool = messages_of(made, done)
    arguments = assistant["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"input": made["input"]}
    assert tool == {"role": "tool", "tool_call_id": "a", "content": "ok"}


def test_namespaced_call_has_the_name_of_its_tool() -> None:
    """codex#32318, coder#28656: namespaces that were lost or rejected."""
    namespace = {"type": "namespace", "name": "n", "description": "d", "tools": [function("g")]}
    assistant, _ = messages_of(
        call("a", "g", namespace="n"), output("a"), tools=[namespace, function("n__g")]
    )
    name = assistant["tool_calls"][0]["function"]["name"]
    assert name.startswith("n__g_")


def test_search_for_tools_has_its_arguments_as_text() -> None:
    """CommandCode#745: a call without the arguments' text."""
    search = {"type": "tool_search_call", "call_id": "a", "arguments": {"query": "x"}}
    found = {"type": "tool_search_output", "call_id": "a", "tools": [function("g")]}
    tool = {"type": "tool_search", "execution": "client"}
    assistant, result = messages_of(search, found, tools=[tool])
    made = assistant["tool_calls"][0]["function"]
    assert made == {"name": "tool_search", "arguments": '{"query":"x"}'}
    assert result["content"] == "Loaded tools: g"


def test_search_that_a_provider_ran_is_left_out() -> None:
    search: dict[str, Any] = {
        "type": "tool_search_call",
        "call_id": None,
        "execution": "server",
        "arguments": {},
    }
    found = {"type": "tool_search_output", "call_id": None, "tools": [function("g")]}
    translated = to_chat(request(input=[USER, search, found, USER]))
    assert translated.omitted == ("input.tool_search_call",)
    assert json.loads(translated.body)["messages"] == [USER, USER]


@pytest.mark.parametrize("content", ["gAAAA-of-another-party", None, ""])
def test_reasoning_of_another_party_is_left_out_and_named(content: str | None) -> None:
    """codex#9045, codex#8128: encrypted content that reached another deployment."""
    item = {**OWN, "encrypted_content": content, "summary": [{"type": "summary_text", "text": "s"}]}
    translated = to_chat(request(input=[item, {"role": "assistant", "content": "a"}]))
    assert translated.omitted == ("input.reasoning",)
    assert json.loads(translated.body)["messages"] == [{"role": "assistant", "content": "a"}]


def test_reasoning_without_a_message_is_left_out_and_named() -> None:
    assert to_chat(request(input=[OWN, USER])).omitted == ("input.reasoning",)


@pytest.mark.parametrize("kind", REJECTED)
def test_item_without_a_counterpart_is_rejected_by_its_type(kind: str) -> None:
    assert f"`input[1] of type {kind}`" in rejection(input=[USER, {"type": kind}])


@pytest.mark.parametrize("kind", DROPPED)
def test_record_of_a_server_tool_is_left_out_and_named(kind: str) -> None:
    assert to_chat(request(input=[USER, {"type": kind}])).omitted == (f"input.{kind}",)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"type": "hologram"}, "`input[0].type` is not supported here: `hologram`"),
        ({"role": "tool", "content": "x"}, "`input[0].role` must be one of"),
        ({"role": "user", "content": [{"type": "hologram"}]}, "`input[0].content[0].type`"),
        ({"role": "assistant", "content": [IMAGE]}, "`input[0].content[0].type`"),
        ({"role": "user", "content": [{"type": "input_file"}]}, "needs `file_data`"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "input_audio` is missing"),
        ({**CALL, "name": None}, "`input[0].name` is missing"),
        ({**CALL, "call_id": 3}, "`input[0].call_id` must be"),
    ],
)
def test_malformed_item_is_rejected_by_its_name(item: dict[str, Any], message: str) -> None:
    assert message in rejection(input=[item])


def test_refusal_stays_a_refusal() -> None:
    (message,) = messages_of(
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    )
    assert message == {"role": "assistant", "content": None, "refusal": "No."}
