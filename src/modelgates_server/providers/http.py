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
    def retry_after_s(self) -> int | None:
        """Seconds from `retry-after-ms` or `Retry-After`, 0 to 3600; None without a valid one."""
        headers = self._response.headers
        return retry_after_s(
            headers.get("retry-after-ms", ""), headers.get("retry-after", ""), self._clock()
        )

    @property
    def is_stream(self) -> bool:
        """Whether the content type is that of server-sent events."""
        return self._response.content_type == "text/event-stream"

    @property
    def is_compressed(self) -> bool:
        """Whether the body was compressed, which was not requested; `chunks` decompresses it."""
        return self._encoding in _READABLE_ENCODINGS

    async def read(self, limit_bytes: int) -> bytes:
        """See `ProviderReply`."""
        pieces, size = [], 0
        async for piece in self.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > limit_bytes:
                self.close()
                raise ProviderUnavailable(
                    f"The provider `{self._name}` sent a response of more than "
                    f"{limit_bytes} bytes.",
                    provider=self._name,
                    status=self.status,
                )
        # A server may quote the request's headers, and clients see an error's text.
        return self._redactor.data(b"".join(pieces))

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `ProviderReply`."""
        content = self._response.content
        try:
            if self._encoding not in _READABLE_ENCODINGS | _NO_ENCODINGS:
                piece = await content.readany()
                self._check_encoding(piece)
                if piece:
                    yield piece
            while piece := await content.readany():
                yield piece
        except (*_BROKEN, RuntimeError) as error:  # RuntimeError: lost before this read
            self.close()
            text = f"The provider `{self._name}` ended its response before it was complete."
            if isinstance(error.__cause__, ContentEncodingError):
                text = self._unreadable()
            failure = _failure(self._name, error, text, self.status)
            raise failure from _for_logs(error, self._redactor)

    def _check_encoding(self, head: bytes) -> None:
        """Raises `ProviderUnavailable` if a body with an unknown encoding is not text anyway.

        Some servers give their character set as the encoding.
        """
        if body_form(head) is BodyForm.OTHER:
            self.close()
            raise ProviderUnavailable(self._unreadable(), provider=self._name, status=self.status)

    def _unreadable(self) -> str:
        encoding = self._redactor.text(self._encoding)
        return (
            f"The provider `{self._name}` sent a response compressed with `{encoding:.40}`, which "
            "this server cannot read."
        )

    def close(self) -> None:
        """See `ProviderReply`; has no effect on a connection that is back in the pool."""
        # aiohttp would reuse one exception for all replies, and its traceback grows with each.
        self._response.content.set_exception(ClientConnectionError("closed by the gateway"))
        self._response.close()

    def _watch(self, connection: Connection, idle_timeout_s: float) -> None:
        protocol = connection.protocol
        assert protocol is not None, "a response that is not at its end has a connection"
        protocol.read_timeout = idle_timeout_s
        protocol.start_timeout()
        closed = protocol.closed
        if closed is None:
            return  # already lost; the next read notices
        # The connection outlives the reply. One of the two callbacks always waits for its end.
        closed.remove_done_callback(_retrieve_exception)
        closed.add_done_callback(self._lost)

        def released() -> None:
            closed.remove_done_callback(self._lost)
            closed.add_done_callback(_retrieve_exception)

        connection.add_callback(released)

    def _lost(self, _: asyncio.Future[None]) -> None:
        """End a read: aiohttp does not report malformed chunks or a closed session to readers."""
        content = self._response.content
        if not content.is_eof():
            content.set_exception(ClientConnectionError("the connection is lost"))


class HttpProvider:
    """A provider behind HTTP: one session and connection pool, opened on the first call."""

    def __init__(
        self,
        settings: ProviderSettings,
        clock: Clock,
        has_room: Callable[[int], bool] = always,
    ) -> None:
        """`has_room`: whether a file descriptor is left for a connection; see `Connector`."""
        self._settings = settings
        self._clock = clock
        self._has_room = has_room
        base = URL(settings.base_url)
        self._base = base
        self._urls: dict[str, URL] = {}
        self._proxy = _proxy_of(base)
        self.redactor = Redactor(secrets_of(settings, base, self._proxy))
        self._session: ClientSession | None = None

    async def send(self, path: str, body: bytes, headers: RequestHeaders = NO_HEADERS) -> HttpReply:
        """See `Provider`."""
        session = self._session or self._open()
        url = self._urls.get(path) or self._url_of(path)
        name = self._settings.name
        try:
            async with asyncio.timeout(self._settings.first_byte_timeout_s):
                response = await session.post(
                    url,
                    data=BytesIO(body),  # aiohttp warns about `bytes` above 1 MiB
                    headers=headers,
                    proxy=self._proxy,
                    allow_redirects=False,  # the key must not reach another host
                )
        except _BROKEN as error:
            text = f"The provider `{name}` closed the connection before it responded."
            raise _failure(name, error, text) from _for_logs(error, self.redactor)
        return HttpReply(response, self._settings, self.redactor, self._clock)

    async def close(self) -> None:
        """See `Provider`; running reads end with `ProviderUnavailable`."""
        if self._session is not None:
            await self._session.close()

    def _url_of(self, path: str) -> URL:
        url = self._urls[path] = (self._base / path).with_query(self._base.query)
        return url

    def _open(self) -> ClientSession:
        settings = self._settings
        headers = {
            "user-agent": f"ModelGates/{__version__}",
            "content-type": "application/json",
            # Compression would delay pieces of a stream.
            "accept-encoding": "identity",
            **{name.lower(): value for name, value in settings.headers.items()},
        }
        if settings.api_key is not None:
            header = settings.api_key_header.lower()
            bearer = "Bearer " if header == "authorization" else ""
            headers[header] = bearer + settings.api_key
        # `trust_env` stays off: it would read the proxy variables for each call, in a thread, and
        # send the credentials that `~/.netrc` has for the host.
        self._session = ClientSession(
            connector=Connector(self._has_room, limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            cookie_jar=DummyCookieJar(),
            headers=headers,
            timeout=ClientTimeout(
                connect=settings.connect_timeout_s, total=settings.total_timeout_s
            ),
        )
        return self._session


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
    """Keeps asyncio from logging that the error of an idle connection was never retrieved."""
    closed.exception()
