"""A load client: keep-alive connections that ask for one thing and count the answers."""

import asyncio
import time
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

_TICKS_S = 100


class Load(NamedTuple):
    """What one burst gave; `cpu_us` is the server's CPU time for each request."""

    requests_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


class _Client(asyncio.Protocol):
    """One connection: the next request leaves when the answer to the last is whole."""

    def __init__(self, request: bytes, answer_size: int, count: int) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self._request = request
        self._answer_size = answer_size
        self._left = count
        self._missing = 0
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._missing -= len(data)
        assert self._missing >= 0, data
        if self._missing == 0:
            self.latencies.append(time.perf_counter() - self._sent)
            self._left -= 1
            if self._left:
                self._send()
            else:
                self._transport.close()
                self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("the server hung up") if exc is None else exc)

    def _send(self) -> None:
        self._missing = self._answer_size
        self._sent = time.perf_counter()
        self._transport.write(self._request)


def burst(host: str, port: int, pid: int, request: bytes, *, clients: int, count: int) -> Load:
    """Send `count` requests over each of `clients` connections; all answers have one size."""
    return uvloop.run(_burst(host, port, pid, request, clients, count))


async def _burst(host: str, port: int, pid: int, request: bytes, clients: int, count: int) -> Load:
    size = await _answer_size(host, port, request)
    loop = asyncio.get_running_loop()
    cpu, started = _cpu_s(pid), time.perf_counter()
    pairs = [
        await loop.create_connection(lambda: _Client(request, size, count), host, port)
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in pairs))
    took, spent = time.perf_counter() - started, _cpu_s(pid) - cpu
    latencies = sorted(latency for _, client in pairs for latency in client.latencies)
    return Load(
        clients * count / took,
        spent / (clients * count) * 1e6,
        latencies[len(latencies) // 2] * 1e3,
        latencies[len(latencies) * 99 // 100] * 1e3,
    )


async def _answer_size(host: str, port: int, request: bytes) -> int:
    """The size of the second answer on a connection: request ids have settled to one length."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    [length] = [
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ]
    await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return len(head) + length


def _cpu_s(pid: int) -> float:
    """User and system time of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S
