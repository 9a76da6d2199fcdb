"""Idle and slow connections, in this process, where tests can move the clock of the timeouts."""

import asyncio
import select
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import uvicorn
import uvloop
from uvicorn.server import ServerState

from modelgates_server.web.http.connection import LimitedHttpProtocol
from modelgates_server.web.http.limits import (
    BODY_BYTES_PER_S,
    IDLE_MAX_S,
    LINGER_S,
    ConnectionLimits,
    Turn,
)
from tests.deadlines import DEADLINE_MS, within
from tests.e2e.wire import request
from tests.gateway import until

HEALTH = request("GET /healthz")
UPLOAD = request("POST /", None, "Content-Length: 9")
CONNECTIONS_MAX = 9
App = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]
LAST = request("GET /healthz", None, "Connection: close")


class Served(NamedTuple):
    """The address of a server in this process, and its connections."""

    url: str
    connections: set[Any]


class Unwatched(ConnectionLimits):
    """Leaves the checks of connections to the test, which has a separate clock."""

    def watch(self, *_: object) -> None:
        pass


def responds(body_bytes: int) -> App:
    """An application that sends this number of bytes, and does not read the request."""

    async def app(_: Any, __: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % body_bytes)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(body_bytes)})

    return app


async def reads(_: Any, receive: Any, send: Any) -> None:
    """An application that responds once it has the whole request."""
    while (await receive()).get("more_body"):
        pass
    await responds(0)(_, receive, send)


def with_served(
    app: App, test: Callable[[Served], Coroutine[Any, Any, None]], *, watched: bool = False
) -> None:
    """Run a test with a server whose clients have one second, on the real event loop."""

    async def main() -> None:
        config = uvicorn.Config(app, ws="none", log_config=None, lifespan="off")
        config.load()
        state = ServerState()
        limits = (ConnectionLimits if watched else Unwatched)(
            request_timeout_s=1, max_connections=CONNECTIONS_MAX
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


async def opened(served: Served, sends: bytes = b"") -> tuple[Any, Any, Any]:
    """A new connection as its client sees it, and as the server does, with a time of its own."""
    now_s = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() > now_s)
    parts, before = urlsplit(served.url), set(served.connections)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(sends)
    await until(lambda: len(served.connections - before) == 1)
    [connection] = served.connections - before
    await until(lambda: not sends or connection.scope is not None)
    connection.turn(asyncio.get_running_loop().time())
    return reader, writer, connection


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

    with_served(responds(64 * 2**20), test, watched=True)


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

    with_served(responds(0), test)


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

    with_served(responds(64 * 2**20), test)


def has_received(connection: Any, count: int) -> bool:
    return bool(connection._ended or connection._received_bytes >= count)


def test_body_that_arrives_steadily_has_more_time() -> None:
    async def test(served: Served) -> None:
        piece = bytes(BODY_BYTES_PER_S)
        head = request("POST /", None, f"Content-Length: {len(piece) * 9}")
        reader, writer, connection = await opened(served, head)
        now_s = asyncio.get_running_loop().time()
        for n in range(9):
            connection.check(now_s + n)
            writer.write(piece)
            arrived = (n + 1) * len(piece)
            await until(partial(has_received, connection, arrived))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()

    with_served(reads, test)


def test_body_that_drips_gets_a_408() -> None:
    async def test(served: Served) -> None:
        reader, writer, connection = await opened(
            served, request("POST /", None, "Content-Length: 1000")
        )
        now_s = asyncio.get_running_loop().time()
        for n in range(12):
            connection.check(now_s + n / 10)
            writer.write(b"x")
            await until(partial(has_received, connection, n + 1))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 408")
        assert connection.turn(now_s + 2) is Turn.LEAVE
        connection.check(now_s + 2 + LINGER_S)
        await until(lambda: not served.connections)
        writer.close()

    with_served(reads, test)


def test_client_that_reads_nothing_is_not_kept_by_more_output() -> None:
    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"sign", "more_body": True})
            await more.acquire()

    more = asyncio.Semaphore(0)

    async def test(served: Served) -> None:
        _, writer, connection = await opened(served, HEALTH)
        writer.transport.pause_reading()
        while not connection.transport.get_write_buffer_size():
            connection.transport.write(bytes(2**20))  # more than the kernel takes
            await asyncio.sleep(0)
        now_s = asyncio.get_running_loop().time()
        for n in range(10):
            connection.check(now_s + n / 10)
            more.release()
            await asyncio.sleep(0)
        assert served.connections
        connection.check(now_s + 1)
        assert not served.connections
        writer.close()

    with_served(app, test)


def test_newcomer_takes_the_place_of_the_connection_that_waited_longest() -> None:
    async def test(served: Served) -> None:
        uploading = await opened(served, UPLOAD)
        waiting = [await opened(served), await opened(served, b"GET /")]
        waiting.append(await opened(served, HEALTH))
        await waiting[-1][0].readuntil(b"\r\n\r\n")
        waiting[-1][2].turn(asyncio.get_running_loop().time())
        waiting.append(await opened(served))
        others = [await opened(served, UPLOAD) for _ in range(CONNECTIONS_MAX - 5)]
        for reader, writer, connection in waiting:
            others.append(await opened(served, UPLOAD))
            newcomer, answers, _ = others[-1]
            assert connection not in served.connections
            await reader.read()
            writer.close()
            answers.write(b"123456789")
            assert (await newcomer.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            answers.write(UPLOAD)
            await asyncio.sleep(0)
        assert {each[2] for each in [uploading, *others]} == served.connections
        for _, writer, _ in [uploading, *others]:
            writer.close()

    with_served(reads, test)


def test_newcomer_gets_a_503_when_all_connections_run_requests() -> None:
    done = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await done.wait()
        await responds(0)(scope, receive, send)

    async def test(served: Served) -> None:
        running = [await opened(served, HEALTH) for _ in range(CONNECTIONS_MAX)]
        for _ in range(3):
            reader, writer, _ = await opened(served)
            refusal = await reader.read()
            assert refusal.startswith(b"HTTP/1.1 503")
            assert b"\r\nretry-after: 1\r\n" in refusal
            writer.close()
        done.set()
        for reader, writer, _ in running:
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.close()

    with_served(app, test)
