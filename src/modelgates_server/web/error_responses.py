"""`error.metadata`, the machine-readable part of an error, with OpenRouter's values where they fit.

`limit_source` names the limit, `reason` the case, `remedy_hint` what to do. A setting changes the
prefix of `limit_source` for clients that match OpenRouter's `openrouter_…` values.
"""

from collections.abc import Callable

import msgspec

from modelgates_server.core import errors as e
from modelgates_server.core.errors import GatewayError, Shortfall
from modelgates_server.core.times import format_instant
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.web.api.amounts import number
from modelgates_server.web.errors import describe, look_up
from modelgates_server.web.head import Headers

Metadata = dict[str, object]

replace = msgspec.structs.replace

_ADD_CREDITS = "Add credits, or lower max_tokens / prompt size to fit your remaining balance."
_OVERLOADED = (503, 529)

_ERROR_TYPES = {
    "unauthenticated": "authentication",
    "insufficient_credits": "payment_required",
    "max_cost_exceeded": "payment_required",
    "key_limit_exceeded": "permission_denied",
    "provider_refused": "invalid_request",
    "provider_rate_limited": "rate_limit_exceeded",
    "provider_timed_out": "timeout",
    "server_stopping": "server",
    "database_unavailable": "server",
    "disk_full": "server",
}
"""OpenRouter's `error_type` for an error code, where its clients match on one."""


class ErrorResponses:
    """Describes errors; `limit_source_prefix` is `modelgates` or whatever clients match on."""

    def __init__(self, limit_source_prefix: str = "modelgates") -> None:
        self._prefix = limit_source_prefix
        self._metadata: dict[str, Callable[..., Metadata | None]] = {
            e.InsufficientCredits.code: self._credits,
            e.MaxCostExceeded.code: self._max_cost,
            e.KeyLimitExceeded.code: self._key_limit,
            e.ProviderError.code: _provider,
            e.Unauthenticated.code: _unauthenticated,
        }

    def describe(self, error: Exception) -> tuple[int, str, Headers, Metadata | None]:
        """The status, message, additional headers and metadata of an error."""
        status, message, headers = describe(error)
        if not isinstance(error, GatewayError):
            return status, message, headers, None
        if _is_overloaded(error):
            status = 503
        if error.generation_id is not None:
            headers = [*headers, (b"x-generation-id", error.generation_id.encode())]
        metadata = look_up(self._metadata, type(error))
        return status, message, headers, metadata and metadata(error)

    def response(
        self, error: Exception, request_id: str | None = None
    ) -> tuple[ErrorReport, Headers]:
        """The report and the additional headers of an error, for a dialect to write."""
        status, message, headers, metadata = self.describe(error)
        report = ErrorReport(
            status,
            message,
            metadata,
            code=error.code if isinstance(error, GatewayError) else None,
            sent=error.sent if isinstance(error, e.ProviderError) else None,
            request_id=request_id,
        )
        return report, headers

    def report(self, error: Exception, request_id: str | None = None) -> ErrorReport:
        """The same without headers, for a response whose head was sent.

        An error with a time to retry has metadata. It must have an `error_type`, otherwise
        OpenRouter's clients fail to parse the chunk.
        """
        report, headers = self.response(error, request_id)
        retry_after = dict(headers).get(b"retry-after")
        if retry_after is None:
            return report
        metadata = report.metadata or {"error_type": _error_type(error)}
        return replace(report, metadata=metadata, retry_after_s=int(retry_after))

    def _credits(self, error: e.InsufficientCredits) -> Metadata:
        in_flight = error.retry_after_s is not None
        hint = _ADD_CREDITS
        if in_flight:
            hint = "Retry after your in-flight requests settle (see the Retry-After header)."
        source = "in_flight_budget" if in_flight else "credits"
        return {
            "error_type": _error_type(error),
            "provider_name": None,
            "limit_source": f"{self._prefix}_{source}",
            "reason": error.reason,
            "remedy_hint": hint,
            **_arithmetic(error.shortfall),
        }

    def _max_cost(self, error: e.MaxCostExceeded) -> Metadata:
        return {
            "error_type": _error_type(error),
            "provider_name": None,
            "limit_source": f"{self._prefix}_max_cost",
            "reason": "max_cost_exceeded",
            "remedy_hint": "Lower max_tokens, or raise the X-ModelGates-Max-Cost header.",
            **_arithmetic(error.shortfall),
        }

    def _key_limit(self, error: e.KeyLimitExceeded) -> Metadata:
        resets_at_ms = error.resets_at_ms
        return {
            "error_type": _error_type(error),
            "limit_source": f"{self._prefix}_key_limit",
            "reason": "key_limit_exceeded",
            "remedy_hint": "Raise the limit of this key, or use another key.",
            "scope": "key_limit",
            "limit_usd": number(error.limit_pico),
            "spend_usd": number(error.spent_pico),
            "held_usd": number(error.held_pico),
            "requested_usd": number(error.asked_pico),
            "resets_at": None if resets_at_ms is None else format_instant(resets_at_ms),
        }


def _arithmetic(shortfall: Shortfall | None) -> Metadata:
    if shortfall is None:
        return {}
    return {
        "requested_usd": number(shortfall.asked_pico),
        "available_usd": number(shortfall.available_pico),
        "held_usd": number(shortfall.held_pico),
        "requested_tokens": shortfall.requested_tokens,
        "affordable_tokens": shortfall.affordable_tokens,
    }


def _provider(error: e.ProviderError) -> Metadata:
    metadata: Metadata = {
        "error_type": _error_type(error),
        "provider_name": error.provider,
        "is_byok": False,
    }
    if error.raw is not None:
        metadata["raw"] = error.raw
    if error.provider_code is not None:
        metadata["provider_code"] = error.provider_code
    if error.retry_after_s is not None:
        metadata["retry_after_seconds"] = error.retry_after_s
    if isinstance(error, e.ProviderRateLimited):
        metadata["limit_source"] = "upstream_provider_shared_pool"
        metadata["remedy_hint"] = (
            "Retry later: all calls of this gateway share the provider's limit."
        )
    return metadata


def _unauthenticated(error: e.Unauthenticated) -> Metadata | None:
    """The 401s that OpenRouter's clients know have no metadata, and need none."""
    if error.remedy_hint is None:
        return None
    return {"error_type": _error_type(error), "remedy_hint": error.remedy_hint}


def _error_type(error: Exception) -> str:
    """`metadata.error_type`: OpenRouter's value where it has one, otherwise the error code."""
    if not isinstance(error, GatewayError):
        return "server"
    if _is_overloaded(error):
        return "provider_overloaded"
    return look_up(_ERROR_TYPES, type(error)) or error.code


def _is_overloaded(error: GatewayError) -> bool:
    return isinstance(error, e.ProviderUnavailable) and error.status in _OVERLOADED
