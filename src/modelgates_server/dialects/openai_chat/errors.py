"""Reads a provider's error. Clients see its text unless it is about the gateway's key."""

import re
from typing import Any

import msgspec

from modelgates_server.core.errors import (
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimedOut,
    ProviderUnavailable,
)
from modelgates_server.core.provider_causes import ProviderCause
from modelgates_server.dialects.openai_chat.error_statuses import status_of
from modelgates_server.dialects.openai_chat.waits import wait_s

RAW_MAX_CHARS = 2000
_SEARCHED_MAX_CHARS = 4 * RAW_MAX_CHARS
_MESSAGE_MAX_CHARS = 500
_CODE_MAX_CHARS = 64

_CODES = ("code", "error_code", "errorCode", "status_code", "statusCode", "type", "__type")
_REASONS = (
    *("message", "msg", "error_msg", "status_msg", "errorMessage", "error_message", "Message"),
    *("detail", "faultstring", "title", "error_description", "reason"),
)
_INNER = ("error", "errors", "fault", "base_resp", "detail")
"""Fields that contain the description of an error, or a list of them."""

_KINDS: dict[int, type[ProviderError]] = {
    400: ProviderRefused,
    413: ProviderRefused,
    415: ProviderRefused,
    422: ProviderRefused,
    429: ProviderRateLimited,
    408: ProviderTimedOut,
    504: ProviderTimedOut,
    524: ProviderTimedOut,
}
"""Any other status is a failure of the provider, or of the gateway's setup at the provider."""

_HIDDEN_STATUSES = frozenset({401, 402, 403, 404})
"""The provider rejects the gateway's key, balance or model name, which clients cannot fix."""

_HIDDEN_TEXTS = {
    ProviderCause.PAYMENT_REQUIRED: re.compile(
        r"insufficient.(?:balance|credit|quot)|billing.details|余额|欠费"
        # Anthropic rejects an unpaid account, or one at its own limit, with 400.
        r"|credit.balance.is.too.low|reached.your.specified.api.usage.limits",
        re.IGNORECASE,
    ),
    ProviderCause.KEY_REJECTED: re.compile(
        r"(?:valid|incorrect|wrong|expired|missing|your)[^\"']{1,16}api.{0,3}key"
        r"|api.{0,3}key[^\"']{1,24}(?:valid|incorrect|expired|not.found)"
        r"|authentication.(?:error|fail)|\bsk-[\w*]|\bbearer\b",
        re.IGNORECASE,
    ),
}
"""The same, recognized by its text whatever the status: xAI and Gemini reject a key with 400,
OpenAI an unpaid one with 429, and errors in streams have no status."""

_CAUSES = {
    400: ProviderCause.REQUEST_REJECTED,
    401: ProviderCause.KEY_REJECTED,
    402: ProviderCause.PAYMENT_REQUIRED,
    403: ProviderCause.NOT_PERMITTED,
    404: ProviderCause.NOT_FOUND,
    408: ProviderCause.TIMED_OUT,
    413: ProviderCause.REQUEST_REJECTED,
    415: ProviderCause.REQUEST_REJECTED,
    422: ProviderCause.REQUEST_REJECTED,
    429: ProviderCause.RATE_LIMITED,
    504: ProviderCause.TIMED_OUT,
    524: ProviderCause.TIMED_OUT,
    **dict.fromkeys(range(300, 400), ProviderCause.REDIRECTED),
}
"""Any other status is a failure of the provider."""

GENERIC = "Provider returned error"


def provider_error_of_body(
    provider: str, status: int, body: bytes, retry_after_s: int | None = None
) -> ProviderError:
    """The error of a response whose status is not 200."""
    try:
        error = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = body.decode("utf-8", "replace")
    return provider_error(provider, error, status, retry_after_s)


def provider_error(
    provider: str, error: Any, status: int | None = None, retry_after_s: int | None = None
) -> ProviderError:
    """The error of a body or a chunk in any shape: a text, an object, or `{"error": …}`."""
    body = _first(error)  # Gemini's are in a list
    inner = _inner(body)
    code = _first_text(inner, _CODES, _CODE_MAX_CHARS) or _first_text(body, _CODES, _CODE_MAX_CHARS)
    status = status_of(inner, body) if status is None else status
    kind = ProviderUnavailable if status is None else _KINDS.get(status, ProviderUnavailable)
    reason = _text(inner, _MESSAGE_MAX_CHARS)  # some errors are a bare text
    reason = reason or _first_text(inner, _REASONS, _MESSAGE_MAX_CHARS)
    if retry_after_s is None and kind is not ProviderRefused:
        retry_after_s = wait_s(error)
    raw = _raw(error)
    # All that is shown is searched: the texts below, and the beginning of `raw`.
    shown = f"{code} {reason} {raw}"[:_SEARCHED_MAX_CHARS]
    cause, is_hidden = _cause(status, shown)
    account_text = None
    if is_hidden:
        account_text = reason or raw
        if kind is ProviderRefused:
            kind = ProviderUnavailable
        code = reason = raw = None
    return kind(
        reason if kind is ProviderRefused and reason else GENERIC,
        provider=provider,
        status=status,
        provider_code=code,
        raw=raw[:RAW_MAX_CHARS] if raw else None,
        retry_after_s=retry_after_s,
        cause=cause,
        account_text=account_text and account_text[:_MESSAGE_MAX_CHARS],
    )


def _cause(status: int | None, shown: str) -> tuple[ProviderCause, bool]:
    """The cause, and whether it is about the operator's account, which clients must not see."""
    if status in _HIDDEN_STATUSES:
        return _CAUSES[status], True
    for cause, text in _HIDDEN_TEXTS.items():
        if text.search(shown):
            return cause, True
    known = None if status is None else _CAUSES.get(status)
    return known or ProviderCause.PROVIDER_FAILED, False


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _inner(body: Any) -> Any:
    """The part of an error's body that describes it: an object, or a text."""
    if not isinstance(body, dict):
        return body
    found = next((inner for name in _INNER if (inner := body.get(name))), body)
    return body if isinstance(found, bool) else _first(found)


def _first_text(error: Any, names: tuple[str, ...], most: int) -> str | None:
    """The first of these fields that has a text or a number."""
    if not isinstance(error, dict):
        return None
    return next((text for name in names if (text := _text(error.get(name), most))), None)


def _text(value: Any, most: int) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)[:most]
    return value[:most] if isinstance(value, str) and value else None


def _raw(error: Any) -> str | None:
    if isinstance(error, str):
        return error
    try:
        return msgspec.json.encode(error).decode()
    except RecursionError:
        return None
