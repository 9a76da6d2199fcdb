import json
from typing import Any

import anthropic
import httpx2
import pytest

from modelgates_server.core.errors import (
    ProviderBody,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from modelgates_server.dialects.anthropic.dialect import ANTHROPIC
from tests.dialects.anthropic.responses import Way, events_of, report

_OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
_LIMITED = b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}'
_TOO_LONG = (
    b'{"type": "error", "error": {"type": "invalid_request_error", "message":'
    b' "prompt is too long: 210000 tokens > 200000 maximum"}, "request_id": "req_1"}'
)


def official(status: int, body: bytes) -> anthropic.APIStatusError:
    """The error that the official client makes of a response."""
    client = anthropic.Anthropic(api_key="k", base_url="http://gateway.test", max_retries=0)
    request = httpx2.Request("POST", "http://gateway.test/v1/messages")
    response = httpx2.Response(status, content=body, request=request)
    return client._make_status_error_from_response(response)


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (402, anthropic.APIStatusError, "billing_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (409, anthropic.ConflictError, "conflict_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (502, anthropic.InternalServerError, "api_error"),
        (503, anthropic.InternalServerError, "overloaded_error"),
        (504, anthropic.InternalServerError, "timeout_error"),
    ],
)
def test_error_has_the_class_that_official_clients_expect(
    status: int, kind: type[Exception], name: str
) -> None:
    error = report(status, request_id="req-1", metadata={"error_type": "x"})
    assert ANTHROPIC.status(error) == status
    body = json.loads(ANTHROPIC.error_body(error))
    assert body["type"] == "error"
    assert body["request_id"] == "req-1"
    assert body["error"]["type"] == name
    assert body["error"]["error_type"] == "x"
    assert isinstance(official(status, ANTHROPIC.error_body(error)), kind)


def test_missing_credits_are_never_a_rate_limit() -> None:
    error = report(402, "No credits", code="insufficient_credits")
    assert ANTHROPIC.status(error) == 402
    assert b"rate_limit" not in ANTHROPIC.error_body(error)


def of_provider(status: int, body: bytes, wait: int | None = None) -> Any:
    return ANTHROPIC.provider_error("acme", status, body, wait)


def test_error_of_the_provider_passes_byte_for_byte() -> None:
    error = of_provider(400, _TOO_LONG)
    assert isinstance(error, ProviderRefused)
    assert error.sent == ProviderBody("anthropic", 400, _TOO_LONG)
    shown = report(400, sent=error.sent)
    assert ANTHROPIC.error_body(shown) == _TOO_LONG


def test_overload_keeps_its_status_and_wait() -> None:
    error = of_provider(529, _OVERLOADED, 7)
    assert isinstance(error, ProviderUnavailable)
    assert error.retry_after_s == 7
    assert ANTHROPIC.status(report(502, sent=error.sent)) == 529


def test_rate_limit_keeps_its_wait() -> None:
    error = of_provider(429, _LIMITED, 12)
    assert isinstance(error, ProviderRateLimited)
    assert error.retry_after_s == 12


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, "authentication_error", "invalid x-api-key"),
        (403, "permission_error", "Your key may not use this"),
        (404, "not_found_error", "model: claude-x"),
        (402, "billing_error", "Your credit balance is too low to access the Anthropic API."),
        (400, "invalid_request_error", "Your credit balance is too low to access the API."),
        (400, "invalid_request_error", "You have reached your specified API usage limits."),
    ],
)
def test_error_about_the_operators_account_is_hidden(status: int, kind: str, text: str) -> None:
    body = {"type": "error", "error": {"type": kind, "message": text}}
    error = of_provider(status, json.dumps(body).encode())
    assert error.sent is None
    assert error.raw is None
    assert error.account_text == text
    assert text not in str(error)


@pytest.mark.parametrize("body", [b"<html>", b"", b'{"error":"x"}', b"\xff", b'{"type":"error"}'])
def test_body_in_another_form_does_not_pass(body: bytes) -> None:
    assert of_provider(502, body).sent is None


def test_error_ends_a_stream_with_its_cost() -> None:
    way = Way()
    error = report(502, "Broken", request_id="req-1", retry_after_s=3)
    for end in (way.adapter.error_end, ANTHROPIC.error_end):
        (event,) = events_of(end(way.generation, error))
        assert event["type"] == "error"
        assert event["error"]["message"] == "Broken"
        assert event["error"]["metadata"] == {"retry_after_seconds": 3}
        assert "cost" in event["usage"]


def test_late_error_is_an_error() -> None:
    body = json.loads(ANTHROPIC.late_error_body(report(502, "Broken")))
    assert (body["type"], body["error"]["type"]) == ("error", "api_error")


def test_keep_alive_is_an_event_that_every_client_knows() -> None:
    (event,) = events_of(ANTHROPIC.stream_keep_alive)
    assert event == {"type": "ping"}
    assert not ANTHROPIC.plain_keep_alive.strip()
