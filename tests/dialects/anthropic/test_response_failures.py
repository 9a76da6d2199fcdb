"""Failures of other gateways and servers that were reported in public, and what happens here."""

import json
from typing import Any

import pytest

from modelgates_server.core.errors import ProviderUnavailable
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.redaction import NO_SECRETS
from modelgates_server.dialects.anthropic.dialect import ANTHROPIC
from modelgates_server.dialects.anthropic.meter import MessagesMeter
from tests.core import calls
from tests.dialects.anthropic import messages, responses
from tests.dialects.anthropic.responses import Way

_TEXT = responses.events_of(responses.golden_stream("text"))
_TOOL = responses.events_of(responses.golden_stream("tool_use"))


def chunk(delta: dict[str, Any], reason: str | None = None, **members: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: %b\n\n" % json.dumps({"id": "c", "choices": [choice], **members}).encode()


def call(index: int, arguments: str, **members: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}, **members}]}


def begun(index: int, arguments: str = "") -> dict[str, Any]:
    function = {"name": f"f{index}", "arguments": arguments}
    return call(index, "", id=f"call_{index}", type="function", function=function)


def from_chat(*chunks: bytes) -> dict[str, Any]:
    return responses.accumulated(Way(provider="chat").streamed(b"".join(chunks) + _DONE))


_DONE = b"data: [DONE]\n\n"
_ENDS = chunk({}, "tool_calls", usage={"prompt_tokens": 9, "completion_tokens": 2})


def with_usage(start: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    """A stream with these reports of usage."""
    head, *blocks, _, stop = _TEXT
    head = {**head, "message": {**head["message"], "usage": start}}
    reason = {"stop_reason": "end_turn", "stop_sequence": None}
    ends = [{"type": "message_delta", "delta": reason, "usage": each} for each in deltas]
    return responses.stream_of([head, *blocks, *ends, stop])


def counts(stream: bytes, **asked: Any) -> tuple[int, int, int, int, int]:
    """Input, cache reads, cache writes of both lives, and output, which both ways agree on."""
    native, translated = Way(**asked), Way(client="chat", **asked)
    native.streamed(stream)
    translated.streamed(stream)
    usage = native.settled().usage
    assert usage is not None
    assert usage == translated.settled().usage
    assert native.settled().cost_pico == translated.settled().cost_pico
    return (
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.cache_write_1h,
        usage.completion_tokens,
    )


def test_interleaved_calls_come_one_after_another() -> None:
    message = from_chat(
        chunk(begun(0, '{"a":')),
        chunk(begun(1, '{"b":')),
        chunk(call(0, "1}")),
        chunk(call(1, "2}")),
        _ENDS,
    )
    assert [each["input"] for each in message["content"]] == [{"a": 1}, {"b": 2}]
    assert message["stop_reason"] == "tool_use"


def test_text_within_the_arguments_of_a_call_loses_nothing() -> None:
    message = from_chat(
        chunk(begun(0, '{"a":')), chunk({"content": "Well"}), chunk(call(0, "1}")), _ENDS
    )
    assert message["content"] == [
        {"type": "tool_use", "id": "call_0", "name": "f0", "input": {"a": 1}},
        {"type": "text", "text": "Well"},
    ]


def test_stop_reason_is_tool_use_although_the_provider_says_stop() -> None:
    ends = chunk({}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 2})
    assert from_chat(chunk(begun(0, "{}")), ends)["stop_reason"] == "tool_use"


def test_empty_text_makes_no_block() -> None:
    message = from_chat(chunk({"role": "assistant", "content": ""}), chunk(begun(0, "{}")), _ENDS)
    assert [each["type"] for each in message["content"]] == ["tool_use"]


def test_refusal_is_a_refusal_on_the_way_there_and_back() -> None:
    stream = responses.double(responses.golden_stream("refusal"))
    assert responses.accumulated(stream)["stop_reason"] == "refusal"
    ends = chunk({}, "content_filter", usage={"prompt_tokens": 9, "completion_tokens": 2})
    assert from_chat(chunk({"content": "I"}), ends)["stop_reason"] == "refusal"


def test_exact_usage_of_chat_completions_is_at_the_end() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    stream = Way(provider="chat").streamed(
        chunk({"content": "Hi"}) + chunk({}, "stop") + _usage_alone(usage) + _DONE
    )
    start, *_, delta, _ = responses.events_of(stream)
    assert start["message"]["usage"]["input_tokens"] > 0  # an estimate
    read = delta["usage"]
    assert (read["input_tokens"], read["cache_read_input_tokens"]) == (10, 60)
    assert (read["cache_creation_input_tokens"], read["output_tokens"]) == (30, 20)
    assert read["output_tokens_details"] == {"thinking_tokens": 5}


def _usage_alone(usage: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps({"id": "c", "choices": [], "usage": usage}).encode()


def test_report_at_the_end_overwrites_that_at_the_start() -> None:
    start = {"input_tokens": 1000, "output_tokens": 1}
    end = {"input_tokens": 1200, "output_tokens": 7}
    assert counts(with_usage(start, end)) == (1200, 0, 0, 0, 7)


def test_report_without_input_keeps_that_of_the_start() -> None:
    start = {"input_tokens": 10, "cache_read_input_tokens": 500, "output_tokens": 1}
    assert counts(with_usage(start, {"output_tokens": 7})) == (10, 500, 0, 0, 7)


def test_cumulative_reports_are_not_added() -> None:
    start = {"input_tokens": 10, "output_tokens": 1}
    ends = {"output_tokens": 5}, {"input_tokens": 10, "output_tokens": 7}
    assert counts(with_usage(start, *ends)) == (10, 0, 0, 0, 7)


def test_exclusive_report_corrects_an_inclusive_start() -> None:
    start = {"input_tokens": 1000, "cache_read_input_tokens": 800, "output_tokens": 0}
    end = {"input_tokens": 200, "cache_read_input_tokens": 800, "output_tokens": 7}
    assert counts(with_usage(start, end)) == (200, 800, 0, 0, 7)


def test_zeros_at_the_end_do_not_erase_the_input() -> None:
    start = {"input_tokens": 10, "cache_read_input_tokens": 500, "output_tokens": 1}
    zeros = {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 7}
    assert counts(with_usage(start, zeros)) == (10, 500, 0, 0, 7)


def test_cache_writes_of_both_lives_have_their_own_prices() -> None:
    stream = responses.golden_stream("cache_of_both_lives")
    assert counts(stream) == (2095, 500, 400, 600, 503)
    way = Way()
    way.streamed(stream)
    # 2.095 + 0.05 + 0.5 + 1.2 + 1.006 dollars
    assert way.settled().cost_pico == 4_851_000_000_000


@pytest.mark.parametrize(("ttl", "written"), [("5m", (700, 0)), ("1h", (0, 700))])
def test_cache_writes_without_a_split_have_the_dearest_life_asked_for(
    ttl: str, written: tuple[int, int]
) -> None:
    system = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": ttl}}]
    split = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    start = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 700,
        "cache_creation": split,
        "output_tokens": 1,
    }
    stream = with_usage(start, {"output_tokens": 7})
    assert counts(stream, system=system) == (10, 0, *written, 7)


@pytest.mark.parametrize("client", ["anthropic", "chat"])
def test_placeholder_for_the_output_is_never_the_output(client: str) -> None:
    head, *blocks, _, _ = _TEXT
    long = {"type": "text_delta", "text": "word " * 400}
    more = {"type": "content_block_delta", "index": 0, "delta": long}
    way = Way(client=client)
    error = way.failed(responses.stream_of([head, *blocks[:2], more]))
    assert isinstance(error, ProviderUnavailable)
    usage = way.settled(failure="provider_unavailable").usage
    assert usage is not None
    assert usage.estimated
    assert usage.input == 25
    assert usage.completion_tokens > 100


def test_searches_are_reported_as_unpriced() -> None:
    end = {"output_tokens": 7, "server_tool_use": {"web_search_requests": 2}}
    for client in ("anthropic", "chat"):
        way = Way(client=client)
        way.streamed(with_usage({"input_tokens": 10, "output_tokens": 1}, end))
        assert way.adapter.meter.reading().unpriced == ("web_search_requests",)


@pytest.mark.parametrize("cut", range(1, len(_TOOL) - 1))
def test_stream_that_is_cut_is_an_error(cut: int) -> None:
    for client in ("anthropic", "chat"):
        error = Way(client=client).failed(responses.stream_of(_TOOL[:cut]))
        assert isinstance(error, ProviderUnavailable)


def test_error_within_a_stream_ends_it() -> None:
    for client in ("anthropic", "chat"):
        way = Way(client=client)
        error = way.failed(responses.golden_stream("error"))
        assert error.status == 503
        assert error.raw is not None
        assert "Overloaded" in error.raw


def test_json_instead_of_a_stream_becomes_a_stream() -> None:
    payload = json.dumps(responses.golden_message("thinking_and_tool")).encode()
    way = Way()
    read = responses.accumulated(way.streamed(payload, 50))
    assert read["content"] == responses.golden_message("thinking_and_tool")["content"]
    assert way.adapter.meter.repairs[Repair.FORM_CHANGED] == 1


@pytest.mark.parametrize("name", responses.NAMES)
def test_stream_instead_of_json_becomes_json(name: str) -> None:
    read = responses.validated(Way().plain(responses.golden_stream(name)))
    assert read["content"] == responses.golden_message(name)["content"]
    assert read["stop_reason"] == responses.golden_message(name)["stop_reason"]


def test_error_with_status_200_is_an_error() -> None:
    payload = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    for client in ("anthropic", "chat"):
        with pytest.raises(ProviderUnavailable):
            Way(client=client).adapter.read_answer(payload)


def test_unknown_event_is_dropped() -> None:
    head, *rest = _TEXT
    stream = responses.stream_of([head, {"type": "news", "x": 1}, *rest])
    assert Way().streamed(stream) == Way().streamed(responses.stream_of(_TEXT))


def test_block_without_an_end_is_ended() -> None:
    events = [each for each in _TOOL if each["type"] != "content_block_stop"]
    stream = Way().streamed(responses.stream_of(events))
    stops = [e["index"] for e in responses.events_of(stream) if e["type"] == "content_block_stop"]
    assert stops == [0, 1]
    assert responses.accumulated(stream)["content"][1]["name"] == "get_weather"


def test_positions_of_blocks_have_no_gaps() -> None:
    events = [{**each, "index": 4} if each.get("index") == 1 else each for each in _TOOL]
    read = responses.accumulated(Way().streamed(responses.stream_of(events)))
    assert read["content"] == responses.golden_message("tool_use")["content"]


def test_event_of_no_block_is_an_error() -> None:
    events = [each for each in _TOOL if each["type"] != "content_block_start"]
    assert isinstance(Way().failed(responses.stream_of(events)), ProviderUnavailable)


def test_start_without_required_fields_is_completed() -> None:
    head, *rest = _TEXT
    message = {n: v for n, v in head["message"].items() if n not in ("usage", "content")}
    stream = Way().streamed(responses.stream_of([{**head, "message": message}, *rest]))
    start = responses.events_of(stream)[0]["message"]
    assert start["content"] == []
    assert start["usage"] == {"input_tokens": 0, "output_tokens": 0}


def test_arguments_are_kept_however_they_are_written() -> None:
    message = responses.accumulated(responses.double(responses.golden_stream("parallel_tools")))
    assert message["content"][2]["input"] == {"a": 'é"'}


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r", b"\n"])
def test_stream_with_any_line_ends_is_read(line_end: bytes) -> None:
    stream = responses.golden_stream("thinking_and_tool")
    other = stream.replace(b"\n", line_end)
    assert Way().streamed(other, 13) == Way().streamed(stream)


@pytest.mark.parametrize("ttl", [r"1h", r"\u0031h", r"1\u0068", r"\u0031\u0068"])
def test_life_of_an_hour_is_seen_however_it_is_written(ttl: str) -> None:
    """Otherwise, escapes would make the writes of a provider that reports no lives cheaper."""
    body = messages.body_of(cache_control={"type": "ephemeral", "ttl": "?"})
    request = ANTHROPIC.parse_request(Api.MESSAGES, body.replace(b"?", ttl.encode()))
    response = ANTHROPIC.response(
        Way().generation,
        request,
        calls.model(),
        text_max_bytes=9,
        media_max_bytes=9,
        redactor=NO_SECRETS,
    )
    assert isinstance(response.meter, MessagesMeter)
    assert response.meter.writes_1h
