"""Every refusal's way to the wire: one shape, one table of HTTP numbers.

Shape (seed specification, schema `UnauthorizedResponse` and its siblings):
`{"error": {"message", "code", "metadata"?}, "user_id"?}`; absent members are left out.
"""

from collections.abc import Sequence

import msgspec

from modelgates_server.core import errors as e
from modelgates_server.web.head import Headers

STATUS: dict[type[e.GatewayError], int] = {
    e.InvalidInput: 400,
    e.InvalidAmount: 400,
    e.ReferenceReused: 422,
    e.MissingKey: 401,
    e.UnknownKey: 401,
    e.KeyDisabled: 401,
    e.KeyExpired: 401,
    e.NotPermitted: 403,
    e.AccountNotFound: 404,
    e.KeyNotFound: 404,
    e.HoldNotFound: 404,
    e.AccountExists: 409,
    e.AccountClosed: 409,
    e.AccountNotEmpty: 409,
    e.HoldEnded: 409,
    e.HoldNotExpired: 409,
    e.TotalTooLarge: 409,
    e.InsufficientCredits: 402,
    e.KeyLimitExceeded: 403,
    e.StoreUnavailable: 503,
}

INTERNAL = "Internal Server Error"
_RETRY_AFTER_S = b"1"
_REALM = b'Bearer realm="ModelGates"'


class HttpRefusal(Exception):
    """A refusal that only HTTP knows: wrong verb, path, media type or size."""

    def __init__(self, status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()):
        super().__init__(message)
        self.status = status
        self.headers = list(headers)


class _Error(msgspec.Struct, omit_defaults=True):
    message: str
    code: int
    metadata: dict[str, object] | None = None


class _Body(msgspec.Struct, omit_defaults=True):
    error: _Error
    user_id: str | None = None


def error_body(status: int, message: str, user_id: str | None = None) -> bytes:
    """The JSON of a refusal."""
    return msgspec.json.encode(_Body(_Error(message, status), user_id))


def describe(error: Exception) -> tuple[int, str, Headers]:
    """Status, message and additional headers of a refusal; anything unknown is a bare 500."""
    if isinstance(error, HttpRefusal):
        return error.status, str(error), error.headers
    if not isinstance(error, e.GatewayError):
        return 500, INTERNAL, []
    status = STATUS[type(error)]
    if isinstance(error, e.StoreUnavailable):
        # Its text names files and is for the log.
        return 503, "Service temporarily unavailable", [(b"retry-after", _RETRY_AFTER_S)]
    return status, str(error), _challenge(error, status)


def _challenge(error: e.GatewayError, status: int) -> Headers:
    """`WWW-Authenticate` by RFC 6750 section 3: no error code when no credentials came."""
    if isinstance(error, e.MissingKey):
        return [(b"www-authenticate", _REALM)]
    if status == 401:  # noqa: PLR2004 - a status is its own name
        return [(b"www-authenticate", _REALM + b', error="invalid_token"')]
    if isinstance(error, e.NotPermitted):
        return [(b"www-authenticate", _REALM + b', error="insufficient_scope"')]
    return []
