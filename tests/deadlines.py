"""The single deadline of all tests, and the HTTP clients that apply it.

It is generous, because only failing tests reach it: on a busy machine everything takes longer, and
that must not change any result. To test a timeout, set a short time in the settings of the program
under test. `tests/test_deadlines.py` checks that no test waits in another way.
"""

import asyncio
import http.client
import socket
import ssl
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

import httpx

DEADLINE_S = 180
DEADLINE_MS = DEADLINE_S * 1000
BUILD_DEADLINE_S = 5 * DEADLINE_S
"""For build tools, which compile and may have to download dependencies."""

_LOOK_EVERY_S = 0.005


def within() -> asyncio.Timeout:
    """Limits everything awaited in a block together: `async with within():`."""
    return asyncio.timeout(DEADLINE_S)


def eventually(condition: Callable[[], bool]) -> None:
    """Waits in a thread or a process of its own until a condition is true."""
    deadline_s = monotonic() + DEADLINE_S
    while not condition():
        assert monotonic() < deadline_s, "the condition was never true"
        sleep(_LOOK_EVERY_S)


def http_client(**options: Any) -> httpx.Client:
    """Returns a client that reuses connections; `options` are those of `httpx.Client`."""
    return httpx.Client(timeout=DEADLINE_S, **options)


def async_http_client(**options: Any) -> httpx.AsyncClient:
    """Returns the same for async tests."""
    return httpx.AsyncClient(timeout=DEADLINE_S, **options)


def http_request(method: str, url: str, **options: Any) -> httpx.Response:
    """Sends one request on a new connection; `options` are those of `httpx.request`."""
    return httpx.request(method, url, timeout=DEADLINE_S, **options)


def http_connection(url: str, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
    """Opens a connection of the standard library's client, with TLS if there is a `context`."""
    address = urlsplit(url).netloc
    if context is None:
        return http.client.HTTPConnection(address, timeout=DEADLINE_S)
    return http.client.HTTPSConnection(address, timeout=DEADLINE_S, context=context)


def tcp_connection(url: str) -> socket.socket:
    """Opens a connection for raw bytes to the host and port of a URL."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port or 0), DEADLINE_S)
