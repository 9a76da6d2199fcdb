"""Errors in Anthropic's form: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

Types and statuses: Anthropic's API reference, "Errors". OpenRouter adds `error_type`, and this
server `metadata`. A provider's own error passes unchanged, because clients match on its words.
"""

from typing import Any

import msgspec

from modelgates_server.core.errors import ProviderBody, ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.dialects.anthropic.usage import usage_object
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.event_stream import UNREADABLE, event_bytes
from modelgates_server.dialects.openai_chat.errors import provider_error, provider_error_of_body

NAME = "anthropic"

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OTHER = "api_error"


class _SentError(msgspec.Struct):
    type: str
    message: str


class _Sent(msgspec.Struct):
    type: str
    error: _SentError


_sent = msgspec.json.Decoder(_Sent)


def error_object(error: ErrorReport) -> dict[str, Any]:
    """`error` in Anthropic's form."""
    members: dict[str, Any] = {
        "type": _TYPES.get(error.status, _OTHER),
        "message": error.message,
    }
    metadata = dict(error.metadata or {})
    if error.retry_after_s is not None:
        metadata["retry_after_seconds"] = error.retry_after_s
    if "error_type" in metadata:
        members["error_type"] = metadata["error_type"]
    if metadata:
        members["metadata"] = metadata
    return members


def error_body(error: ErrorReport) -> bytes:
    """The body of an error response: the provider's own if it is in this form."""
    if error.sent is not None and error.sent.dialect == NAME:
        return error.sent.body
    body = {"type": "error", "error": error_object(error), "request_id": error.request_id}
    return msgspec.json.encode(body)


def status(error: ErrorReport) -> int:
    """The status of an error: the provider's own if its body is passed on."""
    if error.sent is not None and error.sent.dialect == NAME:
        return error.sent.status
    return error.status


def error_event(generation: Generation, error: ErrorReport) -> bytes:
    """The last event of a stream that failed, with what the call cost."""
    body = {
        "type": "error",
        "error": error_object(error),
        "request_id": error.request_id,
        "usage": usage_object(generation),
    }
    return event_bytes("error", msgspec.json.encode(body))


def message_error(provider: str, error: Any) -> ProviderError:
    """The error of an `error` event, or of a plain response with an error in it."""
    return provider_error(provider, error)


def message_error_of_body(
    provider: str, status_code: int, body: bytes, retry_after_s: int | None
) -> ProviderError:
    """The error of a response whose status is not 200; clients may see it unless it is hidden."""
    error = provider_error_of_body(provider, status_code, body, retry_after_s)
    if error.account_text is None and _is_of_this_form(body):
        error.sent = ProviderBody(NAME, status_code, body)
    return error


def _is_of_this_form(body: bytes) -> bool:
    """Whether an error is Anthropic's, and not that of a proxy on the way, such as a page."""
    try:
        return _sent.decode(body).type == "error"
    except UNREADABLE:
        return False
