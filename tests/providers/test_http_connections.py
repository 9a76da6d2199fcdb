"""Connections end when they should, whoever closes them, and leave nothing behind."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelgates_server.core.errors import ProviderUnavailable
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.providers.http import HttpProvider, HttpReply
from tests.providers.upstream import (
    END,
    PIECE,
    STREAM,
    Connection,
    Reading,
    answer,
    asking,
    broken,
    chunk,
    once,
    piecewise,
    reading,
    refused,
    serving,
    silent_after,
    whole,
)


@reading
@pytest.mark.parametrize("sent", [STREAM, STREAM + chunk(PIECE)])
async def test_running_read_ends_when_its_reply_is_closed(sent: bytes, read: Reading) -> None:
    async with serving(silent_after(sent)) as upstream, asking(upstream.port) as acme:
        errors = []
        for _ in range(2):
            reply = await acme.send(Api.CHAT, b"{}")
            running = asyncio.create_task(broken(reply, read))
            await asyncio.sleep(0)
            reply.close()
            errors.append(await running)
        await upstream.ended()
    assert [type(error) for error in errors] == [ProviderUnavailable] * 2
    assert errors[0].__context__ is not errors[1].__context__, (
        "a shared one would grow without limit"
    )


async def test_closed_reply_returns_no_more_pieces() -> None:
    async with (
        serving(silent_after(STREAM + chunk(PIECE))) as upstream,
        asking(upstream.port) as acme,
    ):
        reply = await acme.send(Api.CHAT, b"{}")
        pieces = reply.chunks()
        assert await anext(pieces) == PIECE
        reply.close()
        with pytest.raises(ProviderUnavailable):
            await anext(pieces)


async def test_all_calls_end_when_the_provider_is_closed() -> None:
    received = asyncio.Semaphore(0)

    async def play(connection: Connection) -> None:
        request = await connection.request()
        if request is not None and request.body == b"stream":
            await connection.send(STREAM + chunk(PIECE))
        received.release()
        await connection.gone()

    async with serving(play) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"stream")
        streaming = asyncio.create_task(broken(reply, piecewise))
        waiting = asyncio.create_task(refused(acme))
        await received.acquire()
        await received.acquire()
        await acme.close()
        errors = [await streaming, await waiting]
        await upstream.ended()
    assert [type(error) for error in errors] == [ProviderUnavailable] * 2


@pytest.mark.parametrize("steps", range(5))
async def test_read_that_starts_while_the_connection_closes_ends(steps: int) -> None:
    async with serving(silent_after(STREAM)) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        closing = asyncio.create_task(acme.close())
        for _ in range(steps):
            await asyncio.sleep(0)
        assert type(await broken(reply, piecewise)) is ProviderUnavailable
        await closing


@pytest.fixture
async def no_unretrieved_errors() -> AsyncIterator[None]:
    """Fails if asyncio reports an error that was never retrieved."""
    errors: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, details: errors.append(details))
    yield
    gc.collect()
    loop.set_exception_handler(None)
    assert errors == []


@pytest.mark.usefixtures("no_unretrieved_errors")
async def test_reset_of_an_idle_connection_is_not_logged() -> None:
    begun, idle = asyncio.Event(), asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM)
        await begun.wait()
        await connection.send(END)
        await idle.wait()
        connection.reset()

    async with serving(play) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        begun.set()
        await whole(reply)
        lost = asyncio.Event()
        pooled(acme).add_done_callback(lambda _: lost.set())
        idle.set()
        await lost.wait()
        await whole(await acme.send(Api.CHAT, b"{}"))
        assert upstream.connections == 2


@pytest.mark.usefixtures("no_unretrieved_errors")
async def test_reset_of_a_connection_in_use_is_reported_only_to_its_reader() -> None:
    begun = asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM)
        await begun.wait()
        connection.reset()

    async with serving(play) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        begun.set()
        assert type(await broken(reply, whole)) is ProviderUnavailable


async def test_connection_does_not_accumulate_callbacks() -> None:
    begun = asyncio.Semaphore(0)

    async def play(connection: Connection) -> None:
        while await connection.request() is not None:
            await connection.send(STREAM)
            await begun.acquire()
            await connection.send(END)

    async with serving(play) as upstream, asking(upstream.port) as acme:
        for _ in range(3):
            reply = await acme.send(Api.CHAT, b"{}")
            begun.release()
            await whole(reply)
        assert upstream.connections == 1
        assert len(pooled(acme)._callbacks) == 1


def pooled(acme: HttpProvider) -> Any:
    """The future that ends with the only connection in the pool."""
    assert acme._session is not None
    assert acme._session.connector is not None
    ((protocol, _),) = next(iter(acme._session.connector._conns.values()))
    return protocol.closed


async def test_early_error_response_to_a_long_body_is_read() -> None:
    """A server that rejects a body responds before it has read all of it."""

    async def play(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(answer(b"too large", "413 Content Too Large"))
        await connection.reader.read()

    async with serving(play) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, bytes(20 * 1024 * 1024))
        assert (reply.status, await whole(reply)) == (413, b"too large")
        reply.close()
        await upstream.ended()


async def test_connection_that_the_provider_closes_is_not_reused() -> None:
    closing = answer(b"{}", "200 OK", "Connection: close")
    async with serving(once(closing)) as upstream, asking(upstream.port) as acme:
        for _ in range(2):
            await whole(await acme.send(Api.CHAT, b"{}"))
    assert upstream.connections == 2


async def test_body_without_a_length_is_complete_when_its_connection_ends() -> None:
    begun = asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.0 200 OK\r\n\r\n")
        await begun.wait()
        await connection.send(b"{}")

    async with serving(play) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        lost = end_of(reply)
        begun.set()
        await lost.wait()
        assert await whole(reply) == b"{}"


async def test_connection_lost_before_it_was_watched_does_not_hang_the_reader() -> None:
    begun = asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM)
        await begun.wait()
        await connection.send(b"no chunk\r\n")
        await connection.gone()

    async with serving(play) as upstream, asking(upstream.port) as acme:
        response = await acme._open().post(acme._url_of(Api.CHAT), data=b"{}")
        begun.set()
        await upstream.ended()
        reply = HttpReply(response, acme._settings, acme.redactor, acme._clock)
        assert type(await broken(reply, whole)) is ProviderUnavailable


def end_of(reply: HttpReply) -> asyncio.Event:
    """An event that is set once the connection is lost and all its callbacks have run."""
    lost = asyncio.Event()
    connection = reply._response.connection
    assert connection is not None
    assert connection.protocol is not None
    assert connection.protocol.closed is not None
    connection.protocol.closed.add_done_callback(lambda _: lost.set())
    return lost
