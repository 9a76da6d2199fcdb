"""The secrets in a provider's settings, which none of its texts may show."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from yarl import URL

if TYPE_CHECKING:
    from modelgates_server.providers.http import ProviderSettings

_SECRET_NAME = re.compile(
    r"key|token|secret|auth|passw|credential|cookie|signature|(?:^|[-_])sig", re.IGNORECASE
)
_VALUE_MIN_CHARS = 12
"""Shorter values are words, such as a mode of authentication."""

_SCHEME = re.compile(r"(?:bearer|basic|token|apikey)\s+", re.IGNORECASE)


def secrets_of(settings: "ProviderSettings", base: URL, proxy: URL | None) -> Iterator[str]:
    """The key, and what headers, the address and the proxy's address have under a telling name."""
    if settings.api_key is not None:
        yield settings.api_key
    for name, value in (*settings.headers.items(), *base.query.items()):
        if len(value) >= _VALUE_MIN_CHARS and (_SECRET_NAME.search(name) or _SCHEME.match(value)):
            yield _SCHEME.sub("", value, count=1)
    if proxy is not None and proxy.password:
        yield proxy.password
