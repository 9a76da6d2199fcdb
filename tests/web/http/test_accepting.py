"""Connections wait in the system's queue while there is no room for them."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Self, cast

import uvloop

from modelgates_server.web.http.accepting import Acceptor
from tests.deadlines import within
from tests.gateway import until


class Greeter(asyncio.Protocol):
    """Greets each client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"hello")


class Room:
    """Room for connections that a test controls; `looks` counts the requests for it."""

    def __init__(self, *, is_free: bool) -> None:
        self.is_free = is_free
        self.looks = 0

    def __call__(self, _opening: int) -> bool:
        self.looks += 1
        return self.is_free


def with_acceptor(
    room: Room, test: Callable[[Acceptor, int], Coroutine[Any, Any, None]], listener: Any = None
) -> None:
    async def main() -> None:
        with listener or socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            acceptor = Acceptor(
                listening, Greeter, has_room=room, tls=None, handshake_timeout_s=None
            )
            async with within():
                await test(acceptor, port)
            acceptor.close(0)

    uvloop.run(main())


async def greeting(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.readexactly(5)
    finally:
        writer.close()


def test_connection_waits_until_there_is_room_for_it() -> None:
    room = Room(is_free=False)

    async def wait(_: Acceptor, port: int) -> None:
        client = asyncio.create_task(greeting(port))
        await until(lambda: room.looks >= 3)
        assert not client.done()
        room.is_free = True
        assert await client == b"hello"

    with_acceptor(room, wait)


def test_waiting_connection_does_not_keep_the_processor_busy() -> None:
    room = Room(is_free=False)

    async def wait(_: Acceptor, port: int) -> None:
        loop = asyncio.get_running_loop()
        client = asyncio.create_task(greeting(port))
        started_s = loop.time()
        await until(lambda: room.looks >= 4)
        assert loop.time() - started_s > 3 * 0.09
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)

    with_acceptor(room, wait)


class ExhaustedListener:
    """A listening socket for which the system has no descriptor at first."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.failures = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def accept(self) -> Any:
        if self.failures < 2:
            self.failures += 1
            raise OSError(24, "Too many open files")
        return self._socket.accept()


def test_connection_waits_when_the_system_has_no_descriptor_left() -> None:
    listener = ExhaustedListener()

    async def wait(_: Acceptor, port: int) -> None:
        assert await greeting(port) == b"hello"

    with_acceptor(Room(is_free=True), wait, listener)
    assert listener.failures == 2


def test_connections_in_the_queue_are_accepted_before_the_socket_is_closed() -> None:
    room = Room(is_free=False)

    async def close(acceptor: Acceptor, port: int) -> None:
        clients = [asyncio.create_task(greeting(port)) for _ in range(8)]
        await until(lambda: room.looks >= 2)
        room.is_free = True
        acceptor.close(queue_max=100)
        assert await asyncio.gather(*clients) == [b"hello"] * 8
        assert acceptor.opening == set()

    with_acceptor(room, close)
