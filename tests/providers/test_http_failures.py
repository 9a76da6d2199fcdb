"""A failing provider causes one of two errors, and its connection is not reused."""

import asyncio

import pytest

from modelgates_server.core.errors import ProviderTimedOut, ProviderUnavailable
from modelgates_server.core.pricing.catalog import Api
from tests.providers.upstream import (
    PIECE,
    STREAM,
    Connection,
    Reading,
    always,
    answer,
    asking,
    broken,
    chunk,
    reading,
    refused,
    serving,
    silent_after,
    whole,
)


async def test_provider_is_unavailable_when_its_port_is_closed() -> None:
    async with serving(always(b"")) as upstream:
        pass
    async with asking(upstream.port) as acme:
        error = await refused(acme)
    assert type(error) is ProviderUnavailable
    assert str(error) == "The provider `acme` cannot be reached."


async def test_provider_is_unavailable_when_its_host_name_is_unknown() -> None:
    # Longer than a name can be, so no name server is asked.
    async with asking(80, base_url="http://" + "a." * 140 + "a/v1") as acme:
        assert str(await refused(acme)) == "The provider `acme` cannot be reached."


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Ty",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{}",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_provider_is_unavailable_when_its_headers_are_invalid(
    sent: bytes, reset: bool
) -> None:
    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(sent)
        if reset:
            connection.reset()

    async with serving(play) as upstream, asking(upstream.port) as acme:
        error = await refused(acme)
    assert type(error) is ProviderUnavailable
    assert str(error) == "The provider `acme` closed the connection before it responded."


async def test_request_is_not_sent_again_when_its_connection_was_closed() -> None:
    """The provider may have started work, which would then be paid twice."""

    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer())
        await connection.request()

    async with serving(play) as upstream, asking(upstream.port) as acme:
        await whole(await acme.send(Api.CHAT, b"{}"))
        assert type(await refused(acme)) is ProviderUnavailable
        assert (upstream.connections, len(upstream.requests)) == (1, 2)
        await whole(await acme.send(Api.CHAT, b"{}"))
    assert upstream.connections == 2


@reading
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "sent",
    [
        STREAM,
        STREAM + chunk(PIECE),
        STREAM + chunk(PIECE) + b"9\r\ndata",
        STREAM + chunk(PIECE) + b"0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata",
    ],
)
async def test_cut_body_is_an_error(sent: bytes, reset: bool, read: Reading) -> None:
    seen = asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(sent)
        await seen.wait()
        if reset:
            connection.reset()

    async with serving(play) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        seen.set()
        error = await broken(reply, read)
    assert type(error) is ProviderUnavailable
    assert str(error) == "The provider `acme` ended its response before it was complete."
    assert error.status == 200


@reading
@pytest.mark.parametrize("rest", [b"zz\r\nfoo\r\n", b"3\r\nabcdef\r\n", b"\x00\x01\x02"])
async def test_malformed_chunk_does_not_hang_the_reader(rest: bytes, read: Reading) -> None:
    """aiohttp 3.14 would wait until the total timeout."""
    reading_started = asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM + chunk(PIECE))
        await reading_started.wait()
        await connection.send(rest)
        await connection.gone()

    async with serving(play) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        reading_started.set()
        error = await broken(reply, read)
        await upstream.ended()
    assert type(error) is ProviderUnavailable


async def test_body_larger_than_the_limit_is_rejected_and_closed() -> None:
    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM)
        try:
            while True:
                await connection.send(chunk(bytes(1000)))
        except ConnectionError:
            pass

    async with serving(play) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        with pytest.raises(
            ProviderUnavailable, match="`acme` sent a response of more than 5000 bytes"
        ):
            await reply.read(5000)
        await upstream.ended()


async def test_body_of_the_size_limit_is_read() -> None:
    async with serving(always(answer(bytes(5000)))) as upstream, asking(upstream.port) as acme:
        assert len(await (await acme.send(Api.CHAT, b"{}")).read(5000)) == 5000
        with pytest.raises(ProviderUnavailable):
            await (await acme.send(Api.CHAT, b"{}")).read(4999)


async def test_endless_handshake_times_out() -> None:
    async def play(connection: Connection) -> None:
        while await connection.reader.read(1000):
            pass

    async with serving(play) as upstream:
        url = f"https://127.0.0.1:{upstream.port}/v1"
        async with asking(0, base_url=url, connect_timeout_s=0.1) as acme:
            error = await refused(acme)
        await upstream.ended()
    assert type(error) is ProviderTimedOut
    assert str(error) == "The provider `acme` did not respond in time."


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: te"])
async def test_missing_headers_time_out(sent: bytes) -> None:
    async with (
        serving(silent_after(sent)) as upstream,
        asking(upstream.port, first_byte_timeout_s=0.1) as acme,
    ):
        assert type(await refused(acme)) is ProviderTimedOut
        await upstream.ended()


@reading
@pytest.mark.parametrize("sent", [STREAM, STREAM + chunk(PIECE)])
async def test_stalled_body_times_out(sent: bytes, read: Reading) -> None:
    async with (
        serving(silent_after(sent)) as upstream,
        asking(upstream.port, idle_timeout_s=0.1) as acme,
    ):
        error = await broken(await acme.send(Api.CHAT, b"{}"), read)
        await upstream.ended()
    assert type(error) is ProviderTimedOut
    assert str(error) == "The provider `acme` did not respond in time."


@reading
async def test_call_that_takes_too_long_times_out(read: Reading) -> None:
    async with (
        serving(silent_after(STREAM + chunk(PIECE))) as upstream,
        asking(upstream.port, total_timeout_s=0.3) as acme,
    ):
        with pytest.raises(ProviderTimedOut, match="The provider `acme` did not respond in time"):
            await read(await acme.send(Api.CHAT, b"{}"))
        await upstream.ended()


async def test_idle_timeout_does_not_apply_before_the_headers() -> None:
    """A model may think longer before its first byte than between two pieces."""
    slow_arrived, other_timed_out = asyncio.Event(), asyncio.Event()

    async def play(connection: Connection) -> None:
        request = await connection.request()
        if request is not None and request.body == b"slow":
            slow_arrived.set()
            await other_timed_out.wait()
            await connection.send(answer())
        else:
            await connection.send(STREAM)
        await connection.gone()

    async with serving(play) as upstream, asking(upstream.port, idle_timeout_s=0.05) as acme:
        slow = asyncio.create_task(acme.send(Api.CHAT, b"slow"))
        await slow_arrived.wait()
        assert type(await broken(await acme.send(Api.CHAT, b"{}"), whole)) is ProviderTimedOut
        other_timed_out.set()
        assert await whole(await slow) == b"{}"
