"""A provider and a client of the Responses API: values are kept, except the gateway's own."""

import json
from decimal import Decimal
from typing import Any

import pytest

from modelgates_server.core.errors import ProviderError, ProviderUnavailable
from modelgates_server.core.metering.meter import FinishReason
from modelgates_server.dialects.dialect import ErrorReport
from tests.dialects.openai_responses.official import accumulated, check_events, check_response
from tests.dialects.openai_responses.provider import (
    ALL_LOGS,
    ERROR,
    GOOD_LOGS,
    Event,
    encoded,
    last,
    log,
    native,
    open_call,
    read,
    relayed,
    settled,
    wire,
)

HEAD = ("id", "model", "store")
SIZES = [1, 7, 4096]


def without_own(response: Event) -> Event:
    """The response without what the gateway sets."""
    kept = {name: value for name, value in response.items() if name not in HEAD}
    if kept["usage"] is not None:
        ours = ("cost", "is_byok")
        kept["usage"] = {name: v for name, v in kept["usage"].items() if name not in ours}
    return kept


def kept_of(event: Event) -> Event:
    return {**event, "response": without_own(event["response"])} if "response" in event else event


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_stream_passes_except_for_the_members_of_the_gateway(name: str) -> None:
    events = read(relayed(native(), wire(log(name))))
    assert [kept_of(each) for each in events] == [kept_of(each) for each in log(name)]
    check_events(events)
    for response in (each["response"] for each in events if "response" in each):
        assert [response[name] for name in HEAD] == [open_call().id, open_call().model, False]
    assert events[-1]["response"]["usage"]["cost"] > 0


@pytest.mark.parametrize("name", ["parallel_calls", "reasoning", "logprobs"])
@pytest.mark.parametrize("size", SIZES)
def test_stream_is_the_same_however_it_is_cut(name: str, size: int) -> None:
    data = wire(log(name))
    assert relayed(native(), data, size) == relayed(native(), data)


def test_stream_with_other_line_ends_and_comments_is_the_same() -> None:
    data = wire(log("text"))
    changed = b": hello\r\n\r\n" + data.replace(b"\n", b"\r\n")
    assert relayed(native(), changed, 3) == relayed(native(), data)


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_plain_response_passes_except_for_the_members_of_the_gateway(name: str) -> None:
    adapter = native()
    assert adapter.read_answer(encoded(last(name))) is None
    response = json.loads(adapter.answer(settled()))
    assert without_own(response) == without_own(last(name))
    check_response(response)


def test_cost_is_exact() -> None:
    adapter = native()
    adapter.read_answer(encoded(last("text")))
    call = settled(adapter.meter.reading().usage)
    usage = json.loads(adapter.answer(call), parse_float=Decimal)["usage"]
    assert usage["cost"] == Decimal(call.cost_pico).scaleb(-12)


def test_last_event_waits_for_the_settlement() -> None:
    adapter = native()
    sent = b"".join(adapter.feed(wire(log("text"))))
    assert adapter.is_done
    assert b"response.completed" not in sent
    assert b"response.output_item.done" in sent


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_plain_response_becomes_a_stream_with_deltas(name: str) -> None:
    adapter = native()
    events = read(relayed(adapter, encoded(last(name)), 100))
    check_events(events)
    assert events[-1]["response"]["output"] == last(name)["output"]
    assert {each["type"] for each in log(name)} == {each["type"] for each in events}
    if events[-1]["type"] == "response.completed":
        assert [item.id for item in accumulated(events).output] == [
            item["id"] for item in last(name)["output"]
        ]


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_stream_becomes_a_plain_response(name: str) -> None:
    adapter = native()
    assert adapter.read_answer(wire(log(name))) is None
    response = json.loads(adapter.answer(settled()))
    assert without_own(response) == without_own(last(name))


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_stream_that_is_cut_before_its_last_event_is_an_error(name: str) -> None:
    events = log(name)
    for end in range(1, len(events)):
        adapter = native()
        list(adapter.feed(wire(events[:end])))
        list(adapter.finish())
        assert not adapter.is_done
        with pytest.raises(ProviderUnavailable, match="before it was complete"):
            adapter.check_end()
        check_events([*events[:end], read(adapter.error_end(settled(), ERROR))[-1]])


@pytest.mark.parametrize("begun", [0, 1, 3])
def test_stream_that_fails_ends_with_a_failed_response(begun: int) -> None:
    adapter = native()
    sent = b"".join(adapter.feed(wire(log("text")[:begun])))
    events = read(sent + adapter.error_end(settled(), ERROR))
    check_events(events)
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.failed"
    response = events[-1]["response"]
    assert response["error"] == {"code": "server_error", "message": "Provider returned error"}
    assert response["usage"]["cost"] > 0


@pytest.mark.parametrize("name", [name for name in ALL_LOGS if name.startswith("failed")])
def test_failure_of_the_provider_passes_with_the_cost(name: str) -> None:
    adapter = native()
    sent = b"".join(adapter.feed(wire(log(name))))
    with pytest.raises(ProviderError):
        adapter.check_end()
    events = read(sent + adapter.error_end(settled(), ERROR))
    check_events(events)
    assert events[-1]["response"]["error"] == last(name)["error"]
    assert "cost" in events[-1]["response"]["usage"]


def test_events_without_numbers_are_counted() -> None:
    events = log("text")
    for each in events:
        del each["sequence_number"]
    written = read(relayed(native(), wire(events)))
    assert written[-1]["sequence_number"] == len(events) - 1


def test_usage_of_a_failed_response_is_read() -> None:
    adapter = native()
    list(adapter.feed(wire(log("failed_server_error"))))
    usage = adapter.meter.reading().usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (30, 5)


@pytest.mark.parametrize("form", ["failed", "error"])
def test_failure_about_the_account_of_the_operator_is_hidden(form: str) -> None:
    message = "You exceeded your current quota, please check your plan and billing details."
    error = {"code": "insufficient_quota", "message": message}
    failed: Event = log("failed_server_error")[-1]
    if form == "failed":
        failed["response"]["error"] = error
    else:
        failed = {"type": "error", "sequence_number": 2, **error}
    adapter = native()
    sent = b"".join(adapter.feed(wire([*log("text")[:2], failed])))
    sent += adapter.error_end(settled(), ERROR)
    assert message.encode() not in sent
    assert b"insufficient_quota" not in sent
    assert read(sent)[-1]["response"]["error"]["code"] == "server_error"


def test_failure_of_the_gateway_after_the_last_event_ends_the_stream() -> None:
    adapter = native()
    sent = b"".join(adapter.feed(wire(log("text"))))
    report = ErrorReport(503, "The database is unavailable.", code="database_unavailable")
    events = read(sent + adapter.error_end(settled(), report))
    check_events(events)
    assert events[-1]["type"] == "response.failed"


@pytest.mark.parametrize("output", [[], None, "absent"])
def test_items_of_the_stream_are_kept_when_the_last_event_has_none(output: Any) -> None:
    events = log("parallel_calls")
    if output == "absent":
        del events[-1]["response"]["output"]
    else:
        events[-1]["response"]["output"] = output
    adapter = native()
    written = read(relayed(adapter, wire(events)))
    assert written[-1]["response"]["output"] == last("parallel_calls")["output"]
    assert adapter.meter.finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"output":5}',
        b'{"output":null,"status":"completed"}',
        b"<html>",
        b'{"status":"failed","output":[]}',
        b'{"error":{"message":"no"}}',
    ],
)
def test_junk_is_an_error_of_the_provider(junk: bytes) -> None:
    with pytest.raises(ProviderError):
        native().read_answer(junk)
    with pytest.raises(ProviderError):
        relayed(native(), junk, 1)


@pytest.mark.parametrize("name", ["output", "content", "summary", "usage", "status"])
@pytest.mark.parametrize("value", [5, "x", {}, [5], [None], True])
def test_values_of_other_types_do_no_harm(name: str, value: Any) -> None:
    events = log("reasoning")
    response = events[-1]["response"]
    if name in response:
        response[name] = value
    else:
        response["output"] = [{**item, name: value} for item in response["output"]]
    adapter = native()
    list(adapter.feed(wire(events)))
    adapter.meter.reading()


def test_response_beyond_the_limit_is_cut_off() -> None:
    adapter = native(most=10)
    list(adapter.feed(wire(log("parallel_calls"))))
    assert adapter.is_over
    assert not adapter.is_done
    with pytest.raises(ProviderUnavailable, match="more output"):
        adapter.check_end()
