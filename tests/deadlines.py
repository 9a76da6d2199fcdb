"""The one deadline of the tests, and the HTTP clients that keep to it.

It is generous, because only a test that fails ever reaches it: on a busy machine everything takes
longer, and nothing else may change. What a test wants to time out gets a short time in the settings
of the program under test. `tests/test_deadlines.py` sees to it that no test waits in another way.
"""

import asyncio
import http.client
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx

DEADLINE_S = 180
DEADLINE_MS = DEADLINE_S * 1000
BUILD_DEADLINE_S = 5 * DEADLINE_S
"""Where a build tool compiles, and fetches what it needs the first time."""


def within() -> asyncio.Timeout:
    """`async with within():` whatever is awaited in the block has this long together."""
    return asyncio.timeout(DEADLINE_S)


def http_client(**options: Any) -> httpx.Client:
    """A client that keeps its connections; `options` are those of `httpx.Client`."""
    return httpx.Client(timeout=DEADLINE_S, **options)


def async_http_client(**options: Any) -> httpx.AsyncClient:
    """The same for tests that are async."""
    return httpx.AsyncClient(timeout=DEADLINE_S, **options)


def http_request(method: str, url: str, **options: Any) -> httpx.Response:
    """One request on a connection of its own; `options` are those of `httpx.request`."""
    return httpx.request(method, url, timeout=DEADLINE_S, **options)


def http_connection(url: str, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
    """A connection of the standard library's client, over TLS if there is a `context`."""
    place = urlsplit(url).netloc
    if context is None:
        return http.client.HTTPConnection(place, timeout=DEADLINE_S)
    return http.client.HTTPSConnection(place, timeout=DEADLINE_S, context=context)


def tcp_connection(url: str) -> socket.socket:
    """A connection for bytes by hand to the host and port of a URL."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port or 0), DEADLINE_S)
