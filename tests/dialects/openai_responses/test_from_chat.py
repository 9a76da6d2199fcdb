"""The translation as a whole; `test_response_items.py` has that of the messages."""

import json
from typing import Any

import pytest
from openai.types.responses import ResponseInputParam, ToolParam
from pydantic import TypeAdapter

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from modelgates_server.dialects.openai_responses.from_chat import from_chat
from modelgates_server.dialects.openai_responses.request import parse_request
from modelgates_server.dialects.openai_responses.rules import PARAMETERS_FROM_CHAT, Action
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.dialects.openai_responses import responses

_items = TypeAdapter(ResponseInputParam)
_tools = TypeAdapter(list[ToolParam])

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def written_of(**members: Any) -> dict[str, Any]:
    """The translated request, after the reader of the Responses API has accepted it."""
    translated = from_chat(chat.request(**members), calls.model())
    parse_request(Api.RESPONSES, translated.body)
    written: dict[str, Any] = json.loads(translated.body)
    return written


def rejection(**members: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        written_of(**members)
    return str(caught.value)


@pytest.mark.parametrize("name", ["turns", "every_setting"])
def test_request_is_translated_as_recorded(name: str) -> None:
    expected = responses.golden("from_chat", name)
    request = parse_chat(Api.CHAT, json.dumps(expected["request"]).encode())
    translated = from_chat(request, calls.model())
    body = json.loads(translated.body)
    assert body == expected["body"]
    assert list(translated.omitted) == expected["omitted"]
    items = [{"id": "msg_1", **item} for item in body["input"]]  # required by the types alone
    _items.dump_json(_items.validate_python(items))
    _tools.dump_json(_tools.validate_python(body["tools"]))


@pytest.mark.parametrize(
    ("members", "written"),
    [
        ({"max_tokens": 5}, {"max_output_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, {"max_output_tokens": 7}),
        ({"reasoning_effort": "high"}, {"reasoning": {"effort": "high"}}),
        ({"reasoning": {"enabled": True}}, {"reasoning": {"effort": "medium"}}),
        ({"reasoning": {"enabled": False}}, {"reasoning": {"effort": "none"}}),
        ({"reasoning": {"summary": "auto"}}, {"reasoning": {"summary": "auto"}}),
        (
            {"reasoning": {"max_tokens": 20}, "max_tokens": 100},
            {"reasoning": {"effort": "low"}, "max_output_tokens": 100},
        ),
        ({"response_format": {"type": "text"}}, {"text": {"format": {"type": "text"}}}),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        ({"stream": True}, {"stream": True}),
        ({"logprobs": False, "n": 1, "stop": None, "tools": []}, {}),
        ({"models": ["a/b"], "route": "fallback", "usage": {"include": True}}, {}),
        (
            {"provider": {"zdr": True}, "session_id": "s"},
            {"provider": {"zdr": True}, "session_id": "s"},
        ),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    ],
)
def test_setting_is_written_in_the_words_of_responses(
    members: dict[str, Any], written: dict[str, Any]
) -> None:
    body = written_of(**members)
    assert body["store"] is False
    assert {n: v for n, v in body.items() if n not in ("model", "input", "store")} == written


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("stop", ["x"]),
        ("logit_bias", {"1": 2}),
        ("audio", {"voice": "x"}),
        ("modalities", ["text", "audio"]),
        ("functions", [{"name": "f"}]),
        ("function_call", "auto"),
        ("thinking", {"type": "enabled"}),
        ("enable_thinking", False),
        ("thinking_budget", 5),
        ("chat_template_kwargs", {"enable_thinking": True}),
        ("best_of", 2),
    ],
)
def test_parameter_without_a_counterpart_is_rejected_by_name(name: str, value: Any) -> None:
    assert f"`{name}` is not supported" in rejection(**{name: value})


def test_every_rejected_parameter_is_tested_or_rejected_before() -> None:
    rejected = {n for n, rule in PARAMETERS_FROM_CHAT.items() if rule.action is Action.REJECTED}
    assert rejected - {"extra_body"} == {
        *("n", "stop", "logit_bias", "audio", "modalities", "functions", "function_call"),
        *("thinking", "enable_thinking", "thinking_budget", "chat_template_kwargs", "best_of"),
    }


@pytest.mark.parametrize("name", ["seed", "top_k", "x_unknown"])
def test_parameter_that_is_left_out_is_named(name: str) -> None:
    translated = from_chat(chat.request(Api.CHAT, **{name: 7}), calls.model())
    assert translated.omitted == (name,)
    assert name not in json.loads(translated.body)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"response_format": {"type": "grammar"}}, "`response_format.type` is not supported"),
        ({"response_format": "json"}, "`response_format` must be"),
        ({"tools": [{"type": "function"}]}, "`tools[0].function` is missing"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function"}}, "`tool_choice.function`"),
        ({"tools": [{"type": "function", "function": {"name": 3}}]}, "`tools[0].function.name`"),
    ],
)
def test_malformed_value_is_rejected_by_its_name(members: dict[str, Any], message: str) -> None:
    assert message in rejection(**members)


def test_functions_are_not_strict_unless_the_client_says_so() -> None:
    (tool,) = written_of(tools=[FUNCTION])["tools"]
    assert tool == {
        "type": "function",
        "name": "f",
        "parameters": {"type": "object"},
        "strict": False,
    }
