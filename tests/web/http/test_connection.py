"""Idle and slow connections, in this process, where tests can move the clock of the timeouts."""

import asyncio
import select
import socket
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import uvicorn
import uvloop
from uvicorn.server import ServerState

from modelgates_server.web.http.connection import LimitedHttpProtocol
from modelgates_server.web.http.limits import IDLE_MAX_S, ConnectionLimits
from tests.deadlines import DEADLINE_MS, within
from tests.e2e.wire import request

HEALTH = request("GET /healthz")
LAST = request("GET /healthz", None, "Connection: close")


class Served(NamedTuple):
    """The address of a server in this process, and its connections."""

    url: str
    connections: set[Any]


class Unwatched(ConnectionLimits):
    """Leaves the checks of connections to the test, which has a separate clock."""

    def watch(self, *_: object) -> None:
        pass


def with_served(
    body_bytes: int, test: Callable[[Served], Coroutine[Any, Any, None]], *, watched: bool = False
) -> None:
    """Run a test with a server whose clients have one second, on the real event loop."""

    async def app(_: Any, __: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % body_bytes)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(body_bytes)})

    async def main() -> None:
        config = uvicorn.Config(app, ws="none", log_config=None, lifespan="off")
        config.load()
        state = ServerState()
        limits = (ConnectionLimits if watched else Unwatched)(
            request_timeout_s=1, max_connections=9
        )
        listener = await asyncio.get_running_loop().create_server(
            lambda: LimitedHttpProtocol(
                config=config, server_state=state, app_state={}, limits=limits
            ),
            "127.0.0.1",
        )
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            async with within():
                await test(Served(f"http://127.0.0.1:{port}", state.connections))

    uvloop.run(main())


def test_connection_is_reset_when_client_reads_nothing() -> None:
    def read_nothing(url: str) -> bool:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.connect((urlsplit(url).hostname, urlsplit(url).port))
            client.sendall(LAST)
            gone = select.poll()
            gone.register(client, select.POLLHUP | select.POLLERR)
            return bool(gone.poll(DEADLINE_MS))

    async def test(served: Served) -> None:
        assert await asyncio.to_thread(read_nothing, served.url), "the server still waits"

    with_served(64 * 2**20, test, watched=True)


def test_idle_connection_is_closed_after_its_timeout() -> None:
    async def test(served: Served) -> None:
        parts = urlsplit(served.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        now_s = asyncio.get_running_loop().time()
        for _ in range(3):
            writer.write(HEALTH)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            [connection] = served.connections
            connection.check(now_s)
            now_s += IDLE_MAX_S - 1
            connection.check(now_s)
        connection.check(now_s + 1)
        assert await reader.read() == b""
        writer.close()

    with_served(0, test)


def test_slow_reader_gets_the_whole_response() -> None:
    async def test(served: Served) -> None:
        parts = urlsplit(served.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(LAST)
        now_s = asyncio.get_running_loop().time()
        await reader.readuntil(b"\r\n\r\n")
        [connection] = served.connections
        for _ in range(4):
            await reader.readexactly(16 * 2**20)
            connection.check(now_s := now_s + 0.9)
        assert await reader.read() == b""
        writer.close()

    with_served(64 * 2**20, test)
