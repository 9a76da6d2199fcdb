"""Why an attempt at a provider failed, in words for the operator: causes that differ in remedy."""

from enum import StrEnum


class ProviderCause(StrEnum):
    """A cause. Metrics and log lines name it; `telemetry.provider_advice` has its remedy."""

    KEY_REJECTED = "key_rejected"
    PAYMENT_REQUIRED = "payment_required"
    NOT_PERMITTED = "not_permitted"
    NOT_FOUND = "not_found"
    REQUEST_REJECTED = "request_rejected"
    RATE_LIMITED = "rate_limited"
    PROVIDER_FAILED = "provider_failed"
    REDIRECTED = "redirected"
    NAME_NOT_FOUND = "name_not_found"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_FAILED = "connection_failed"
    CONNECTION_LOST = "connection_lost"
    TLS_FAILED = "tls_failed"
    PROXY_FAILED = "proxy_failed"
    CONNECT_TIMED_OUT = "connect_timed_out"
    TIMED_OUT = "timed_out"
    INVALID_RESPONSE = "invalid_response"
