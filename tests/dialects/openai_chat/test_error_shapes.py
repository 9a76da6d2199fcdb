"""Errors that are not called `error`: recognized in plain responses and in streams."""

import json
from typing import Any

import pytest
from hypothesis import given

from modelgates_server.core.errors import (
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from modelgates_server.dialects.openai_chat.error_shapes import error_in
from modelgates_server.dialects.openai_chat.stream import OpenAiChatResponse
from tests.dialects.openai_chat.chat import JUNK
from tests.dialects.openai_chat.test_stream import adapter, relayed
from tests.upstream import DONE, chunk, event, usage, used

REASON = "the prompt is too long"

VLLM = {"object": "error", "message": REASON, "type": "BadRequestError", "param": None, "code": 400}
MINIMAX = {
    "id": "x",
    "choices": None,
    "object": "",
    "usage": {"total_tokens": 0},
    "base_resp": {"status_code": 2013, "status_msg": REASON},
}
ERRORS: dict[str, Any] = {
    "vLLM": VLLM,
    "MiniMax": MINIMAX,
    "FastAPI": {"detail": REASON},
    "FastAPI, invalid request": {"detail": [{"loc": ["body"], "msg": REASON, "type": "missing"}]},
    "Gemini": [{"error": {"code": 400, "message": REASON, "status": "INVALID_ARGUMENT"}}],
    "Baidu": {"error_code": 336003, "error_msg": REASON, "id": "x"},
    "Zhipu": {"code": 1210, "msg": REASON, "success": False},
    "SiliconFlow": {"code": 20012, "message": REASON, "data": None},
    "Alibaba": {"code": "InvalidParameter", "message": REASON, "request_id": "r"},
    "Cloudflare": {"result": None, "success": False, "errors": [{"code": 5006, "message": REASON}]},
    "Apigee": {"fault": {"faultstring": REASON, "detail": {"errorcode": "c"}}},
    "AWS": {"__type": "ValidationException", "message": REASON},
    "RFC 9457": {"type": "about:blank", "title": REASON, "status": 400},
    "Anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": REASON}},
    "next to empty choices": {"error": {"code": 400, "message": REASON}, "choices": []},
    "next to invalid choices": {"error": {"code": 400, "message": REASON}, "choices": "none"},
}


def plain(body: Any) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        adapter().read_answer(json.dumps(body).encode())
    return raised.value


def streamed(*pieces: bytes) -> tuple[OpenAiChatResponse, list[Any]]:
    response = adapter()
    return response, relayed(response, *pieces)


def end_of(response: OpenAiChatResponse) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        response.check_end()
    return raised.value


@pytest.mark.parametrize("case", ERRORS)
def test_error_in_another_form_is_an_error_wherever_it_comes(case: str) -> None:
    body = ERRORS[case]
    alone, nothing = streamed(event(body), DONE)
    assert nothing == []
    middle, relayed_before = streamed(chunk("Hel"), event(body), chunk("lo"), DONE)
    assert [each["choices"][0]["delta"]["content"] for each in relayed_before] == ["Hel"]
    assert middle.is_over
    errors = plain(body), end_of(alone), end_of(middle)
    for error in errors:
        assert REASON in str(error) + (error.raw or "")
        assert type(error) in (ProviderRefused, ProviderUnavailable)
        assert "invalid response" not in str(error)


SILENT: dict[str, list[bytes]] = {
    "only the end": [DONE],
    "null choices": [event({"choices": None}), DONE],
    "empty choices": [event({"choices": []}), DONE],
    "only usage": [used(usage(3, 0)), DONE],
    "foreign chunks": [event({"type": "ping"}), event({"warning": "w"}), DONE],
}


@pytest.mark.parametrize("case", SILENT)
def test_stream_without_a_choice_is_an_error(case: str) -> None:
    response, chunks = streamed(*SILENT[case])
    assert chunks == []
    assert "invalid response" in str(end_of(response))


@pytest.mark.parametrize("choices", [None, []])
def test_plain_response_without_choices_is_an_error(choices: Any) -> None:
    assert "invalid response" in str(plain({"choices": choices, "usage": usage(20, 0)}))


LEGITIMATE: dict[str, list[bytes]] = {
    "empty text": [chunk(""), chunk(finish="stop"), used(usage(3, 0))],
    "verdict on the prompt": [
        event({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}),
        chunk("hi", finish="stop"),
    ],
    "verdict on the prompt, no usage": [
        event({"choices": [], "usage": None, "prompt_filter_results": [{"prompt_index": 0}]}),
        chunk("hi", finish="stop"),
    ],
    "good base_resp": [
        event({"choices": [], "base_resp": {"status_code": 0, "status_msg": ""}}),
        chunk("hi", finish="stop"),
    ],
    "good code": [event({"code": 0, "msg": "success"}), chunk("hi", finish="stop")],
    "status of a queue": [
        event({"status": "in_progress", "message": "queued", "type": "status_update"}),
        chunk("hi", finish="stop"),
    ],
    "event of another API": [
        event({"type": "message_start", "message": {"id": "m"}}),
        chunk("hi", finish="stop"),
    ],
    "empty error": [event({"error": {}, "choices": []}), chunk("hi", finish="stop")],
}


@pytest.mark.parametrize("case", LEGITIMATE)
def test_chunk_that_only_resembles_an_error_is_none(case: str) -> None:
    response, chunks = streamed(*LEGITIMATE[case], DONE)
    response.check_end()
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert response.meter.error is None


@given(JUNK)
def test_arbitrary_json_does_not_crash_the_recognition(junk: Any) -> None:
    for body in (junk, [junk], {"detail": junk, "code": junk, "message": junk, "status": junk}):
        error_in(json.dumps(body).encode())
    for noise in (b"", b"{", b"[" * 100_000, b"\xff"):
        assert error_in(noise) is None
