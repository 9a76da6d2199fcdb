"""Failures of other gateways with the Responses API, from their public reports: one test each."""

import json
from typing import Any, get_args

import pytest
from openai.types.chat.chat_completion import Choice

from modelgates_server.core.metering.meter import FinishReason
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.openai_responses.dialect import OPENAI_RESPONSES
from tests.dialects.openai_responses.official import check_events
from tests.dialects.openai_responses.provider import (
    ERROR,
    both_ways,
    encoded,
    for_chat,
    last,
    log,
    native,
    of_chat,
    read,
    relayed,
    settled,
    wire,
)
from tests.dialects.openai_responses.test_encoder import call, names, plain, stream_of, streamed

WAITING = {"reason": "in_flight_budget_exhausted"}


def test_nothing_follows_the_last_event() -> None:
    """claude-code#67809: deltas after the end were shown."""
    data = wire([*log("text"), log("text")[4]])
    assert relayed(native(), data) == relayed(native(), wire(log("text")))


def test_tool_call_has_its_full_set_of_events() -> None:
    """litellm#19368: the bridge sent no events for tools."""
    events = streamed({"tool_calls": [call("weather", "{}")]}, finish="tool_calls")
    assert {"output_item.added", "function_call_arguments.delta"} < set(names(events))
    assert {"function_call_arguments.done", "output_item.done"} < set(names(events))


def test_json_for_a_stream_becomes_events() -> None:
    """litellm#14315: a client that asked for a stream got JSON."""
    events = read(relayed(native(), encoded(last("text"))))
    assert "response.output_text.delta" in {each["type"] for each in events}


def test_id_of_a_call_is_kept() -> None:
    """vllm#34745: results could not be joined to their calls."""
    made = {**call("weather"), "id": "toolu_01-x"}
    assert plain({"tool_calls": [made]}, "tool_calls")["output"][0]["call_id"] == "toolu_01-x"


def test_namespace_comes_back() -> None:
    """codex#32318: `agents__spawn` is an unsupported call to Codex."""
    (item,) = plain({"tool_calls": [call("agents__spawn")]}, "tool_calls")["output"]
    assert (item["namespace"], item["name"]) == ("agents", "spawn")


def test_custom_tool_comes_back_as_one() -> None:
    """litellm#31571: custom tools were dropped without notice."""
    made = [call("apply_patch", '{"input":"*** Begin Patch"}')]
    (item,) = plain({"tool_calls": made}, "tool_calls")["output"]
    assert (item["type"], item["input"]) == ("custom_tool_call", "*** Begin Patch")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("make", [native, for_chat, both_ways])
def test_every_way_is_metered(make: Any, stream: bool) -> None:
    """aisix#425, aisix#627: /responses was never metered, or its streams had no cache."""
    adapter = make()
    if stream:
        relayed(adapter, wire(log("text")))
    else:
        adapter.read_answer(encoded(last("text")))
    usage = adapter.meter.reading().usage
    assert (usage.prompt_tokens, usage.cache_read, usage.completion_tokens) == (30, 10, 5)


@pytest.mark.parametrize("make", [native, for_chat])
@pytest.mark.parametrize("name", ["incomplete_tokens", "incomplete_filter", "failed_server_error"])
def test_usage_is_read_from_every_kind_of_end(make: Any, name: str) -> None:
    """envoy#2184: only `response.completed` was read."""
    adapter = make()
    list(adapter.feed(wire(log(name))))
    assert adapter.meter.reading().usage.prompt_tokens == 30


@pytest.mark.parametrize("make", [native, for_chat])
def test_searches_next_to_the_usage_are_noticed(make: Any) -> None:
    """litellm#31355, bifrost#7306: fees of searches were lost, which OpenAI counts elsewhere."""
    events = log("text")
    events[-1]["response"]["tool_usage"] = {"web_search": {"num_requests": 2}}
    adapter = make()
    relayed(adapter, wire(events))
    assert adapter.meter.reading().unpriced == ("num_search_queries",)


def test_searches_are_not_added_to_the_usage_of_the_client() -> None:
    events = log("text")
    events[-1]["response"]["tool_usage"] = {"web_search": {"num_requests": 2}}
    usage = read(relayed(native(), wire(events)))[-1]["response"]["usage"]
    assert set(usage) - {"cost", "is_byok"} == set(last("text")["usage"])


def test_refusal_is_shown_and_ends_as_filtered() -> None:
    """litellm#40857, any-llm#1359: a refusal became a good end without content."""
    response = plain({"content": None, "refusal": "No."}, "content_filter")
    assert response["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
    assert response["incomplete_details"] == {"reason": "content_filter"}


def test_refusal_survives_both_ways() -> None:
    """llmgateway#2974, CLIProxyAPI#4958."""
    events = read(relayed(both_ways(), wire(log("refusal"))))
    content = events[-1]["response"]["output"][0]["content"]
    assert content == last("refusal")["output"][0]["content"]


@pytest.mark.parametrize(
    "reason", [*get_args(Choice.model_fields["finish_reason"].annotation), "weird", "end_turn"]
)
def test_call_is_kept_whatever_the_reason_of_the_end(reason: str) -> None:
    """laravel/ai#881: an unknown reason dropped the call."""
    made = [call("weather", '{"a":1}')]
    response = streamed({"tool_calls": made}, finish=reason)[-1]["response"]
    assert response["output"][0]["arguments"] == '{"a":1}'


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter", "other", None])
def test_response_of_the_provider_ends_whatever_its_reason(reason: str | None) -> None:
    """laravel/ai#881, on the provider's side."""
    events = log("incomplete_tokens")
    events[-1]["response"]["incomplete_details"] = reason and {"reason": reason}
    adapter = native()
    assert read(relayed(adapter, wire(events)))[-1]["type"] == "response.incomplete"
    expected = FinishReason.CONTENT_FILTER if reason == "content_filter" else FinishReason.LENGTH
    assert adapter.meter.finish_reason is expected


@pytest.mark.parametrize(
    ("metadata", "code"), [(None, "insufficient_quota"), (WAITING, "rate_limit_exceeded")]
)
def test_lack_of_credits_can_be_repeated_only_if_they_come_back(
    metadata: dict[str, Any] | None, code: str
) -> None:
    """codex#34053: the time to wait was not kept; Codex repeats no `insufficient_quota`."""
    report = ErrorReport(402, "No.", metadata, code="insufficient_credits")
    assert OPENAI_RESPONSES.status(report) == 429
    assert json.loads(OPENAI_RESPONSES.error_body(report))["error"]["code"] == code
    failed = read(of_chat().error_end(settled(), report))[-1]["response"]
    assert failed["error"]["code"] == code


@pytest.mark.parametrize(
    ("own", "code"),
    [
        ("insufficient_credits", "insufficient_quota"),
        ("model_not_found", "model_not_found"),
        ("unknown_key", "invalid_api_key"),
        ("provider_rate_limited", "rate_limit_exceeded"),
    ],
)
def test_code_of_an_error_is_a_stable_text(own: str, code: str) -> None:
    """pi#4172: clients could not tell an empty balance from a limit of the rate."""
    body = json.loads(OPENAI_RESPONSES.error_body(ErrorReport(400, "No.", code=own)))
    assert body["error"]["code"] == code


def test_stream_of_a_failed_provider_ends_with_an_event_that_codex_knows() -> None:
    """Codex ignores `error`, and makes the call again."""
    adapter = native()
    event = {"type": "error", "sequence_number": 2, "code": "server_error", "message": "x"}
    sent = b"".join(adapter.feed(wire([*log("text")[:2], event])))
    events = read(sent + adapter.error_end(settled(), ERROR))
    check_events(events)
    assert names(events)[-1] == "failed"
    assert "error" not in names(events)


def test_empty_response_has_a_message() -> None:
    """openai-agents for JavaScript asked again ten times, and paid for each."""
    response = read(relayed(of_chat(), stream_of({"content": ""})))[-1]["response"]
    assert [item["type"] for item in response["output"]] == ["message"]
