import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.request import parse_request
from modelgates_server.dialects.anthropic.to_chat import to_chat
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from tests.dialects.anthropic import messages
from tests.dialects.anthropic.messages import assistant, in_chat, text, tool, user
from tests.dialects.anthropic.official import check_chat
from tests.dialects.openai_chat.chat import JUNK


def chat(**members: Any) -> dict[str, Any]:
    return in_chat(**members)[0]


def rejection(**members: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        in_chat(**members)
    return str(caught.value)


@settings(max_examples=50)
@given(messages.bodies())
def test_every_conversation_becomes_a_chat_that_openai_knows(body: dict[str, Any]) -> None:
    translated = to_chat(parse_request(Api.MESSAGES, json.dumps(body).encode()))
    request = OPENAI_CHAT.parse_request(Api.CHAT, translated.body)
    assert request.cap_tokens == body["max_tokens"]
    check_chat(json.loads(translated.body))


@given(st.data())
def test_any_accepted_value_is_translated_or_rejected(data: st.DataObject) -> None:
    names = ("thinking", "output_config", "tools", "tool_choice", "stop_sequences", "metadata")
    members: dict[str, Any] = data.draw(st.dictionaries(st.sampled_from(names), JUNK, max_size=3))
    block = data.draw(
        st.dictionaries(st.sampled_from(["text", "source", "content", "input", "id"]), JUNK)
    )
    kinds = ["text", "image", "document", "tool_use", "tool_result", "search_result", "thinking"]
    block["type"] = data.draw(st.sampled_from(kinds))
    with contextlib.suppress(InvalidInput):
        to_chat(messages.request(messages=[user(block), assistant(block), user(block)], **members))


@pytest.mark.parametrize(
    ("given_choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        (
            {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
            {
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "parallel_tool_calls": False,
            },
        ),
    ],
)
def test_choice_of_tools_is_translated(given_choice: Any, expected: dict[str, Any]) -> None:
    body = chat(tools=[tool(strict=True, description="d")], tool_choice=given_choice)
    assert {name: body[name] for name in expected} == expected
    assert ("parallel_tool_calls" in body) == ("parallel_tool_calls" in expected)
    schema = {"type": "object", "properties": {}}
    function = {"name": "f", "description": "d", "parameters": schema, "strict": True}
    assert body["tools"] == [{"type": "function", "function": function}]


def test_tool_that_only_claude_knows_is_rejected() -> None:
    assert "bash_20250124" in rejection(tools=[{"type": "bash_20250124", "name": "bash"}])


def test_fields_of_tools_without_a_counterpart_are_named() -> None:
    given_tool = tool(defer_loading=True, eager_input_streaming=True, input_examples=[{}], x_new=1)
    body, omitted = in_chat(tools=[given_tool])
    assert body["tools"][0]["function"].keys() == {"name", "parameters"}
    assert omitted == (
        *("tools.defer_loading", "tools.eager_input_streaming", "tools.input_examples"),
        "tools.x_new",
    )


@pytest.mark.parametrize(
    ("members", "reasoning"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"max_tokens": 2000}),
        ({"thinking": {"type": "disabled"}}, {"enabled": False}),
        ({"thinking": {"type": "adaptive"}}, {"enabled": True}),
        ({"thinking": {"type": "between_tools"}}, {"enabled": True}),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            {"enabled": True, "exclude": True},
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
            {"effort": "xhigh"},
        ),
        ({"output_config": {"effort": "low"}}, {"effort": "low"}),
        ({"thinking": None, "output_config": {}}, None),
    ],
)
def test_thinking_becomes_reasoning(members: Any, reasoning: Any) -> None:
    assert chat(max_tokens=9000, **members).get("reasoning") == reasoning


def test_effort_next_to_a_budget_is_named() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    _, omitted = in_chat(max_tokens=9000, thinking=thinking, output_config={"effort": "low"})
    assert omitted == ("output_config.effort",)


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"thinking": {"type": "invented"}}, "`thinking.type`"),
        ({"thinking": {}}, "`thinking.type`"),
        (
            {"stop_sequences": ["a"], "metadata": {"user_id": "u"}, "service_tier": 1},
            "service_tier",
        ),
        ({"tool_choice": {"type": "any", "name": 1}}, "`tool_choice`"),
        (
            {
                "messages": [
                    user({"type": "document", "source": {"type": "content", "content": [1]}})
                ]
            },
            "content",
        ),
        ({"output_config": {"effort": "extreme"}}, "`output_config.effort`"),
        ({"output_config": {"format": {"type": "xml"}}}, "`output_config.format`"),
        ({"output_config": {"task_budget": {"total": 1}}}, "`output_config.task_budget`"),
        ({"max_tokens": 0}, "`max_tokens` is 0"),
        ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, "edits"),
        ({"messages": [*messages.HI, assistant(text("The"))]}, "cannot continue"),
        ({"messages": [user(text(""))]}, "`messages[0].content` is empty"),
        ({"messages": [*messages.HI, assistant(text("")), *messages.HI]}, "[1].content` is empty"),
    ],
)
def test_request_without_a_counterpart_is_rejected_by_name(members: Any, named: str) -> None:
    assert named in rejection(**members)


def test_short_parameters_are_translated() -> None:
    body, omitted = in_chat(
        stop_sequences=["a", "b"],
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        service_tier="standard_only",
        metadata={"user_id": "u", "x": 1},
        diagnostics={"previous_message_id": "m"},
        cache_control={"type": "ephemeral"},
        context_management={"edits": [{"type": "clear_thinking_20251015"}]},
        output_config={"format": {"type": "json_schema", "schema": {"a": 1}}},
        x_new=1,
    )
    assert body["stop"] == ["a", "b"]
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.5, 0.9, 5)
    assert body["service_tier"] == "default"
    assert body["user"] == "u"
    schema = {"name": "output", "schema": {"a": 1}, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert not {"cache_control", "diagnostics", "context_management", "x_new"} & body.keys()
    assert set(omitted) == {
        *("cache_control", "diagnostics", "context_management", "x_new", "metadata.x"),
    }


def test_tier_of_the_project_is_not_named() -> None:
    assert "service_tier" not in chat(service_tier="auto")


def test_preferences_pass_to_the_hub() -> None:
    preferences = {"zdr": True}
    assert chat(provider=preferences, session_id="s")["provider"] == preferences


def test_long_user_id_becomes_a_digest_that_openai_accepts() -> None:
    user_id = "user_" + "a" * 150
    first = chat(metadata={"user_id": user_id})["user"]
    assert len(first) == 64
    assert chat(metadata={"user_id": user_id})["user"] == first
