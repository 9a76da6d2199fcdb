"""The time to wait that a provider's error states."""

from typing import Any

import pytest
from hypothesis import given

from modelgates_server.core.errors import RETRY_AFTER_MAX_S
from modelgates_server.dialects.openai_chat.errors import provider_error, provider_error_of_body
from modelgates_server.dialects.openai_chat.waits import wait_s
from tests.dialects.openai_chat.chat import JUNK

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def gemini(delay: Any) -> list[Any]:
    """https://github.com/AtomicBot-ai/atomic-agent/issues/106"""
    details = [{"@type": "…QuotaFailure"}, {"@type": RETRY_INFO, "retryDelay": delay}]
    return [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}}]


def sentence(text: str) -> dict[str, Any]:
    return {"error": {"message": text, "code": "rate_limit_exceeded"}}


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (gemini("39s"), 39),
        (gemini("45.837906927s"), 46),
        (gemini({"seconds": 39}), 39),
        (gemini({"seconds": "38", "nanos": 1}), 39),
        (gemini("0s"), 0),
        ({"error": {"metadata": {"retry_after_seconds": 7}}}, 7),
        ({"error": {"retry_after": "2.5"}}, 3),
        ({"error": {"message": "m"}, "retry_after_ms": 1200}, 2),
        ({"detail": "m", "retryAfter": "1m30s"}, 90),
        ({"headers": {"Retry-After": "12"}}, 12),
        ({"retry_after": 10**9}, RETRY_AFTER_MAX_S),
        # OpenAI, Groq, Gemini, Azure and Anthropic.
        (sentence("Rate limit reached … Limit 3, Used 3. Please try again in 20ms. Visit …"), 1),
        (sentence("Limit 6000, Used 5914. Please try again in 17.359s. Visit https://…"), 18),
        (sentence("Please try again in 1m0.363142857s. Visit …"), 61),
        (sentence("Please try again in 23m58.56s. Need more tokens?"), 1439),
        (sentence("Please try again in 9h38m1.5s."), RETRY_AFTER_MAX_S),
        (sentence("You exceeded your current quota.\nPlease retry in 45.837906927s."), 46),
        (sentence("Please retry after 26 seconds."), 26),
        (sentence("Try again in 1 minute and 5 seconds"), 65),
        ("over capacity, retry in 5s", 5),
        (sentence("Please try again in a few minutes"), None),
        (sentence("Please try again in 3 mornings"), None),
        (sentence("reduce your message size and try again. 30s is the limit"), None),
        (gemini("soon"), None),
        (gemini(None), None),
        ({"retry_after": True}, None),
        ({"retry_after": -1}, None),
        ({"retry_after": float("inf")}, None),
        (None, None),
        (b"", None),
    ],
)
def test_wait_is_read_from_the_error(error: Any, seconds: int | None) -> None:
    assert wait_s(error) == seconds


def test_header_overrides_the_wait_in_the_body() -> None:
    assert provider_error("acme", gemini("39s"), 429, 7).retry_after_s == 7
    assert provider_error("acme", gemini("39s"), 429).retry_after_s == 39


def test_rejected_request_has_no_wait() -> None:
    body = b'{"error":{"message":"Wait for 3s of audio, then retry in 3s"}}'
    assert provider_error_of_body("acme", 400, body).retry_after_s is None


def test_wait_is_kept_when_the_text_is_hidden() -> None:
    text = (
        "You exceeded your current quota, please check your plan and billing details. Retry in 9s."
    )
    error = provider_error("acme", sentence(text))
    assert (error.raw, error.retry_after_s) == (None, 9)


@given(JUNK)
def test_arbitrary_values_give_a_bounded_wait_or_none(junk: Any) -> None:
    for error in (junk, gemini(junk), {"retry_after": junk, "retry_after_ms": junk}):
        seconds = wait_s(error)
        assert seconds is None or 0 <= seconds <= RETRY_AFTER_MAX_S
