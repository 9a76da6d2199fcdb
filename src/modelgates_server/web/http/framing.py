"""Checks of the head of a request in addition to those of the parser.

llhttp rejects most of it already: two lengths, a length that is not a number, a length next to a
transfer coding, folded lines, bare line feeds. `tests/web/http/test_framing.py` has them all.
"""

import re
from typing import Any

import httptools

from modelgates_server.web.errors import HttpError
from modelgates_server.web.head import Headers
from modelgates_server.web.pages.negotiation import INVALID_HOST

_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[\w.:%~-]+\])(?::[0-9]{0,5})?", re.ASCII)
"""The syntax of RFC 9110 (7.2). It may be empty."""

_OWN_LINES = (b"host", b"transfer-encoding", b"content-length")


def check_head(version: str, headers: Headers) -> None:
    """Raise a 400 if a proxy could read the head of a request in another way.

    `version` is that of the request line, such as `1.1`.
    """
    if version not in ("1.1", "1.0"):
        raise HttpError(400, f"HTTP/{version} is not supported. Send HTTP/1.1.")
    own = [header for header in headers if header[0] in _OWN_LINES]
    _check_hosts(version, [value for name, value in own if name == b"host"])
    if codings := [value for name, value in own if name == b"transfer-encoding"]:
        _check_codings(version, codings)


def body_lines(headers: Headers) -> bytes:
    """The lines of a head that say how its body ends; empty if it has none."""
    return b"".join(
        b"%b: %b\r\n" % (name, value) for name, value in headers if name in _OWN_LINES[1:]
    )


def continued_parser(callbacks: Any, lines: bytes) -> Any:
    """A parser that continues with the body of a request whose head ends with `lines`.

    httptools ends a request with `Upgrade` at its head, as if the rest were in another protocol.
    Java's HTTP client sends `Upgrade: h2c` with every request, and a body after that.
    """
    parser = httptools.HttpRequestParser(_AfterHead(callbacks))
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
    parser.feed_data(b"POST / HTTP/1.1\r\n" + lines + b"\r\n")
    return parser


class _AfterHead:
    """Passes on all callbacks except those of the first head."""

    def __init__(self, callbacks: Any) -> None:
        self._callbacks = callbacks
        self._is_known = True
        self.on_body = callbacks.on_body
        self.on_message_complete = callbacks.on_message_complete

    def on_message_begin(self) -> None:
        if not self._is_known:
            self._callbacks.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_known:
            self._callbacks.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_known:
            self._callbacks.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._is_known:
            self._callbacks.on_headers_complete()
        self._is_known = False


def _check_hosts(version: str, hosts: list[bytes]) -> None:
    if not hosts and version == "1.0":
        return
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0].strip(b" \t")):
        raise HttpError(400, INVALID_HOST)


def _check_codings(version: str, codings: list[bytes]) -> None:
    if version == "1.0":
        raise HttpError(
            400, "HTTP/1.0 has no `Transfer-Encoding`. Send `Content-Length`, or HTTP/1.1."
        )
    if [coding.strip(b" \t").lower() for coding in codings] != [b"chunked"]:
        raise HttpError(400, "`Transfer-Encoding` must be `chunked`. No other coding is supported.")
