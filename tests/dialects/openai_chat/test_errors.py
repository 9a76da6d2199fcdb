import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import (
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimedOut,
    ProviderUnavailable,
)
from modelgates_server.dialects.openai_chat.errors import (
    GENERIC,
    RAW_MAX_CHARS,
    provider_error,
    provider_error_of_body,
)
from tests.dialects.openai_chat import chat


def error_of(status: int, body: Any) -> ProviderError:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return provider_error_of_body("acme", status, text, 7)


def openai(message: str, **members: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **members}}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRefused),
        (413, ProviderRefused),
        (415, ProviderRefused),
        (422, ProviderRefused),
        (429, ProviderRateLimited),
        (408, ProviderTimedOut),
        (504, ProviderTimedOut),
        (524, ProviderTimedOut),
        (401, ProviderUnavailable),
        (402, ProviderUnavailable),
        (403, ProviderUnavailable),
        (404, ProviderUnavailable),
        (301, ProviderUnavailable),
        (405, ProviderUnavailable),
        (418, ProviderUnavailable),
        (500, ProviderUnavailable),
        (502, ProviderUnavailable),
        (503, ProviderUnavailable),
        (529, ProviderUnavailable),
    ],
)
def test_error_class_follows_from_the_status(status: int, kind: type[ProviderError]) -> None:
    error = error_of(status, openai("something"))
    assert type(error) is kind
    assert (error.provider, error.status, error.retry_after_s) == ("acme", status, 7)
    assert str(error) == ("something" if kind is ProviderRefused else GENERIC)


def test_provider_message_is_shown_when_the_client_can_fix_the_error() -> None:
    body = openai("This model's maximum context length is 8192 tokens.", code="context_length")
    error = error_of(400, body)
    assert str(error) == body["error"]["message"]
    assert error.provider_code == "context_length"
    assert json.loads(error.raw or "") == body


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_provider_message_is_hidden_when_the_gateway_s_key_is_rejected(status: int) -> None:
    error = error_of(status, openai("no: sk-proj-abc***xyz", code="sk-proj-abc", type="sk-proj"))
    assert str(error) == GENERIC
    assert (error.raw, error.provider_code, error.status) == (None, None, status)


# Errors about the gateway's key as providers send them, plain or in streams.
ABOUT_THE_KEY = [
    (400, {"code": "bad argument", "error": "Incorrect API key provided: xa***Yz. You can …"}),
    (400, {"error": "Incorrect%20API%20key%20provided:%20ba***na."}),
    (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]),
    (400, openai("bad", details=[{"reason": "API_KEY_INVALID"}])),
    (429, openai("You exceeded your limit, please check your plan and billing details.")),
    (429, openai("Your account org-1<ak-1> is suspended due to insufficient balance")),
    (500, openai("upstream said 401: Invalid API Key")),
    (503, {"headers": {"Authorization": "Bearer abcdef"}}),
    (500, b"<html>key sk-ant-REDACTED is wrong</html>"),
    (400, b"x" * 5000 + b" your api key: ****1234 is invalid"),
    (None, openai("Incorrect API key provided", code="invalid_api_key")),
    (None, {"type": "authentication_error", "message": "invalid x-api-key"}),
    (None, {"code": 401, "message": "no: key abc***xyz"}),
    (None, {"code": "403", "message": "no: key abc***xyz"}),
    (None, "Authentication Fails, Your api key: ****1234 is invalid"),
]


@pytest.mark.parametrize(("status", "body"), ABOUT_THE_KEY)
def test_provider_message_about_the_gateway_s_key_is_hidden_whatever_its_status(
    status: int | None, body: Any
) -> None:
    error = provider_error("acme", body) if status is None else error_of(status, body)
    assert str(error) == GENERIC
    assert (error.raw, error.provider_code) == (None, None)
    # The client cannot fix this, so the error does not blame its request.
    assert type(error) is (ProviderRateLimited if status == 429 else ProviderUnavailable)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid schema for function 'get_api_key': …",
        "Rate limit reached for requests per minute",
        "the authentication tool needs parameters",
    ],
)
def test_provider_message_is_shown_when_it_only_resembles_a_key_error(message: str) -> None:
    assert str(error_of(400, openai(message))) == message


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "m", "code": "c", "type": "t"}}, "m", "c"),
        ({"error": {"message": "m", "code": None, "type": "t"}}, "m", "t"),
        ({"error": {"message": "m", "code": 400}}, "m", "400"),
        ({"error": {"message": "m", "code": True}}, "m", None),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, "m", "400"),
        ({"error": "m"}, "m", None),
        ({"error": None, "message": "m"}, "m", None),
        ("m", "m", None),
        ([{"error": {"message": "m", "code": 400, "status": "INVALID"}}], "m", "400"),
        ({"error": {"message": 5}}, "5", None),
        ({"error": {"message": {"a": 1}}}, GENERIC, None),
        ({"error": {"message": ""}}, GENERIC, None),
        ({"detail": [{"msg": "m", "loc": ["body"]}]}, "m", None),
        ({"detail": "m"}, "m", None),
        ({"base_resp": {"status_code": 2013, "status_msg": "m"}}, "m", "2013"),
        ({"error_code": 336003, "error_msg": "m"}, "m", "336003"),
        ({"code": "1210", "msg": "m"}, "m", "1210"),
        ({"errors": [{"code": 5006, "message": "m"}], "success": False}, "m", "5006"),
        ({"fault": {"faultstring": "m", "detail": {"errorcode": "c"}}}, "m", None),
        ({"type": "about:blank", "title": "m", "status": 400}, "m", "about:blank"),
        ({"error": [["m"]]}, GENERIC, None),
        (b"<html>Bad</html>", "<html>Bad</html>", None),
        (b"\xff\xfe", "\ufffd\ufffd", None),
        (b"", GENERIC, None),
        (b"null", GENERIC, None),
        (b"[]", GENERIC, None),
        (b"5", "5", None),
        (b"{}", GENERIC, None),
    ],
)
def test_error_is_read_in_any_shape(body: Any, message: str, code: str | None) -> None:
    error = error_of(400, body)
    assert (str(error), error.provider_code) == (message, code)


def test_empty_body_is_not_recorded() -> None:
    assert error_of(500, b"").raw is None


@pytest.mark.parametrize(
    ("status", "kind", "codes"),
    [
        (429, ProviderRateLimited, [429, "429"]),
        (400, ProviderRefused, [400]),
        (504, ProviderTimedOut, [504]),
        (None, ProviderUnavailable, ["some_limit", 20001, 200, -5, None, True, 429.0]),
        # Digits that `int` or HTTP does not accept.
        (None, ProviderUnavailable, ["²", "٤٢٩", "4" * 5000, 10**4000]),
    ],
)
def test_stream_error_has_a_status_only_if_its_code_is_one(
    status: int | None, kind: type[ProviderError], codes: list[object]
) -> None:
    for code in codes:
        error = provider_error("acme", {"message": "m", "code": code})
        assert (error.status, type(error)) == (status, kind)
        assert len(error.provider_code or "") <= 64


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (429, ProviderRateLimited, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "m"}}),
        (429, ProviderRateLimited, {"error": {"code": "rate_limit_exceeded", "message": "m"}}),
        (429, ProviderRateLimited, {"error": {"type": "rate_limit_error", "message": "m"}}),
        (429, ProviderRateLimited, {"error": "slow down", "code": 429}),
        (429, ProviderRateLimited, {"base_resp": {"status_code": 1002, "status_msg": "m"}}),
        (429, ProviderRateLimited, {"error_code": 18, "error_msg": "m"}),
        (429, ProviderRateLimited, {"error": {"code": "1302", "message": "m"}}),
        (429, ProviderRateLimited, {"__type": "aws#ThrottlingException", "message": "m"}),
        (400, ProviderRefused, {"type": "BadRequestError", "message": "m"}),
        (400, ProviderRefused, {"error": {"status": "INVALID_ARGUMENT", "message": "m"}}),
        (503, ProviderUnavailable, {"error": {"type": "overloaded_error", "message": "m"}}),
        (504, ProviderTimedOut, {"error": {"status": "DEADLINE_EXCEEDED", "message": "m"}}),
    ],
)
def test_code_within_the_body_chooses_the_class_when_no_status_does(
    status: int, kind: type[ProviderError], body: Any
) -> None:
    error = provider_error("acme", body)
    assert (error.status, type(error)) == (status, kind)
    assert error.raw is not None


@pytest.mark.parametrize(
    "body",
    [
        {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        {"base_resp": {"status_code": 1004, "status_msg": "login fail"}},
        {"error": {"code": "1113", "message": "your account is in arrears"}},
        {"error": {"status": "PERMISSION_DENIED", "message": "project 12 has no access"}},
        {"error_code": 110, "error_msg": "Access token invalid"},
    ],
)
def test_code_about_the_gateway_s_key_or_balance_hides_the_text(body: Any) -> None:
    error = provider_error("acme", body)
    assert (type(error), str(error)) == (ProviderUnavailable, GENERIC)
    assert (error.raw, error.provider_code) == (None, None)


def test_long_texts_are_cut() -> None:
    error = error_of(400, openai("m" * 9000, code="c" * 9000))
    assert len(str(error)) == 500
    assert len(error.provider_code or "") == 64
    assert len(error.raw or "") == RAW_MAX_CHARS


@pytest.mark.parametrize("depth", [500, 980, 9999])
def test_deeply_nested_error_is_read(depth: int) -> None:
    body = b'{"error":{"message":"m","x":%b%b}}' % (b"[" * depth, b"]" * depth)
    assert isinstance(error_of(400, body), ProviderRefused)
    deep: list[Any] = []
    for _ in range(depth):
        deep = [deep]
    assert isinstance(
        provider_error("acme", {"code": 400, "message": "m", "x": deep}), ProviderRefused
    )


def test_gateway_s_key_is_hidden_in_an_error_too_deep_to_read() -> None:
    deep: list[Any] = []
    for _ in range(9999):
        deep = [deep]
    message = "Incorrect API key provided: xa***Yz"
    assert str(provider_error("acme", {"code": 400, "message": message, "x": deep})) == GENERIC


@given(st.integers(100, 599), st.binary(max_size=60), chat.JUNK)
def test_arbitrary_error_bodies_do_not_crash_the_reader(
    status: int, noise: bytes, junk: Any
) -> None:
    bodies: list[Any] = [noise, junk, {"error": junk}, [junk], {"error": {"message": junk}}]
    for body in bodies:
        error = error_of(status, body)
        assert str(error)
        assert error.status == status
        assert len(error.raw or "") <= RAW_MAX_CHARS
        assert isinstance(provider_error("acme", {"code": junk, "error": junk}), ProviderError)
