"""Errors in OpenAI's form, under the statuses at which clients stop or repeat as they should."""

import json
from typing import Any

import openai
import pytest

from modelgates_server.core.errors import ProviderBody
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.openai_responses.dialect import OPENAI_RESPONSES
from modelgates_server.dialects.openai_responses.errors import response_error_of_body
from tests.dialects.openai_responses.official import accumulated, check_events
from tests.dialects.openai_responses.provider import open_call, read, settled


def body(error: ErrorReport) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(OPENAI_RESPONSES.error_body(error))
    return written


@pytest.mark.parametrize(
    ("code", "own_status", "status", "written"),
    [
        ("insufficient_credits", 402, 429, "insufficient_quota"),
        ("max_cost_exceeded", 402, 429, "insufficient_quota"),
        ("key_limit_exceeded", 403, 429, "insufficient_quota"),
        ("unknown_model", 400, 400, "model_not_found"),
        ("model_not_found", 404, 404, "model_not_found"),
        ("unknown_key", 401, 401, "invalid_api_key"),
        ("provider_rate_limited", 429, 429, "rate_limit_exceeded"),
        ("provider_unavailable", 502, 502, "provider_unavailable"),
        (None, 405, 405, None),
    ],
)
def test_error_has_the_status_and_code_that_clients_know(
    code: str | None, own_status: int, status: int, written: str | None
) -> None:
    report = ErrorReport(own_status, "No.", code=code)
    assert OPENAI_RESPONSES.status(report) == status
    error = body(report)["error"]
    assert error["code"] == written
    assert set(error) == {"message", "type", "code", "param"}
    assert isinstance(error["type"], str)


def test_error_is_read_by_the_official_client() -> None:
    report = ErrorReport(402, "No credits.", {"reason": "x"}, code="insufficient_credits")
    error = openai.APIError("", request=None, body=body(report)["error"])  # type: ignore[arg-type]
    assert (error.code, error.type, error.param) == ("insufficient_quota",) * 2 + (None,)


def test_error_has_metadata_and_the_time_to_wait() -> None:
    report = ErrorReport(429, "Wait.", {"a": 1}, 7, code="provider_rate_limited")
    assert body(report)["error"]["metadata"] == {"a": 1, "retry_after_seconds": 7}


def test_error_of_a_provider_of_this_api_passes_unchanged() -> None:
    sent = b'{"error": {"message": "bad",  "code": "context_length_exceeded"}}'
    error = response_error_of_body("acme", 400, sent, None)
    report = ErrorReport(400, "bad", code="provider_refused", sent=error.sent)
    assert OPENAI_RESPONSES.error_body(report) == sent
    assert OPENAI_RESPONSES.status(report) == 400


def test_error_of_another_dialect_is_not_passed_on() -> None:
    report = ErrorReport(400, "bad", code="x", sent=ProviderBody("anthropic", 400, b"secret"))
    assert body(report)["error"]["message"] == "bad"


@pytest.mark.parametrize(("status", "text"), [(401, "bad key"), (429, "check billing details")])
def test_error_about_the_account_of_the_operator_is_not_passed_on(status: int, text: str) -> None:
    sent = json.dumps({"error": {"message": text}}).encode()
    assert response_error_of_body("acme", status, sent, None).sent is None


def test_user_is_named_where_the_caller_is_known() -> None:
    report = ErrorReport(400, "No.", code="invalid_input")
    assert json.loads(OPENAI_RESPONSES.error_body(report, "user_1"))["user_id"] == "user_1"


@pytest.mark.parametrize(
    ("code", "status", "written"),
    [
        ("insufficient_credits", 402, "insufficient_quota"),
        ("key_limit_exceeded", 403, "insufficient_quota"),
        ("provider_rate_limited", 429, "rate_limit_exceeded"),
        ("provider_unavailable", 502, "server_error"),
        ("invalid_input", 400, "invalid_prompt"),
        (None, 500, "server_error"),
    ],
)
def test_late_error_is_a_failed_response(code: str | None, status: int, written: str) -> None:
    report = ErrorReport(status, "No.", code=code)
    events = read(OPENAI_RESPONSES.error_end(open_call(), report))
    check_events(events)
    assert [each["type"] for each in events] == [
        "response.created",
        "response.in_progress",
        "response.failed",
    ]
    assert events[-1]["response"]["error"] == {"code": written, "message": "No."}
    assert events[-1]["response"]["status"] == "failed"
    assert accumulated(events) is None


def test_late_error_says_what_the_call_cost() -> None:
    events = read(OPENAI_RESPONSES.error_end(settled(), ErrorReport(500, "No.")))
    assert events[-1]["response"]["usage"]["cost"] > 0


def test_late_error_of_a_plain_response_is_an_error() -> None:
    report = ErrorReport(402, "No credits.", code="insufficient_credits")
    error = json.loads(b"\n\n" + OPENAI_RESPONSES.late_error_body(report))["error"]
    assert error["code"] == "insufficient_quota"


def test_keep_alive_is_an_event_without_a_number() -> None:
    assert OPENAI_RESPONSES.stream_keep_alive == (
        b'event: keepalive\ndata: {"type":"keepalive"}\n\n'
    )
    assert OPENAI_RESPONSES.plain_keep_alive.strip() == b""
