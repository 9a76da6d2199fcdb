"""Errors in OpenAI's form: `{"error": {"message", "type", "code", "param", "metadata"?}}`.

A lack of credits is 429 with `insufficient_quota`, as at OpenAI: Codex sends a request that gets
402, 403 or 404 six times, and stops at once for these codes. The same is true of the limits of a
key and of a call, which no repeat can lift. Credits that other calls still hold come back, so that
is a limit of the rate. Sources: OpenAI's guide "Error codes", and requests of Codex 0.171.
"""

from typing import Any

import msgspec

from modelgates_server.core.errors import ProviderBody, ProviderError
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.openai_chat.errors import provider_error_of_body

NAME = "openai-responses"

_NO_CREDITS = "insufficient_quota"
_CREDIT_CODES = frozenset({"insufficient_credits", "max_cost_exceeded", "key_limit_exceeded"})
_RATE_LIMITED = "rate_limit_exceeded"
_IN_FLIGHT = "in_flight_budget_exhausted"
_CODES = {
    **dict.fromkeys(_CREDIT_CODES, _NO_CREDITS),
    "unknown_model": "model_not_found",
    "model_not_found": "model_not_found",
    "unauthenticated": "invalid_api_key",
    "unknown_key": "invalid_api_key",
    "missing_key": "invalid_api_key",
    "provider_rate_limited": _RATE_LIMITED,
}
"""OpenAI's codes, which clients match on; any other error has the gateway's own code."""

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
_TYPES_OF_CODES = {_NO_CREDITS: _NO_CREDITS, _RATE_LIMITED: "rate_limit_error"}
_SERVER_ERROR = "server_error"
_NO_CREDITS_STATUS = 429


def error_object(error: ErrorReport) -> dict[str, Any]:
    """`error` in OpenAI's form."""
    metadata = dict(error.metadata or {})
    if error.retry_after_s is not None:
        metadata["retry_after_seconds"] = error.retry_after_s
    code = _code(error)
    members: dict[str, Any] = {
        "message": error.message,
        "type": _TYPES_OF_CODES.get(code or "") or _TYPES.get(error.status, _SERVER_ERROR),
        "code": code or error.code,
        "param": None,
    }
    return {**members, "metadata": metadata} if metadata else members


def _code(error: ErrorReport) -> str | None:
    """OpenAI's code for an error, if it has one."""
    if error.metadata is not None and error.metadata.get("reason") == _IN_FLIGHT:
        return _RATE_LIMITED
    return _CODES.get(error.code or "")


def error_body(error: ErrorReport, user_id: str | None) -> bytes:
    """The body of an error response: the provider's own if it is in this form."""
    if error.sent is not None and error.sent.dialect == NAME:
        return error.sent.body
    body: dict[str, Any] = {"error": error_object(error)}
    return msgspec.json.encode(body if user_id is None else {**body, "user_id": user_id})


def status(error: ErrorReport) -> int:
    """The status that makes clients stop at once if a repeat cannot help."""
    if error.sent is not None and error.sent.dialect == NAME:
        return error.sent.status
    return _NO_CREDITS_STATUS if error.code in _CREDIT_CODES else error.status


def failure(error: ErrorReport) -> dict[str, Any]:
    """`error` of a failed response. Clients repeat the call unless they know the code."""
    code = _code(error)
    if code is None:
        is_ours = error.status < 500 and error.code is not None  # noqa: PLR2004
        code = "invalid_prompt" if is_ours else _SERVER_ERROR
    return {"code": code, "message": error.message}


def response_error_of_body(
    provider: str, status_code: int, body: bytes, retry_after_s: int | None
) -> ProviderError:
    """The error of a response whose status is not 200; clients may see it unless it is hidden."""
    error = provider_error_of_body(provider, status_code, body, retry_after_s)
    if error.account_text is None:
        error.sent = ProviderBody(NAME, status_code, body)
    return error
