"""What programs read of a refusal: `error.metadata`, in OpenRouter's words where it has some.

`limit_source` says whose limit it was, `reason` which case of it, `remedy_hint` what to do. Clients
that match OpenRouter's own `openrouter_…` values get them by a setting of the prefix.
"""

from collections.abc import Callable

from modelgates_server.core import errors as e
from modelgates_server.core.errors import GatewayError, Shortfall
from modelgates_server.core.times import format_instant
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.web.api.amounts import number
from modelgates_server.web.errors import describe
from modelgates_server.web.head import Headers

Metadata = dict[str, object]

_ADD_CREDITS = "Add credits, or lower max_tokens / prompt size to fit your remaining balance."
_OVERLOADED = (503, 529)


class ErrorResponses:
    """Describes refusals; `limit_source_prefix` is `modelgates` or what clients match on."""

    def __init__(self, limit_source_prefix: str = "modelgates") -> None:
        self._prefix = limit_source_prefix
        self._metadata: list[tuple[type[GatewayError], Callable[..., Metadata]]] = [
            (e.InsufficientCredits, self._credits),
            (e.MaxCostExceeded, self._max_cost),
            (e.KeyLimitExceeded, self._key_limit),
            (e.ProviderError, _provider),
        ]

    def describe(self, error: Exception) -> tuple[int, str, Headers, Metadata | None]:
        """Status, message, additional headers and metadata."""
        status, message, headers = describe(error)
        if isinstance(error, e.ProviderUnavailable) and error.status in _OVERLOADED:
            status = 503
        if isinstance(error, GatewayError) and error.generation_id is not None:
            headers = [*headers, (b"x-generation-id", error.generation_id.encode())]
        for kind, metadata in self._metadata:
            if isinstance(error, kind):
                return status, message, headers, metadata(error)
        return status, message, headers, None

    def report(self, error: Exception) -> ErrorReport:
        """The same without headers, for an answer whose head is out."""
        status, message, headers, metadata = self.describe(error)
        retry_after = dict(headers).get(b"retry-after")
        retry_after_s = None if retry_after is None else int(retry_after)
        return ErrorReport(status, message, metadata, retry_after_s)

    def _credits(self, error: e.InsufficientCredits) -> Metadata:
        in_flight = error.retry_after_s is not None
        hint = _ADD_CREDITS
        if in_flight:
            hint = "Retry after your in-flight requests settle (see the Retry-After header)."
        source = "in_flight_budget" if in_flight else "credits"
        return {
            "error_type": "payment_required",
            "provider_name": None,
            "limit_source": f"{self._prefix}_{source}",
            "reason": error.reason,
            "remedy_hint": hint,
            **_arithmetic(error.shortfall),
        }

    def _max_cost(self, error: e.MaxCostExceeded) -> Metadata:
        return {
            "error_type": "payment_required",
            "provider_name": None,
            "limit_source": f"{self._prefix}_max_cost",
            "reason": "max_cost_exceeded",
            "remedy_hint": "Lower max_tokens, or raise the header X-ModelGates-Max-Cost.",
            **_arithmetic(error.shortfall),
        }

    def _key_limit(self, error: e.KeyLimitExceeded) -> Metadata:
        resets_at_ms = error.resets_at_ms
        return {
            "error_type": "permission_denied",
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
    if error.code is not None:
        metadata["provider_code"] = error.code
    if error.retry_after_s is not None:
        metadata["retry_after_seconds"] = error.retry_after_s
    if isinstance(error, e.ProviderRateLimited):
        metadata["limit_source"] = "upstream_provider_shared_pool"
        metadata["remedy_hint"] = "Retry later; the provider limits all calls of this gateway."
    return metadata


def _error_type(error: e.ProviderError) -> str:
    if isinstance(error, e.ProviderRefused):
        return "invalid_request"
    if isinstance(error, e.ProviderRateLimited):
        return "rate_limit_exceeded"
    if isinstance(error, e.ProviderTimedOut):
        return "timeout"
    return "provider_overloaded" if error.status in _OVERLOADED else "provider_unavailable"
