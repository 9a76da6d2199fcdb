"""The response object: what official clients throw without, and what it repeats."""

import json
from typing import Any

import msgspec
import pytest

from modelgates_server.dialects.openai_responses.response_object import response_object
from tests.dialects.openai_responses.official import check_response
from tests.dialects.openai_responses.provider import (
    ERROR,
    TOOLS,
    Event,
    log,
    native,
    of_chat,
    open_call,
    read,
    relayed,
    settled,
    wire,
)
from tests.dialects.openai_responses.responses import request
from tests.dialects.openai_responses.test_encoder import call, stream_of

OPENROUTER = [
    *("completed_at", "created_at", "error", "frequency_penalty", "id", "incomplete_details"),
    *("instructions", "metadata", "model", "object", "output", "parallel_tool_calls"),
    *("presence_penalty", "status", "temperature", "tool_choice", "tools", "top_p"),
]
"""The members without which OpenRouter's clients drop a response."""

ALL = [
    *OPENROUTER,
    *("background", "max_output_tokens", "max_tool_calls", "output_text", "previous_response_id"),
    *("prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store", "text"),
    *("top_logprobs", "truncation", "usage", "user"),
]
SET: dict[str, Any] = {
    "instructions": "Be short.",
    "max_output_tokens": 50,
    "metadata": {"a": "b"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "k",
    "reasoning": {"effort": "low", "summary": "auto"},
    "safety_identifier": "s",
    "temperature": 0.5,
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "tool_choice": {"type": "function", "name": "weather"},
    "tools": TOOLS,
    "top_p": 0.5,
    "truncation": "auto",
    "user": "u",
}


def events_of(*deltas: dict[str, Any]) -> list[Event]:
    return read(relayed(of_chat(), stream_of(*deltas)))


def failed() -> list[Event]:
    return read(of_chat().error_end(settled(), ERROR))


def written(response: dict[str, Any]) -> Event:
    read_back: Event = json.loads(msgspec.json.encode(response))
    return read_back


@pytest.mark.parametrize("name", ALL)
def test_member_is_in_every_response_of_a_stream(name: str) -> None:
    responses = [
        e["response"] for e in [*events_of({"content": "hi"}), *failed()] if "response" in e
    ]
    assert len(responses) == 6
    assert all(name in each for each in responses)


@pytest.mark.parametrize("name", OPENROUTER)
def test_member_is_added_when_the_provider_leaves_it_out(name: str) -> None:
    events = log("text")
    for response in (each["response"] for each in events if "response" in each):
        response.pop(name)
    responses = [e["response"] for e in read(relayed(native(), wire(events))) if "response" in e]
    assert len(responses) == 3
    assert all(name in each for each in responses)
    check_response(responses[-1])


def test_request_is_repeated() -> None:
    response = written(response_object(open_call(), request(**SET).wire, "in_progress"))
    assert {name: response[name] for name in SET} == SET
    check_response(response)


def test_unset_and_null_parameters_have_the_defaults_of_the_api() -> None:
    nulls = {name: None for name in SET if name not in ("tools", "truncation")}
    unset, null = (request(**members).wire for members in ({}, nulls))
    response = written(response_object(open_call(), unset, "in_progress"))
    assert response == written(response_object(open_call(), null, "in_progress"))
    assert (response["temperature"], response["tools"], response["store"]) == (1, [], False)
    assert response["metadata"] == {}
    check_response(response)


def test_response_is_never_stored_even_if_the_request_is_silent() -> None:
    assert response_object(open_call(), request(store=False).wire, "in_progress")["store"] is False
    assert response_object(open_call(), request().wire, "in_progress")["store"] is False


def test_usage_has_the_members_that_clients_need() -> None:
    usage = events_of({"content": "hi"})[-1]["response"]["usage"]
    assert set(usage["input_tokens_details"]) == {"cached_tokens", "cache_write_tokens"}
    assert set(usage["output_tokens_details"]) == {"reasoning_tokens"}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["cost"] > 0
    assert usage["is_byok"] is False


EVENT_MEMBERS = {
    "response.created": ("response",),
    "response.in_progress": ("response",),
    "response.output_item.added": ("output_index", "item"),
    "response.reasoning_summary_part.added": ("item_id", "output_index", "summary_index", "part"),
    "response.reasoning_summary_text.delta": ("item_id", "output_index", "summary_index", "delta"),
    "response.reasoning_summary_text.done": ("item_id", "output_index", "summary_index", "text"),
    "response.reasoning_summary_part.done": ("item_id", "output_index", "summary_index", "part"),
    "response.content_part.added": ("item_id", "output_index", "content_index", "part"),
    "response.output_text.delta": ("item_id", "output_index", "content_index", "logprobs"),
    "response.output_text.done": ("item_id", "output_index", "content_index", "text", "logprobs"),
    "response.refusal.delta": ("item_id", "output_index", "content_index", "delta"),
    "response.refusal.done": ("item_id", "output_index", "content_index", "refusal"),
    "response.content_part.done": ("item_id", "output_index", "content_index", "part"),
    "response.function_call_arguments.delta": ("item_id", "output_index", "delta"),
    "response.function_call_arguments.done": ("item_id", "output_index", "name", "arguments"),
    "response.custom_tool_call_input.delta": ("item_id", "output_index", "delta"),
    "response.custom_tool_call_input.done": ("item_id", "output_index", "input"),
    "response.output_item.done": ("output_index", "item"),
    "response.completed": ("response",),
}
"""Members without which at least one of eight clients throws or loses output."""

ITEM_MEMBERS = {
    "message": ("id", "role", "status", "content"),
    "reasoning": ("id", "summary"),
    "function_call": ("id", "call_id", "status", "name", "arguments"),
    "custom_tool_call": ("id", "call_id", "name", "input"),
}


@pytest.fixture(scope="module")
def everything() -> list[Event]:
    """A stream with every kind of event that the encoder writes."""
    made = [call("weather", '{"a":1}'), call("apply_patch", '{"input":"x"}', 1)]
    return events_of({"reasoning": "r"}, {"content": "c"}, {"refusal": "no"}, {"tool_calls": made})


@pytest.mark.parametrize("kind", EVENT_MEMBERS)
def test_event_has_the_members_that_clients_throw_without(
    kind: str, everything: list[Event]
) -> None:
    events = [each for each in everything if each["type"] == kind]
    assert events
    assert all(
        name in each for each in events for name in (*EVENT_MEMBERS[kind], "sequence_number")
    )


def test_no_event_is_of_a_kind_that_clients_do_not_know(everything: list[Event]) -> None:
    assert {each["type"] for each in everything} == set(EVENT_MEMBERS)


@pytest.mark.parametrize("kind", ITEM_MEMBERS)
def test_item_has_the_members_that_clients_throw_without(
    kind: str, everything: list[Event]
) -> None:
    items = [each["item"] for each in everything if "item" in each]
    items = [each for each in items if each["type"] == kind]
    assert len(items) == 2
    assert all(name in each for each in items for name in ITEM_MEMBERS[kind])
