"""The HTTP status and headers of every error code. The route's dialect writes the body."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from modelgates_server.core.errors import DiskFull, GatewayError, StoreUnavailable
from modelgates_server.core.keys import without_keys
from modelgates_server.web.head import Headers

T = TypeVar("T")

STATUSES = {
    "internal_error": 500,
    "invalid_input": 400,
    "reference_reused": 422,
    "unauthenticated": 401,
    "not_permitted": 403,
    "not_found": 404,
    "generation_archived": 410,
    "conflict": 409,
    "insufficient_credits": 402,
    "max_cost_exceeded": 402,
    "key_limit_exceeded": 403,
    "provider_error": 502,
    "provider_refused": 400,
    "provider_rate_limited": 429,
    "provider_timed_out": 504,
    "price_not_found": 503,
    "server_stopping": 503,
    "database_unavailable": 503,
}
"""The status of an error code; an error without an entry has the status of its base class."""

_REALM = b'Bearer realm="ModelGates"'
_CHALLENGES = {
    "unauthenticated": _REALM + b', error="invalid_token"',
    "missing_key": _REALM,
    "not_permitted": _REALM + b', error="insufficient_scope"',
}
"""`WWW-Authenticate` by RFC 6750 section 3: no error code if the request has no credentials."""

_RETRY_SOON = (b"retry-after", b"1")
_NO_RETRY = (b"x-should-retry", b"false")
_RETRIES = {
    "call_in_progress": _RETRY_SOON,
    "server_stopping": _RETRY_SOON,
    "database_unavailable": _RETRY_SOON,
    "disk_full": (b"retry-after", b"30"),
    "call_ended": _NO_RETRY,
    "created_key_deleted": _NO_RETRY,
    "insufficient_credits": _NO_RETRY,
    "max_cost_exceeded": _NO_RETRY,
    "key_limit_exceeded": _NO_RETRY,
}
"""Whether to retry, for errors without a `retry_after_s`; OpenAI's clients obey both headers."""

INTERNAL = "Internal Server Error"
_DISK_FULL = (
    "The disk of this server is full or nearly full, so it saves nothing new. Calls that are "
    "running will end as usual. Retry later, or tell the operator of this server."
)


class HttpError(Exception):
    """An error of HTTP alone: method, path, media type or size."""

    def __init__(self, status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()):
        super().__init__(message)
        self.status = status
        self.headers = list(headers)


class UnknownPath(HttpError):
    """No route has the path. `web.app` adds what is offered, alike for every such path."""

    def __init__(self, headers: Sequence[tuple[bytes, bytes]] = ()):
        super().__init__(404, "Resource not found", headers)


def look_up(table: Mapping[str, T], error: type[GatewayError]) -> T | None:
    """The entry of a table of error codes for a class, or for its nearest ancestor with one."""
    for ancestor in error.__mro__:
        if issubclass(ancestor, GatewayError) and ancestor.code in table:
            return table[ancestor.code]
    return None


def status_of(error: type[GatewayError]) -> int:
    """The HTTP status of an error class."""
    status = look_up(STATUSES, error)
    assert status is not None, "the root of the tree has a status"
    return status


def describe(error: Exception) -> tuple[int, str, Headers]:
    """The status, message and additional headers of an error; an unknown error is a bare 500.

    `web.error_responses` adds the machine-readable metadata.
    """
    if isinstance(error, HttpError):
        return error.status, without_keys(str(error)), error.headers
    if not isinstance(error, GatewayError):
        return 500, INTERNAL, []
    message = without_keys(str(error))
    if isinstance(error, StoreUnavailable):
        # Its own text names files: only for the log.
        message = _DISK_FULL if isinstance(error, DiskFull) else "Service temporarily unavailable"
    return status_of(type(error)), message, _headers(error)


def _headers(error: GatewayError) -> Headers:
    headers = []
    if challenge := look_up(_CHALLENGES, type(error)):
        headers.append((b"www-authenticate", challenge))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    elif retry := look_up(_RETRIES, type(error)):
        headers.append(retry)
    return headers
