"""Calls providers over HTTP with aiohttp. Dialects define the requests and responses."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from io import BytesIO
from typing import Any
from urllib.request import getproxies, proxy_bypass

import msgspec
from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)
from aiohttp.connector import Connection
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from modelgates_server import __version__
from modelgates_server.core.errors import (
    InvalidInput,
    ProviderError,
    ProviderTimedOut,
    ProviderUnavailable,
)
from modelgates_server.core.redaction import Redactor
from modelgates_server.dialects.body_form import BodyForm, body_form
from modelgates_server.providers.connector import Connector, always
from modelgates_server.providers.credentials import secrets_of
from modelgates_server.providers.network_causes import network_cause
from modelgates_server.providers.retry_after import retry_after_s
from modelgates_server.service.ports import NO_HEADERS, Clock, RequestHeaders

_KEEP_ALIVE_S = 4
"""Shorter than the 5 s after which uvicorn, Node and llama.cpp close an idle connection.

A request that is sent while the connection is being closed fails and is not sent again: the
provider may have started work, which would then be paid twice. RFC 9110, 9.2.2 forbids gateways to
repeat it for the same reason.
"""

_FIXED_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "transfer-encoding"}
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[!-~]+([ \t]+[!-~]+)*", re.ASCII)
_BROKEN = (ClientError, OSError)
_READABLE_ENCODINGS = frozenset({"gzip", "deflate", "br", "zstd"})
_NO_ENCODINGS = frozenset({"", "identity"})


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a provider; the paths of its dialect are relative to `base_url`.

    A key in `authorization` is sent as a bearer token, in any other header (Azure: `api-key`)
    without a prefix. `headers` are sent as well. Raises `InvalidInput`, which shows no values.
    """

    name: str
    base_url: str
    api_key: str | None
    api_key_header: str = "authorization"
    headers: Mapping[str, str] = {}
    # Allows for two lost packets, which are sent again after 1 and 3 s, and for the handshakes.
    connect_timeout_s: float = 5
    # From the request to the response headers. Without streaming that is all the time that the
    # model takes to think and write. OpenAI's own clients wait as long.
    first_byte_timeout_s: float = 600
    # Models can think for minutes after a stream's headers, and not all send comments meanwhile.
    idle_timeout_s: float = 300
    # Enough for the longest outputs (100,000 tokens) at 60 tokens per second.
    total_timeout_s: float = 1800

    def __post_init__(self) -> None:
        url = _url(self.base_url, "http", "https")
        if url is None or url.user or url.password:
            raise InvalidInput(
                f"{self.name}: `base_url` must be a URL such as https://host/v1, without a key."
            )
        if self.api_key is not None and not _HEADER_VALUE.fullmatch(self.api_key):
            raise InvalidInput(
                f"{self.name}: the key is empty or has characters that a header cannot have."
            )
        first_s, idle_s = self.first_byte_timeout_s, self.idle_timeout_s
        if min(self.connect_timeout_s, first_s, idle_s, self.total_timeout_s) <= 0:
            raise InvalidInput(f"{self.name}: timeouts must be more than 0 seconds.")
        self._check_headers()

    def _check_headers(self) -> None:
        for header in (*self.headers, self.api_key_header):
            if not _HEADER_NAME.fullmatch(header) or header.lower() in _FIXED_HEADERS:
                raise InvalidInput(
                    f"{self.name}: the header {header!r} cannot be set. Choose another."
                )
        for header, value in self.headers.items():
            if self.api_key is not None and header.lower() == self.api_key_header.lower():
                raise InvalidInput(
                    f"{self.name}: the header {header!r} already carries the key. Remove it."
                )
            if not _HEADER_VALUE.fullmatch(value):
                raise InvalidInput(
                    f"{self.name}: the value of the header {header!r} is empty or has characters "
                    "that a header cannot have."
                )

    def __repr__(self) -> str:
        return f"ProviderSettings(name={self.name!r}, …)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Limits what `rich` shows in a traceback to what `repr` shows."""
        return [("name", self.name)]


class HttpReply:
    """A response whose headers have arrived.

    A body without a length ends when its connection does. Then only its content shows whether it
    is complete.
    """

    def __init__(
        self,
        response: ClientResponse,
        settings: ProviderSettings,
        redactor: Redactor,
        clock: Clock,
    ) -> None:
        self._response = response
        self._name = settings.name
        self._redactor = redactor
        self._clock = clock
        self._encoding = response.headers.get("content-encoding", "").strip().lower()
        connection = response.connection
        if connection is not None:  # None: the whole body arrived with the headers
            self._watch(connection, settings.idle_timeout_s)

    @property
    def status(self) -> int:
        """HTTP status, redirects included."""
        return self._response.status

    @property
    def _url(text: str, *schemes: str) -> URL | None:
    """The URL in a text, or None if it cannot be called."""
    try:
        url = URL(text)
        (url.raw_host or "").encode("idna")  # fails here as it would in the address lookup
    except ValueError:
        return None
    return url if url.scheme in schemes and url.host else None


def _proxy_of(url: URL) -> URL | None:
    """The proxy for a URL according to `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`."""
    named = getproxies().get(url.scheme)
    if not named or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    proxy = _url(named if "://" in named else f"http://{named}", "http")
    if proxy is None:
        variable = f"{url.scheme.upper()}_PROXY"
        raise InvalidInput(
            f"The environment variable {variable} must be a URL such as http://host:port. "
            "Other kinds of proxies are not supported."
        )
    return proxy


def _failure(
    name: str, error: Exception, otherwise: str, status: int | None = None
) -> ProviderError:
    cause = network_cause(error)
    if isinstance(error, TimeoutError):
        text = f"The provider `{name}` did not respond in time."
        return ProviderTimedOut(text, provider=name, status=status, cause=cause)
    if isinstance(error, ClientConnectorError | ClientHttpProxyError):
        text = f"The provider `{name}` cannot be reached."
        return ProviderUnavailable(text, provider=name, cause=cause)
    return ProviderUnavailable(otherwise, provider=name, status=status, cause=cause)


def _for_logs(error: Exception, redactor: Redactor) -> Exception:
    """The text of an error without the error: aiohttp's errors hold the headers, with the key."""
    words: object = error
    # aiohttp's frames and errors refer to each other and to the request's body, which would stay in
    # memory until the garbage collector runs.
    fault: BaseException | None = error
    while fault is not None:
        fault.__traceback__ = None
        fault = fault.__cause__ or fault.__context__
    if isinstance(error, ClientResponseError):
        words = f"{error.status} {error.message}"
    return ConnectionError(f"{type(error).__name__}: {redactor.text(str(words))}")


def _retrieve_exception(closed: asyncio.Future[None]) -> None:
    """Keeps asyncio from logging an error of an idle connection."""
    closed.exception()
