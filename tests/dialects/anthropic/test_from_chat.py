import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.from_chat import from_chat
from modelgates_server.dialects.anthropic.request import parse_request
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from tests.dialects.anthropic import messages
from tests.dialects.anthropic.messages import call, calls_of, from_chat_of, tool_result
from tests.dialects.openai_chat.chat import HI, JUNK, requests

NEWEST, FORMER, BUDGET, OTHER = (
    "claude-opus-5-5",
    "claude-opus-4-8",
    "claude-haiku-4-5-20251001",
    "glm-5",
)
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def rejection(model: str = FORMER, **members: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        from_chat_of(model, **members)
    return str(caught.value)


@given(requests(), st.sampled_from([NEWEST, FORMER, BUDGET, OTHER]))
def test_any_chat_is_translated_or_rejected(sent: tuple[Api, bytes], model: str) -> None:
    api, body = sent
    if api is not Api.CHAT:
        return
    try:
        translated = from_chat(parse_chat(api, body), messages.served_by(model))
    except InvalidInput:
        return
    parse_request(Api.MESSAGES, translated.body)


@given(st.data())
def test_any_value_is_translated_or_rejected(data: st.DataObject) -> None:
    names = [
        *("stop", "reasoning_effort", "response_format", "tool_choice", "temperature", "user"),
        *("top_p", "reasoning_details", "thinking", "parallel_tool_calls"),
    ]
    members = data.draw(st.dictionaries(st.sampled_from(names), JUNK, max_size=3))
    details = {
        "role": "assistant",
        "content": data.draw(JUNK),
        "reasoning_details": data.draw(JUNK),
    }
    details["tool_calls"] = data.draw(JUNK)
    body = {"model": "a", "messages": [details], "tools": [FUNCTION], **members}
    with contextlib.suppress(InvalidInput):
        request = parse_chat(Api.CHAT, json.dumps(body).encode())
        from_chat(request, messages.served_by(FORMER))


@pytest.mark.parametrize(
    ("model", "members", "expected"),
    [
        (FORMER, {"reasoning_effort": "high"}, ("adaptive", "high")),
        (FORMER, {"reasoning": {"effort": "minimal"}}, ("adaptive", "low")),
        (FORMER, {"reasoning": {"enabled": True}}, ("adaptive", None)),
        (FORMER, {"reasoning": {"max_tokens": 5000}}, ("adaptive", "medium")),
        (FORMER, {"reasoning": {"enabled": False}}, ("disabled", None)),
        (FORMER, {"reasoning_effort": "none"}, ("disabled", None)),
        (FORMER, {}, (None, None)),
        (BUDGET, {"reasoning_effort": "high"}, (8000, None)),
        (BUDGET, {"reasoning": {"max_tokens": 500}}, (1024, None)),
        (BUDGET, {"reasoning": {"max_tokens": 20_000}}, (9999, None)),
        ("claude-opus-4-6", {"reasoning": {"max_tokens": 5000}}, (5000, None)),
        ("claude-opus-4-6", {"reasoning_effort": "xhigh"}, ("adaptive", "high")),
        (OTHER, {"reasoning": {"effort": "low"}}, (2000, None)),
    ],
)
def test_reasoning_is_written_for_the_model(model: str, members: Any, expected: Any) -> None:
    body, _ = from_chat_of(model, max_tokens=10_000, **members)
    thinking = body.get("thinking", {})
    found = thinking.get("budget_tokens", thinking.get("type"))
    assert (found, body.get("output_config", {}).get("effort")) == expected


def test_excluded_reasoning_is_not_shown() -> None:
    body, _ = from_chat_of(reasoning={"effort": "low", "exclude": True})
    assert body["thinking"]["display"] == "omitted"
    assert from_chat_of(reasoning={"effort": "low"})[0]["thinking"]["display"] == "summarized"


def test_limit_without_room_for_thinking_turns_it_off_and_says_so() -> None:
    body, omitted = from_chat_of(BUDGET, max_tokens=1024, reasoning_effort="high")
    assert "thinking" not in body
    assert omitted == ("reasoning",)


@pytest.mark.parametrize(
    ("details", "model", "is_kept"),
    [
        ([], BUDGET, False),
        ([{"type": "reasoning.text", "text": "t", "signature": "s"}], BUDGET, True),
        ([], FORMER, True),
    ],
)
def test_turn_that_began_without_thinking_goes_on_without_it(
    details: Any, model: str, is_kept: bool
) -> None:
    turns = [*HI, calls_of(call("a"), reasoning_details=details), tool_result("a")]
    body, omitted = from_chat_of(model, messages=turns, max_tokens=9000, reasoning_effort="low")
    assert ("thinking" in body) == is_kept
    assert omitted == (() if is_kept else ("reasoning",))


def test_reasoning_that_cannot_be_turned_off_is_rejected() -> None:
    assert "cannot be turned off" in rejection(NEWEST, reasoning={"enabled": False})


def test_own_form_of_thinking_passes() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    assert from_chat_of(BUDGET, max_tokens=9000, thinking=thinking)[0]["thinking"] == thinking


@pytest.mark.parametrize(
    ("model", "members", "kept", "omitted"),
    [
        (BUDGET, {"temperature": 0.5, "top_k": 5}, {"temperature", "top_k"}, ()),
        (BUDGET, {"temperature": 0.5, "top_p": 0.9}, {"temperature"}, ("top_p",)),
        (FORMER, {"temperature": 0.5}, set(), ("temperature",)),
        (BUDGET, {"temperature": 0.5, "reasoning_effort": "low"}, set(), ("temperature",)),
        (
            BUDGET,
            {"temperature": 0.5, "reasoning": {"enabled": False}},
            {"temperature"},
            (),
        ),
    ],
)
def test_sampling_is_sent_to_models_that_take_it(
    model: str, members: Any, kept: set[str], omitted: tuple[str, ...]
) -> None:
    body, names = from_chat_of(model, max_tokens=9000, **members)
    assert {"temperature", "top_p", "top_k"} & body.keys() == kept
    assert names == omitted


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"n": 2}, "`n`"),
        ({"logprobs": True}, "`logprobs`"),
        ({"logit_bias": {"1": 1}}, "`logit_bias`"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "a"}}, "is not supported"),
        ({"temperature": 1.5}, "`temperature`"),
        ({"stop": ["a", " \n"]}, "`stop`"),
        ({"service_tier": "flex"}, "`service_tier`"),
        ({"response_format": {"type": "json_object"}}, "`json_object`"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "schema` is missing"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "`tools[0]`"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools"}}, "`tool_choice`"),
        ({"functions": [{"name": "f"}]}, "`functions`"),
        ({"reasoning_effort": "extreme"}, "`reasoning_effort`"),
    ],
)
def test_parameter_without_a_counterpart_is_rejected_by_name(members: Any, named: str) -> None:
    assert named in rejection(**members)


def test_model_that_rejects_forced_calls_is_not_asked_for_one() -> None:
    assert "`tool_choice`" in rejection(NEWEST, tools=[FUNCTION], tool_choice="required")


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"stop": 1}, "`stop`"),
        ({"response_format": "json"}, "`response_format`"),
        ({"tools": [{"type": "function", "function": {}}]}, "function.name` is missing"),
        ({"tools": [{"type": "function", "function": 1}]}, "`tools`"),
        ({"temperature": "warm"}, "request body"),
    ],
)
def test_value_of_the_wrong_type_is_rejected(members: Any, named: str) -> None:
    assert named in rejection(**members)


def test_words_of_anthropic_pass() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    body, omitted = from_chat_of(
        service_tier="auto", response_format={"type": "text"}, tools=[{**FUNCTION, **mark}]
    )
    assert body["service_tier"] == "auto"
    assert body["tools"][0]["cache_control"] == mark["cache_control"]
    assert "output_config" not in body
    assert omitted == ()


def test_neutral_values_are_accepted_silently() -> None:
    members: Any = {"n": 1, "logprobs": False, "presence_penalty": 0, "store": False}
    members |= {"modalities": ["text"], "stream_options": {"include_usage": True}, "stream": True}
    body, omitted = from_chat_of(**members)
    assert omitted == ()
    assert body["stream"] is True


def test_dropped_parameters_are_named() -> None:
    body, omitted = from_chat_of(seed=1, frequency_penalty=0.5, verbosity="low", x_new=1)
    assert omitted == ("seed", "frequency_penalty", "verbosity", "x_new")
    assert not set(omitted) & body.keys()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
        (None, None),
    ],
)
def test_choice_of_tools_is_translated(choice: Any, expected: Any) -> None:
    body, _ = from_chat_of(tools=[FUNCTION], tool_choice=choice)
    assert body.get("tool_choice") == expected


def test_calls_one_by_one_need_a_choice() -> None:
    body, _ = from_chat_of(tools=[FUNCTION], parallel_tool_calls=False)
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    body, _ = from_chat_of(tools=[FUNCTION], parallel_tool_calls=False, tool_choice="none")
    assert body["tool_choice"] == {"type": "none"}


def test_functions_become_tools() -> None:
    function = {"name": "f", "description": "d", "strict": True}
    given_tools = [{"type": "function", "function": function}]
    schema = {"type": "object", "properties": {}}
    (tool,) = from_chat_of(tools=given_tools)[0]["tools"]
    assert tool == {"name": "f", "description": "d", "input_schema": schema, "strict": True}
    body, omitted = from_chat_of("claude-opus-4-1-20250805", tools=given_tools)
    assert "strict" not in body["tools"][0]
    assert omitted == ("tools.strict",)


def test_short_parameters_are_translated() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}}}
    body, _ = from_chat_of(
        stop="a", user="u", service_tier="default", response_format=schema, reasoning_effort="low"
    )
    assert body["stop_sequences"] == ["a"]
    assert body["metadata"] == {"user_id": "u"}
    assert body["service_tier"] == "standard_only"
    form = {"type": "json_schema", "schema": {"a": 1}}
    assert body["output_config"] == {"effort": "low", "format": form}
    assert "json_schema" in rejection("claude-opus-4-1", response_format=schema)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_limit_is_the_clients(name: str) -> None:
    limit: Any = {name: 77}
    assert from_chat_of(**limit)[0]["max_tokens"] == 77
    assert "max_tokens" not in from_chat_of()[0]
