"""Reads the headers in which a provider says when to try again."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from math import ceil

from modelgates_server.core.errors import RETRY_AFTER_MAX_S

_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


def retry_after_s(milliseconds: str, seconds_or_date: str, now_ms: int) -> int | None:
    """Read OpenAI's `retry-after-ms`, or `Retry-After` (RFC 9110, 10.2.3); either may be empty."""
    if _NUMBER.fullmatch(milliseconds):
        wait_s = ceil(Decimal(milliseconds) / 1000)
    elif _NUMBER.fullmatch(seconds_or_date):
        wait_s = ceil(Decimal(seconds_or_date))
    else:
        try:
            at = parsedate_to_datetime(seconds_or_date)
        except (ValueError, OverflowError):
            return None
        since = at.replace(tzinfo=at.tzinfo or UTC) - _EPOCH
        wait_s = ceil((since - timedelta(milliseconds=now_ms)) / timedelta(seconds=1))
    return min(max(wait_s, 0), RETRY_AFTER_MAX_S)
