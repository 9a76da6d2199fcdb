"""A load client: keep-alive connections that repeat one request and count the responses."""

import asyncio
import re
import time
from typing import NamedTuple, cast

import uvloop

_PATIENCE_S = 300
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_ENDS = (b"data: [DONE]\n\n", b'{"type":"message_stop"}\n\n', b"}}\n\n")
"""The ends of whole streams of chat completions, Messages and Responses."""

_TAIL_BYTES = 64
_ERROR = re.compile(rb'"error": *[{"]')


class Load(NamedTuple):
    """The results of one burst; `cpu_us` is the server's CPU time per request.

    `first_p50_ms` and `first_p99_ms` are times to the first byte of the body. Errors are responses
    with a status other than 200, responses with an error inside, and streams without their end.
    """

    requests_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    first_p50_ms: float
    first_p99_ms: float
    errors: int


class _Client(asyncio.Protocol):
    """One connection: the next request is sent when the last response is complete."""

    def __init__(self, request: bytes, count: int) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.firsts: list[float] = []
        self.latencies: list[float] = []
        self.errors = 0
        self._request = request
        self._left = count
        self._sent = self._first = 0.0
        self._head = self._tail = b""
        self._in_body = self._is_stream = self._failed = False
        self._missing: int | None = None  # bytes of the body; None if it ends with its last chunk

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            data = self._read_head(data)
        if not data and self._missing != 0:
            return
        if self._first == 0.0:
            self._first = time.perf_counter()
        if b'"error"' in data and _ERROR.search(data):
            self._failed = True
        if self._missing is None:
            self._tail = (self._tail + data)[-_TAIL_BYTES:]
            if self._tail.endswith(_LAST_CHUNK):
                whole = self._tail.removesuffix(_LAST_CHUNK).endswith(_ENDS)
                self._end(whole=whole or not self._is_stream)
        else:
            self._missing -= len(data)
            assert self._missing >= 0, data
            if self._missing == 0:
                self._end(whole=True)

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.errors += self._left
            self.done.set_result(None)

    def _send(self) -> None:
        self._head = self._tail = b""
        self._in_body = False
        self._first = 0.0
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def _read_head(self, data: bytes) -> bytes:
        """The bytes of the body that have arrived with the headers."""
        self._head += data
        head, end, body = self._head.partition(b"\r\n\r\n")
        if not end:
            return b""
        self._in_body = True
        self._is_stream = b"text/event-stream" in head
        self._failed = not head.startswith(b"HTTP/1.1 200 ")
        length = _LENGTH.search(head)
        self._missing = None if length is None else int(length[1])
        return body

    def _end(self, *, whole: bool) -> None:
        self.firsts.append(self._first - self._sent)
        self.latencies.append(time.perf_counter() - self._sent)
        self.errors += self._failed or not whole
        self._left -= 1
        if self._left:
            self._send()
        else:
            self.done.set_result(None)
            self._transport.close()


def burst(host: str, port: int, pid: int, request: bytes, *, clients: int, count: int) -> Load:
    """Send `count` requests over each of `clients` connections."""
    return uvloop.run(_burst(host, port, pid, request, clients, count))


async def _burst(host: str, port: int, pid: int, request: bytes, clients: int, count: int) -> Load:
    loop = asyncio.get_running_loop()
    cpu, started = _cpu_s(pid), time.perf_counter()
    pairs = [
        await loop.create_connection(lambda: _Client(request, count), host, port)
        for _ in range(clients)
    ]
    async with asyncio.timeout(_PATIENCE_S):
        await asyncio.gather(*(client.done for _, client in pairs))
    took, spent = time.perf_counter() - started, _cpu_s(pid) - cpu
    latencies = sorted(latency for _, client in pairs for latency in client.latencies)
    firsts = sorted(first for _, client in pairs for first in client.firsts)
    assert latencies, "no response was complete"
    return Load(
        clients * count / took,
        spent / (clients * count) * 1e6,
        latencies[len(latencies) // 2] * 1e3,
        latencies[len(latencies) * 99 // 100] * 1e3,
        firsts[len(firsts) // 2] * 1e3,
        firsts[len(firsts) * 99 // 100] * 1e3,
        sum(client.errors for _, client in pairs),
    )


def _cpu_s(pid: int) -> float:
    """User and system time of a process and its threads so far (Linux)."""
    # The clock of clock_getcpuclockid(3). It counts nanoseconds, /proc/<pid>/stat hundredths.
    return time.clock_gettime((~pid << 3) | 2)
