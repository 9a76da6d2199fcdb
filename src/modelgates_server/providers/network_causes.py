"""Why a request did not reach a provider, or its response did not arrive, by aiohttp's errors."""

import errno

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
    ClientSSLError,
    ConnectionTimeoutError,
)
from aiohttp.http_exceptions import ContentEncodingError

from modelgates_server.core.provider_causes import ProviderCause

_CAUSES: tuple[tuple[type[Exception], ProviderCause], ...] = (
    (ConnectionTimeoutError, ProviderCause.CONNECT_TIMED_OUT),
    (TimeoutError, ProviderCause.TIMED_OUT),
    (ClientProxyConnectionError, ProviderCause.PROXY_FAILED),
    (ClientHttpProxyError, ProviderCause.PROXY_FAILED),
    (ClientConnectorDNSError, ProviderCause.NAME_NOT_FOUND),
    (ClientSSLError, ProviderCause.TLS_FAILED),
)
"""The first class that an error belongs to decides: some derive from others."""


def network_cause(error: Exception) -> ProviderCause:
    """The cause of an error of a request or of a read."""
    for kind, cause in _CAUSES:
        if isinstance(error, kind):
            return cause
    if isinstance(error, ClientConnectorError):
        # With several addresses, the error of the last one may have no number.
        if error.os_error.errno == errno.ECONNREFUSED or "refused" in str(error.os_error).lower():
            return ProviderCause.CONNECTION_REFUSED
        return ProviderCause.CONNECTION_FAILED
    if isinstance(error.__cause__, ContentEncodingError):
        return ProviderCause.INVALID_RESPONSE
    return ProviderCause.CONNECTION_LOST
