"""The translation as a whole; `test_chat_messages.py` has that of the items."""

import json
from typing import Any

import pytest
from hypothesis import given
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
from pydantic import TypeAdapter

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from modelgates_server.dialects.openai_responses.request import parse_request
from modelgates_server.dialects.openai_responses.to_chat import to_chat
from tests.dialects.openai_responses import responses
from tests.dialects.openai_responses.responses import chat_of, function, rejection, request

_messages = TypeAdapter(list[ChatCompletionMessageParam])
_tools = TypeAdapter(list[ChatCompletionToolUnionParam])


def assert_valid(body: dict[str, Any]) -> None:
    """Whether the official types accept it; lists in them are validated when they are read."""
    _messages.dump_json(_messages.validate_python(body["messages"]))
    _tools.dump_json(_tools.validate_python(body.get("tools", [])))


@pytest.mark.parametrize("name", responses.CLIENTS)
def test_request_of_a_known_client_is_translated_as_recorded(name: str) -> None:
    read = parse_request(
        Api.RESPONSES, (responses.GOLDEN / "clients" / f"{name}.json").read_bytes()
    )
    translated = to_chat(read)
    expected = responses.golden("to_chat", name)
    assert json.loads(translated.body) == expected["body"]
    assert [*read.omitted, *translated.omitted] == expected["omitted"]
    if name != "media_and_reasoning":  # the official types know no links to files
        assert_valid(json.loads(translated.body))


@given(responses.written_bodies())
def test_drawn_requests_are_translated_to_valid_ones(body: bytes) -> None:
    read = parse_request(Api.RESPONSES, body)
    translated = to_chat(read)
    chat = parse_chat(Api.CHAT, translated.body)
    assert (chat.cap_tokens, chat.stream) == (read.cap_tokens, read.stream)
    assert chat.service_tier == read.service_tier
    assert_valid(json.loads(translated.body))


def test_limit_is_sent_under_the_name_that_all_servers_obey() -> None:
    assert chat_of(max_output_tokens=5)["max_tokens"] == 5


@pytest.mark.parametrize(
    ("members", "written"),
    [
        ({"text": {"format": {"type": "text"}}}, {}),
        ({"text": None, "reasoning": None}, {}),
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ({"reasoning": {"effort": "max"}}, {"reasoning": {"effort": "max"}}),
        ({"reasoning": {"generate_summary": "auto"}}, {"reasoning": {"summary": "auto"}}),
        ({"reasoning": {"context": "auto", "effort": None}}, {}),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"top_logprobs": 0}, {}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"parallel_tool_calls": True, "tools": [function()]}, {}),
        ({"parallel_tool_calls": False}, {}),
        ({"tool_choice": "auto"}, {}),
        ({"safety_identifier": "s"}, {"user": "s"}),
        ({"stop": ["x"], "seed": 1}, {"stop": ["x"], "seed": 1}),
        ({"truncation": "disabled"}, {}),
        ({"provider": {"zdr": True}, "models": ["a/b"]}, {"provider": {"zdr": True}}),
    ],
)
def test_setting_is_written_in_the_words_of_chat(
    members: dict[str, Any], written: dict[str, Any]
) -> None:
    chat = chat_of(**members)
    assert {n: v for n, v in chat.items() if n not in ("model", "messages", "tools")} == written


def test_schema_keeps_its_exact_numbers() -> None:
    body = (
        b'{"model":"a","input":"x","text":{"format":{"type":"json_schema","name":"n",'
        b'"schema":{"maximum":1.0e+2,"const":12345678901234567890}}},"tools":[{"type":"function",'
        b'"name":"f","parameters":{"minimum":1.50}}]}'
    )
    written = to_chat(parse_request(Api.RESPONSES, body)).body
    assert b'"schema":{"maximum":1.0e+2,"const":12345678901234567890}' in written
    assert b'"parameters":{"minimum":1.50}' in written


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"text": {"format": {"type": "grammar"}}}, "`text.format.type` is not supported"),
        ({"text": {"format": 3}}, "`text.format` must be"),
        ({"reasoning": {"effort": 3}}, "`reasoning.effort` must be"),
        ({"tool_choice": "any", "tools": [function()]}, "`tool_choice` must be one of"),
        ({"tool_choice": "required"}, "`tool_choice` demands a tool"),
        ({"tool_choice": {"type": "function"}, "tools": [function()]}, "`tool_choice.name`"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "`input` has no message"),
    ],
)
def test_value_without_a_counterpart_is_rejected_by_its_name(
    members: dict[str, Any], message: str
) -> None:
    assert message in rejection(**members)


def test_omitted_parameters_are_named_once() -> None:
    read = request(metadata={"a": "b"}, x_unknown=1, truncation="auto", include=["a", "a"])
    assert to_chat(read).omitted == ("metadata", "x_unknown", "truncation", "include.a")
