"""The common part of the native adapters: forms, limits, deviations and failures of a stream."""

import json
from typing import Any

import pytest

from modelgates_server.core.errors import ProviderError, ProviderUnavailable
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.dialects import event_stream
from modelgates_server.dialects.event_stream import event_bytes
from modelgates_server.dialects.sse import SseReader
from tests.dialects.anthropic.responses import (
    Way,
    events_of,
    golden_message,
    golden_stream,
    stream_of,
)

STREAM = golden_stream("text")
EVENTS = events_of(STREAM)


def adapter() -> Any:
    return Way().adapter


def fed(subject: Any, *pieces: bytes) -> bytes:
    sent = b"".join(b"".join(subject.feed(piece)) for piece in pieces)
    return sent if subject.is_over else sent + b"".join(subject.finish())


def test_event_on_several_lines_is_written_on_one() -> None:
    assert (
        event_bytes("ping", b'{\n"type":\r\n"ping"}') == b'event: ping\ndata: {"type":"ping"}\n\n'
    )


def test_stream_in_place_of_a_plain_response_is_joined() -> None:
    way = Way()
    assert way.adapter.read_answer(STREAM) is None
    told = json.loads(way.adapter.answer(way.settled()))
    assert told["content"] == golden_message("text")["content"]
    assert way.adapter.meter.repairs[Repair.FORM_CHANGED] == 1


@pytest.mark.parametrize("cut", [1, 3])
def test_stream_in_place_of_a_plain_response_must_be_complete(cut: int) -> None:
    with pytest.raises(ProviderUnavailable, match="before it was complete"):
        adapter().read_answer(stream_of(EVENTS[:cut]))


def test_error_in_a_collected_stream_is_raised() -> None:
    failed = {"type": "error", "error": {"type": "api_error", "message": "exploded"}}
    with pytest.raises(ProviderError):
        adapter().read_answer(stream_of([*EVENTS[:2], failed]))


@pytest.mark.parametrize(("payload", "kind"), [(b"  ", "empty"), (b"[1]", "invalid")])
def test_answer_that_is_none_is_an_error(payload: bytes, kind: str) -> None:
    with pytest.raises(ProviderUnavailable, match=f"sent an {kind} response"):
        adapter().read_answer(payload)


def failing(content: list[dict[str, Any]]) -> bytes:
    message = {**golden_message("text"), "content": content, "stop_reason": "error"}
    return json.dumps(message).encode()


def test_failed_end_is_raised_without_output_and_returned_with_some() -> None:
    with pytest.raises(ProviderUnavailable, match="finish reason 'error'"):
        adapter().read_answer(failing([]))
    told = adapter().read_answer(failing([{"type": "text", "text": "so far"}]))
    assert isinstance(told, ProviderUnavailable)


def test_failed_end_of_a_stream_is_raised_at_its_end() -> None:
    events = json.loads(json.dumps(EVENTS))
    for each in events:
        if each["type"] == "message_delta":
            each["delta"]["stop_reason"] = "error"
    subject = adapter()
    fed(subject, stream_of(events))
    with pytest.raises(ProviderUnavailable, match="finish reason 'error'"):
        subject.check_end()


def test_form_of_the_body_is_found_although_its_start_is_split() -> None:
    subject = adapter()
    assert fed(subject, b"e", b"vent", STREAM[5:]) == fed(adapter(), STREAM)


def test_plain_response_in_place_of_a_stream_becomes_one() -> None:
    way = Way()
    payload = json.dumps(golden_message("text")).encode()
    told = events_of(way.streamed(payload, size=50))
    assert told[0]["type"] == "message_start"
    assert told[-1]["type"] == "message_stop"
    assert way.adapter.meter.repairs[Repair.CONTENT_TYPE_IGNORED] == 1


def test_error_in_place_of_a_stream_is_reported_at_its_end() -> None:
    subject = adapter()
    assert fed(subject, b'{"type":"error","error":{"type":"api_error","message":"no"}}') == b""
    with pytest.raises(ProviderError):
        subject.check_end()


def test_plain_response_above_the_limit_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "EVENT_MAX_BYTES", 100)
    subject = adapter()
    assert fed(subject, b"{" + b" " * 200) == b""
    assert subject.is_over
    with pytest.raises(ProviderUnavailable, match="more than 100 bytes"):
        subject.check_end()


def test_unreadable_data_is_counted_and_ends_the_stream_at_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "EVENT_MAX_BYTES", 100)
    subject = adapter()
    fed(subject, b'data: hello\n\ndata: {"type":1}\n\ndata: [DONE]\n\n')
    assert subject.meter.repairs[Repair.DATA_SKIPPED] == 1
    assert subject.meter.repairs[Repair.CHUNK_DROPPED] == 1
    assert not subject.is_over
    fed(subject, b"data: %b\n\n" % (b"x" * 200))
    assert subject.is_over
    with pytest.raises(ProviderUnavailable):
        subject.check_end()


def test_event_above_the_limit_is_read_over_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "EVENT_MAX_BYTES", 1000)
    subject = adapter()
    subject._reader = SseReader(event_max_bytes=400)
    head = stream_of(EVENTS[:1])
    assert fed(subject, head[:100], head[100:]) == b"" or not subject.is_over
    subject = adapter()
    subject._reader = SseReader(event_max_bytes=4000)
    list(subject.feed(head))
    assert list(subject.feed(b"data: " + b"x" * 5000)) == []
    assert subject.is_over
    with pytest.raises(ProviderUnavailable, match="more than 1000 bytes"):
        subject.check_end()


def test_missing_blank_lines_between_events_are_counted() -> None:
    subject = adapter()
    fed(subject, STREAM.replace(b"\n\nevent", b"\nevent"))
    subject.check_end()
    assert subject.meter.repairs[Repair.LINES_SPLIT] > 0


def test_nothing_is_sent_after_the_end() -> None:
    subject = adapter()
    sent = fed(subject, STREAM + STREAM)
    assert sent.count(b"message_start") == fed(adapter(), STREAM).count(b"message_start")


def test_output_above_the_limit_of_the_request_ends_the_stream() -> None:
    way = Way()
    subject: Any = way.adapter
    subject._text_max_bytes = 3
    fed(subject, STREAM)
    assert subject.is_over
    with pytest.raises(ProviderUnavailable, match="more output than the request allows"):
        subject.check_end()


def test_stream_without_any_event_is_invalid() -> None:
    subject = adapter()
    fed(subject, b": hello\n\n")
    with pytest.raises(ProviderUnavailable, match="invalid response"):
        subject.check_end()
