"""Every refusal's HTTP status and headers. Its body has the form of the route's dialect."""

from collections.abc import Sequence

from modelgates_server.core import errors as e
from modelgates_server.web.head import Headers

STATUS: dict[type[e.GatewayError], int] = {
    e.InvalidInput: 400,
    e.InvalidAmount: 400,
    e.ReferenceReused: 422,
    e.UnknownModel: 400,
    e.MissingKey: 401,
    e.UnknownKey: 401,
    e.KeyDisabled: 401,
    e.KeyExpired: 401,
    e.NotPermitted: 403,
    e.AccountNotFound: 404,
    e.KeyNotFound: 404,
    e.HoldNotFound: 404,
    e.GenerationNotFound: 404,
    e.ModelNotFound: 404,
    e.NoEndpoint: 404,
    e.AccountExists: 409,
    e.AccountClosed: 409,
    e.AccountNotEmpty: 409,
    e.HoldEnded: 409,
    e.HoldNotExpired: 409,
    e.TotalTooLarge: 409,
    e.CallInProgress: 409,
    e.CallEnded: 409,
    e.CreatedKeyDeleted: 409,
    e.InsufficientCredits: 402,
    e.MaxCostExceeded: 402,
    e.KeyLimitExceeded: 403,
    e.ProviderRefused: 400,
    e.ProviderRateLimited: 429,
    e.ProviderUnavailable: 502,
    e.ProviderTimedOut: 504,
    e.PriceNotFound: 503,
    e.Stopping: 503,
    e.StoreUnavailable: 503,
}

INTERNAL = "Internal Server Error"
_RETRY_AFTER_S = b"1"
_NO_RETRY = (b"x-should-retry", b"false")
_REALM = b'Bearer realm="ModelGates"'


class HttpError(Exception):
    """A refusal that only HTTP knows: wrong verb, path, media type or size."""

    def __init__(self, status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()):
        super().__init__(message)
        self.status = status
        self.headers = list(headers)


def describe(error: Exception) -> tuple[int, str, Headers]:
    """Status, message and additional headers of a refusal; anything unknown is a bare 500.

    What programs read besides is in `web.error_responses`.
    """
    if isinstance(error, HttpError):
        return error.status, str(error), error.headers
    if not isinstance(error, e.GatewayError):
        return 500, INTERNAL, []
    status = STATUS[type(error)]
    if isinstance(error, e.StoreUnavailable):
        # Its text names files and is for the log.
        return 503, "Service temporarily unavailable", [(b"retry-after", _RETRY_AFTER_S)]
    return status, str(error), [*_challenge(error, status), *_retrying(error)]


def _retrying(error: e.GatewayError) -> Headers:
    """Whether and when to try again; `x-should-retry` is what OpenAI's clients obey."""
    final = e.MaxCostExceeded | e.KeyLimitExceeded | e.CallEnded | e.CreatedKeyDeleted
    if isinstance(error, final):
        return [_NO_RETRY]
    if isinstance(error, e.CallInProgress | e.Stopping):
        return [(b"retry-after", _RETRY_AFTER_S)]
    if isinstance(error, e.InsufficientCredits | e.ProviderError):
        if error.retry_after_s is not None:
            return [(b"retry-after", b"%d" % error.retry_after_s)]
        if isinstance(error, e.InsufficientCredits):
            return [_NO_RETRY]
    return []


def _challenge(error: e.GatewayError, status: int) -> Headers:
    """`WWW-Authenticate` by RFC 6750 section 3: no error code when no credentials came."""
    if isinstance(error, e.MissingKey):
        return [(b"www-authenticate", _REALM)]
    if status == 401:  # noqa: PLR2004 - a status is its own name
        return [(b"www-authenticate", _REALM + b', error="invalid_token"')]
    if isinstance(error, e.NotPermitted):
        return [(b"www-authenticate", _REALM + b', error="insufficient_scope"')]
    return []
