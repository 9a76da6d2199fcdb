"""The adapter of one response: the provider's bytes in, the client's bytes out, none lost."""

import json
from typing import Any

import pytest

from modelgates_server.core.errors import ProviderRateLimited, ProviderUnavailable
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.openai_chat.stream import OpenAiChatResponse
from modelgates_server.dialects.sse import EVENT_MAX_BYTES
from tests.core.calls import flat, held, model, priced
from tests.dialects.openai_chat.chat import request
from tests.upstream import DONE, answer, chunk, event, story, usage, used

TEXT_MAX_BYTES = 100


def open_call(api: Api = Api.CHAT) -> Generation:
    return held(priced(flat(input="0.001", output="0.001"), request(api)))


def adapter(api: Api = Api.CHAT) -> OpenAiChatResponse:
    return OpenAiChatResponse(
        open_call(api), api, model(), text_max_bytes=TEXT_MAX_BYTES, media_max_bytes=TEXT_MAX_BYTES
    )


def relayed(response: OpenAiChatResponse, *pieces: bytes) -> list[Any]:
    """The client's chunks for these bytes."""
    data = b"".join(b"".join(response.feed(piece)) for piece in pieces)
    events = [each for each in data.split(b"\n\n") if each]
    return [json.loads(each.removeprefix(b"data: ")) for each in events]


def reported(response: OpenAiChatResponse) -> tuple[int, int]:
    read = response.meter.reading().usage
    assert read is not None
    return read.prompt_tokens, read.completion_tokens


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_client_receives_the_same_chunks_however_the_stream_is_cut(size: int) -> None:
    whole, data = adapter(), b"".join(story())
    cut = adapter()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert relayed(cut, *pieces) == relayed(whole, data) != []
    assert cut.is_done
    assert reported(cut) == reported(whole) == (3, 5)
    cut.check_end()


def test_event_is_metered_only_when_it_is_taken() -> None:
    response = adapter()
    events = response.feed(chunk("one") + chunk("two"))
    assert not response.meter.has_output
    next(events)
    assert response.meter.output.text_bytes == 3
    next(events)
    assert response.meter.output.text_bytes == 6


def test_usage_after_the_end_is_metered_and_not_relayed() -> None:
    response = adapter()
    relayed(response, chunk("hi"), chunk(finish="stop"), DONE)
    assert response.awaits_usage
    assert relayed(response, used(usage(3, 5))) == []
    assert not response.awaits_usage
    assert reported(response) == (3, 5)


def test_stream_without_done_is_over_only_when_the_provider_closes_it() -> None:
    response = adapter()
    relayed(response, chunk("hi"), chunk(finish="stop", usage=usage(3, 5)))
    assert not response.is_over
    assert not response.awaits_usage
    assert list(response.finish()) == []
    response.check_end()


def test_last_event_without_its_blank_line_is_relayed_at_the_end() -> None:
    response = adapter()
    assert relayed(response, chunk("hi", finish="stop").removesuffix(b"\n")) == []
    assert len(list(response.finish())) == 1
    response.check_end()


def test_chunk_beyond_the_limit_is_not_relayed() -> None:
    response = adapter()
    long = "w" * TEXT_MAX_BYTES
    assert len(relayed(response, chunk(long) + chunk("x") + chunk("y"))) == 1
    assert response.is_over
    with pytest.raises(ProviderUnavailable, match="more output than the request allows"):
        response.check_end()


BROKEN = {
    "no JSON": (
        [chunk("hi"), b"data: {\n\n", chunk("more")],
        ProviderUnavailable,
        "invalid response",
    ),
    "an error": (
        [chunk("hi"), event({"error": {"code": 429, "message": "slow"}})],
        ProviderRateLimited,
        "Provider returned error",
    ),
    "a failed end": (
        [chunk("hi"), chunk(finish="network_error"), DONE],
        ProviderUnavailable,
        "finish reason 'network_error'",
    ),
    "no end": ([chunk("hi")], ProviderUnavailable, "before it was complete"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_incomplete_stream_raises_its_reason(case: str) -> None:
    pieces, error, message = BROKEN[case]
    response = adapter()
    relayed(response, *pieces)
    with pytest.raises(error, match=message):
        response.check_end()


@pytest.mark.parametrize("end", [b"", b"\n\n"])
def test_endless_event_is_an_invalid_response(end: bytes) -> None:
    response = adapter()
    assert list(response.feed(b"data: " + b"x" * (EVENT_MAX_BYTES - 6))) == []
    with pytest.raises(ProviderUnavailable, match="invalid response"):
        response.feed(b"x" + end)
    with pytest.raises(ProviderUnavailable, match="invalid response"):
        response.finish()


def test_end_of_a_stream_has_the_cost_and_done() -> None:
    response = adapter()
    relayed(response, *story())
    last, done, rest = response.end(open_call()).split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    shown = json.loads(last.removeprefix(b"data: "))
    assert shown["choices"] == [{"index": 0, "delta": {}, "finish_reason": None}]
    assert shown["usage"]["cost"] == 0


def test_usage_chunk_has_no_choice_when_the_client_asks_for_it() -> None:
    asked = OpenAiChatResponse(
        open_call(),
        Api.CHAT,
        model(),
        text_max_bytes=TEXT_MAX_BYTES,
        media_max_bytes=TEXT_MAX_BYTES,
        asks_for_usage=True,
    )
    last = asked.end(open_call()).split(b"\n\n")[0]
    assert json.loads(last.removeprefix(b"data: "))["choices"] == []


def test_empty_choice_of_a_legacy_completion_has_a_text() -> None:
    last = adapter(Api.COMPLETIONS).end(open_call(Api.COMPLETIONS)).split(b"\n\n")[0]
    shown = json.loads(last.removeprefix(b"data: "))
    assert shown["choices"] == [{"index": 0, "text": "", "finish_reason": None}]


def test_error_end_has_the_retry_time_in_its_metadata() -> None:
    response = adapter()
    report = ErrorReport(503, "The server is stopping.", {"error_type": "server"}, 1)
    last, done, _ = response.error_end(open_call(), report).split(b"\n\n")
    assert done == b"data: [DONE]"
    shown = json.loads(last.removeprefix(b"data: "))
    assert shown["error"] == {
        "message": "The server is stopping.",
        "code": 503,
        "metadata": {"error_type": "server", "retry_after_seconds": 1},
    }
    assert shown["choices"][0]["finish_reason"] == "error"


def test_plain_body_instead_of_a_stream_is_read_as_an_error() -> None:
    limited = adapter().unstreamed_error(b'{"error": {"code": 429, "message": "slow"}}')
    assert isinstance(limited, ProviderRateLimited)
    for body in (b"", b"<h1>no</h1>", json.dumps(answer("hi")).encode()):
        assert "invalid response" in str(adapter().unstreamed_error(body))


def test_plain_response_with_a_failed_end_is_forwarded_with_its_failure() -> None:
    body = answer("hi")
    body["choices"][0]["finish_reason"] = "network_error"
    response = adapter()
    assert isinstance(response.read_answer(json.dumps(body).encode()), ProviderUnavailable)
    body["choices"][0]["message"]["content"] = ""
    with pytest.raises(ProviderUnavailable):
        adapter().read_answer(json.dumps(body).encode())
