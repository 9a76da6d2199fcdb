"""A server that a test scripts byte by byte, and a provider that calls it."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.providers.http import HttpProvider, HttpReply, ProviderSettings
from tests.deadlines import within
from tests.support import ManualClock

KEY = "sk-upstream-0123456789"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
PIECE = b"data: 1\n\n"
LIMIT = 1_000_000
_RESET_AT_ONCE = struct.pack("ii", 1, 0)


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer(body: bytes = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    """A complete response with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Request(msgspec.Struct, frozen=True):
    """One request as it arrived; header names are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """One client's connection, seen from the server."""

    def __init__(
        self, server: "Upstream", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self.reader = reader
        self.writer = writer

    async def request(self) -> Request | None:
        """The next request; None once the client has disconnected."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return None
        line, *rest = head.decode().removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value for name, _, value in (h.partition(": ") for h in rest)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(line, headers, body)
        self._server.requests.append(request)
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with suppress(ConnectionResetError):
            assert await self.reader.read(1) == b"", "the client sent more"

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
        self.writer.transport.abort()


Play = Callable[[Connection], Awaitable[None]]


class Upstream:
    """Runs `play` for each connection and closes the connection when it returns."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.port = 0
        self.connections = 0
        self.requests: list[Request] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._run(Connection(self, reader, writer)))
        self._tasks.add(task)

    async def _run(self, connection: Connection) -> None:
        try:
            await self._play(connection)
        finally:
            connection.writer.close()

    async def ended(self) -> None:
        """Wait until `play` has returned for all connections."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Cancel what still waits; raises errors of the server's side."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


@asynccontextmanager
async def serving(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Serve on a free port of the loopback interface."""
    upstream = Upstream(play)
    server = await asyncio.start_server(upstream.accept, "127.0.0.1", 0, ssl=tls)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        async with within():
            yield upstream
    finally:
        server.close()
        await upstream.stop()


@asynccontextmanager
async def asking(port: int, path: str = "/v1", **settings: Any) -> AsyncIterator[HttpProvider]:
    """A provider `acme` with a key, which calls a port of the loopback interface."""
    named = {"name": "acme", "base_url": f"http://127.0.0.1:{port}{path}", "api_key": KEY}
    provider = HttpProvider(ProviderSettings(**{**named, **settings}), ManualClock())
    try:
        yield provider
    finally:
        await provider.close()


def always(data: bytes) -> Play:
    """Respond to every request with the same bytes."""

    async def play(connection: Connection) -> None:
        while await connection.request() is not None:
            await connection.send(data)

    return play


def once(data: bytes) -> Play:
    """Respond to one request, then close the connection."""

    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(data)

    return play


Reading = Callable[[HttpReply], Awaitable[bytes]]


async def whole(reply: HttpReply) -> bytes:
    return await reply.read(LIMIT)


async def piecewise(reply: HttpReply) -> bytes:
    return b"".join([piece async for piece in reply.chunks()])


reading = pytest.mark.parametrize("read", [whole, piecewise])


def silent_after(data: bytes) -> Play:
    """Send this, and then nothing until the client has disconnected."""

    async def play(connection: Connection) -> None:
        if await connection.request() is not None:
            await connection.send(data)
            await connection.gone()

    return play


async def refused(acme: HttpProvider) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await acme.send(Api.CHAT, b"{}")
    assert caught.value.provider == "acme"
    return caught.value


async def broken(reply: HttpReply, read: Reading) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await read(reply)
    assert caught.value.provider == "acme"
    return caught.value
