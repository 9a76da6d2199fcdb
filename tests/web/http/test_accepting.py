"""Connections wait in the system's queue while there is no room for them."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self, cast

import pytest
import uvloop

from modelgates_server.web.http import accepting
from modelgates_server.web.http.accepting import Acceptor
from tests.deadlines import DEADLINE_S, within
from tests.gateway import until

TLS = Path(__file__).parents[2] / "e2e/tls"


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
    room: Callable[[int], bool],
    test: Callable[[Acceptor, int], Coroutine[Any, Any, None]],
    listener: Any = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    async def main() -> None:
        with listener or socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            acceptor = Acceptor(
                listening, Greeter, has_room=room, tls=tls, handshake_timeout_s=DEADLINE_S
            )
            async with within():
                await test(acceptor, port)
            acceptor.close(0)

    uvloop.run(main())


async def greeting(port: int, tls: ssl.SSLContext | None = None) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
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
        assert acceptor.opening == {}

    with_acceptor(room, close)


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_slow_handshakes_are_dropped_when_another_client_needs_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepting, "HANDSHAKE_SPARED_S", 0)

    async def hang(acceptor: Acceptor, port: int) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await until(lambda: len(acceptor.opening) == 3)
        assert await greeting(port, client_context()) == b"hello"
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()

    with_acceptor(lambda opening: opening < 3, hang, tls=server_context())


def test_new_handshake_keeps_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "HANDSHAKE_SPARED_S", DEADLINE_S)
    looks = 0

    def has_room(opening: int) -> bool:
        nonlocal looks
        looks += opening
        return not opening

    async def hang(acceptor: Acceptor, port: int) -> None:
        silent = await asyncio.open_connection("127.0.0.1", port)
        waiting = asyncio.create_task(greeting(port, client_context()))
        await until(lambda: looks >= 3)
        assert len(acceptor.opening) == 1
        silent[1].close()
        assert await waiting == b"hello"

    with_acceptor(has_room, hang, tls=server_context())
