"""What a provider's error becomes. Its own text goes along, but not where it concerns our key."""

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
"""All others are failures of the provider, or of what we and it have agreed on."""

_BETWEEN_US = frozenset({401, 402, 403, 404})
"""It refuses our key, our balance or our model's name: nothing a client can mend or should see."""

GENERIC = "Provider returned error"


def refusal_of(
    provider: str, status: int, body: bytes, retry_after_s: int | None = None
) -> ProviderError:
    """The error of an answer with a status that is not 200."""
    try:
        error = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = body.decode("utf-8", "replace")
    return error_of(provider, error, status, retry_after_s)


def error_of(
    provider: str, error: Any, status: int | None = None, retry_after_s: int | None = None
) -> ProviderError:
    """The error of a body or a chunk, in whatever shape: a text, an object, `{"error": …}`."""
    inner = error.get("error", error) if isinstance(error, dict) else error
    code = _text(inner, "code", _CODE_MAX_CHARS) or _text(inner, "type", _CODE_MAX_CHARS)
    if status is None:
        status = int(code) if code is not None and code.isdigit() else None
    kind = ProviderUnavailable if status is None else _KINDS.get(status, ProviderUnavailable)
    private = status in _BETWEEN_US
    reason = _text(inner, "message", _MESSAGE_MAX_CHARS)
    return kind(
        reason if kind is ProviderRefused and reason else GENERIC,
        provider=provider,
        status=status,
        code=None if private else code,
        raw=None if private else _raw(error),
        retry_after_s=retry_after_s,
    )


def _text(error: Any, name: str, most: int) -> str | None:
    value = error.get(name) if isinstance(error, dict) else error if name == "message" else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)[:most]
    return value[:most] if isinstance(value, str) and value else None


def _raw(error: Any) -> str:
    text = error if isinstance(error, str) else msgspec.json.encode(error).decode()
    return text[:RAW_MAX_CHARS]
