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

RAW_MAX_CHARS = 2000
_MESSAGE_MAX_CHARS = 500
_CODE_MAX_CHARS = 64
_STATUS = re.compile(r"[45][0-9]{2}")

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

_HIDDEN_TEXT = re.compile(
    r"(?:valid|incorrect|wrong|expired|missing|your)[^\"']{1,16}api.{0,3}key"
    r"|api.{0,3}key[^\"']{1,24}(?:valid|incorrect|expired|not.found)|authentication.(?:error|fail)"
    r"|\bsk-[\w*]|\bbearer\b|insufficient.balance|billing.details",
    re.IGNORECASE,
)
"""The same, recognized by its text whatever the status: xAI and Gemini reject a key with 400,
OpenAI an unpaid one with 429, and errors in streams have no status."""

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
    body = error[0] if isinstance(error, list) and error else error  # Gemini's are in a list
    inner = (body.get("error") or body) if isinstance(body, dict) else body
    code = _text(inner, "code", _CODE_MAX_CHARS) or _text(inner, "type", _CODE_MAX_CHARS)
    status = _status_in(code) if status is None else status
    kind = ProviderUnavailable if status is None else _KINDS.get(status, ProviderUnavailable)
    reason = _text(inner, "message", _MESSAGE_MAX_CHARS)
    raw = _raw(error)
    if status in _HIDDEN_STATUSES or _HIDDEN_TEXT.search(raw or reason or ""):
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
    )


def _status_in(code: str | None) -> int | None:
    """The HTTP status that an error in a stream has as its code, if any."""
    return int(code) if code is not None and _STATUS.fullmatch(code) else None


def _text(error: Any, name: str, most: int) -> str | None:
    value = error.get(name) if isinstance(error, dict) else error if name == "message" else None
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
