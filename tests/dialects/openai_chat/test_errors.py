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


def refusal(status: int, body: Any) -> ProviderError:
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
def test_a_status_says_whose_fault_it_was(status: int, kind: type[ProviderError]) -> None:
    error = refusal(status, openai("something"))
    assert type(error) is kind
    assert (error.provider, error.status, error.retry_after_s) == ("acme", status, 7)
    assert str(error) == ("something" if kind is ProviderRefused else GENERIC)


def test_a_client_reads_the_provider_s_reason_for_what_it_can_mend() -> None:
    body = openai("This model's maximum context length is 8192 tokens.", code="context_length")
    error = refusal(400, body)
    assert str(error) == body["error"]["message"]
    assert error.provider_code == "context_length"
    assert json.loads(error.raw or "") == body


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_what_a_provider_says_about_our_key_is_shown_to_nobody(status: int) -> None:
    error = refusal(status, openai("no: sk-proj-abc***xyz", code="sk-proj-abc", type="sk-proj"))
    assert str(error) == GENERIC
    assert (error.raw, error.provider_code, error.status) == (None, None, status)


# As these providers say it, or in streams of theirs.
ABOUT_US = [
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


@pytest.mark.parametrize(("status", "body"), ABOUT_US)
def test_nor_is_it_where_the_status_does_not_tell(status: int | None, body: Any) -> None:
    error = provider_error("acme", body) if status is None else refusal(status, body)
    assert str(error) == GENERIC
    assert (error.raw, error.provider_code) == (None, None)
    # A client can mend nothing, so it is not told that its request was wrong.
    assert type(error) is (ProviderRateLimited if status == 429 else ProviderUnavailable)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid schema for function 'get_api_key': …",
        "Rate limit reached for requests per minute",
        "the authentication tool needs parameters",
    ],
)
def test_words_that_only_sound_like_our_key_hide_no_reason(message: str) -> None:
    assert str(refusal(400, openai(message))) == message


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
        ({"detail": [{"msg": "m"}]}, GENERIC, None),
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
def test_an_error_is_understood_in_whatever_shape(
    body: Any, message: str, code: str | None
) -> None:
    error = refusal(400, body)
    assert (str(error), error.provider_code) == (message, code)


def test_an_empty_body_leaves_no_empty_text() -> None:
    assert refusal(500, b"").raw is None


@pytest.mark.parametrize(
    ("status", "kind", "codes"),
    [
        (429, ProviderRateLimited, [429, "429"]),
        (400, ProviderRefused, [400]),
        (504, ProviderTimedOut, [504]),
        (None, ProviderUnavailable, ["rate_limit_exceeded", 20001, 200, -5, None, True, 429.0]),
        # Digits, but none that `int` or HTTP knows.
        (None, ProviderUnavailable, ["²", "٤٢٩", "4" * 5000, 10**4000]),
    ],
)
def test_a_stream_s_error_has_its_status_in_its_code_or_none(
    status: int | None, kind: type[ProviderError], codes: list[object]
) -> None:
    for code in codes:
        error = provider_error("acme", {"message": "m", "code": code})
        assert (error.status, type(error)) == (status, kind)
        assert len(error.provider_code or "") <= 64


def test_long_texts_are_cut_short() -> None:
    error = refusal(400, openai("m" * 9000, code="c" * 9000))
    assert len(str(error)) == 500
    assert len(error.provider_code or "") == 64
    assert len(error.raw or "") == RAW_MAX_CHARS


@pytest.mark.parametrize("depth", [500, 980, 9999])
def test_an_error_that_is_nested_without_end_breaks_nothing(depth: int) -> None:
    body = b'{"error":{"message":"m","x":%b%b}}' % (b"[" * depth, b"]" * depth)
    assert isinstance(refusal(400, body), ProviderRefused)
    deep: list[Any] = []
    for _ in range(depth):
        deep = [deep]
    assert isinstance(
        provider_error("acme", {"code": 400, "message": "m", "x": deep}), ProviderRefused
    )


def test_our_key_is_not_shown_from_an_error_that_is_too_deep_to_be_read_whole() -> None:
    deep: list[Any] = []
    for _ in range(9999):
        deep = [deep]
    message = "Incorrect API key provided: xa***Yz"
    assert str(provider_error("acme", {"code": 400, "message": message, "x": deep})) == GENERIC


@given(st.integers(100, 599), st.binary(max_size=60), chat.JUNK)
def test_no_refusal_whatsoever_breaks_the_reader(status: int, noise: bytes, junk: Any) -> None:
    bodies: list[Any] = [noise, junk, {"error": junk}, [junk], {"error": {"message": junk}}]
    for body in bodies:
        error = refusal(status, body)
        assert str(error)
        assert error.status == status
        assert len(error.raw or "") <= RAW_MAX_CHARS
        assert isinstance(provider_error("acme", {"code": junk, "error": junk}), ProviderError)
