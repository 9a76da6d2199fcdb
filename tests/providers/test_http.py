"""Requests to a provider and its responses, over HTTP on the loopback interface."""

import asyncio
import gzip
from typing import Any

import pytest

from modelgates_server import __version__
from modelgates_server.core.pricing.catalog import Api
from tests.providers.upstream import (
    END,
    KEY,
    LIMIT,
    STREAM,
    Connection,
    always,
    answer,
    asking,
    chunk,
    once,
    serving,
)

DONE = b"data: [DONE]\n\n"


async def test_request_has_only_the_necessary_headers() -> None:
    async with serving(always(answer())) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b'{"model": "m"}')
        assert await reply.read(LIMIT) == b"{}"
    (request,) = upstream.requests
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.body == b'{"model": "m"}'
    assert request.headers == {
        "host": f"127.0.0.1:{upstream.port}",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "content-length": "14",
        "user-agent": f"ModelGates/{__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",
    }


@pytest.mark.parametrize(
    ("path", "api", "target"),
    [
        ("/v1", Api.COMPLETIONS, "/v1/completions"),
        ("/v1/", Api.EMBEDDINGS, "/v1/embeddings"),
        ("", Api.CHAT, "/chat/completions"),
        (
            "/d/gpt?api-version=2024-10-21",
            Api.CHAT,
            "/d/gpt/chat/completions?api-version=2024-10-21",
        ),
    ],
)
async def test_path_is_relative_to_the_base_url(path: str, api: Api, target: str) -> None:
    async with serving(always(answer())) as upstream, asking(upstream.port, path) as acme:
        await acme.send(api, b"{}")
    assert upstream.requests[0].line == f"POST {target} HTTP/1.1"


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"api_key": None}, {"authorization": None}),
        ({"api_key_header": "API-Key"}, {"authorization": None, "api-key": KEY}),
        (
            {"headers": {"X-Org": "o 1", "User-Agent": "us"}},
            {"authorization": f"Bearer {KEY}", "x-org": "o 1", "user-agent": "us"},
        ),
        (
            {"api_key": None, "headers": {"Authorization": "Basic eHg="}},
            {"authorization": "Basic eHg="},
        ),
    ],
)
async def test_key_is_sent_in_the_configured_header(
    settings: dict[str, Any], sent: dict[str, str | None]
) -> None:
    async with serving(always(answer())) as upstream, asking(upstream.port, **settings) as acme:
        await acme.send(Api.CHAT, b"{}")
    headers = upstream.requests[0].headers
    assert {name: headers.get(name) for name in sent} == sent


async def test_netrc_credentials_are_not_sent(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with (
        serving(always(answer())) as upstream,
        asking(upstream.port, api_key_header="api-key") as acme,
    ):
        await acme.send(Api.CHAT, b"{}")
    assert "authorization" not in upstream.requests[0].headers


async def test_large_body_arrives_complete() -> None:
    body = bytes(3 * 1024 * 1024) + b"end"
    async with serving(always(answer())) as upstream, asking(upstream.port) as acme:
        await (await acme.send(Api.CHAT, body)).read(LIMIT)
    assert upstream.requests[0].body == body


@pytest.mark.parametrize("status", [201, 400, 401, 404, 429, 500, 503, 529])
async def test_error_status_of_the_provider_is_a_reply(status: int) -> None:
    whole = answer(b'{"error": {}}', f"{status} Something", "Content-Type: application/json")
    async with serving(always(whole)) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        assert (reply.status, reply.is_stream) == (status, False)
        assert await reply.read(LIMIT) == b'{"error": {}}'


@pytest.mark.parametrize(
    ("head", "is_stream", "body"),
    [
        (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n", False, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\n", False, b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=UTF-8\r\n\r\n", True, b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-streams\r\n\r\n", False, b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Type:\r\nX: \xff\xfe\r\n\r\n", False, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", False, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Security-Policy: " + b"x" * 8000 + b"\r\n\r\n", False, b"ok"),
    ],
)
async def test_unusual_headers_are_read(head: bytes, is_stream: bool, body: bytes) -> None:
    async with serving(once(head + body)) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        assert reply.is_stream is is_stream
        assert await reply.read(LIMIT) == body


async def test_unrequested_compression_is_decoded() -> None:
    whole = answer(gzip.compress(b"{}"), "200 OK", "Content-Encoding: gzip")
    async with serving(always(whole)) as upstream, asking(upstream.port) as acme:
        assert await (await acme.send(Api.CHAT, b"{}")).read(LIMIT) == b"{}"


async def test_piece_is_returned_before_the_next_one_arrives() -> None:
    taken = asyncio.Semaphore(0)

    async def play(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM)
        for piece in (b"data: 1\n\n", b"data: 2\n\n", DONE):
            await connection.send(chunk(piece))
            await taken.acquire()
        await connection.send(END)

    async with serving(play) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        assert reply.is_stream
        pieces = []
        async for piece in reply.chunks():
            pieces.append(piece)
            taken.release()
    assert pieces == [b"data: 1\n\n", b"data: 2\n\n", DONE]


async def test_streams_read_to_their_end_share_a_connection() -> None:
    whole = STREAM + chunk(b"data: 1\n\n") + chunk(DONE) + END
    async with serving(always(whole)) as upstream, asking(upstream.port) as acme:
        for _ in range(5):
            reply = await acme.send(Api.CHAT, b"{}")
            assert b"".join([piece async for piece in reply.chunks()]).endswith(DONE)
            reply.close()
    assert (upstream.connections, len(upstream.requests)) == (1, 5)


async def test_connection_of_an_abandoned_stream_is_not_reused() -> None:
    async with (
        serving(always(STREAM + chunk(b"data: 1\n\n"))) as upstream,
        asking(upstream.port) as acme,
    ):
        for _ in range(3):
            reply = await acme.send(Api.CHAT, b"{}")
            assert await anext(reply.chunks()) == b"data: 1\n\n"
            reply.close()
        await upstream.ended()
    assert upstream.connections == 3


async def test_many_slow_streams_run_concurrently() -> None:
    streams = 150
    async with serving(always(STREAM)) as upstream, asking(upstream.port) as acme:
        replies = await asyncio.gather(*(acme.send(Api.CHAT, b"{}") for _ in range(streams)))
        assert upstream.connections == streams
        for reply in replies:
            reply.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed_to_another_host(status: int) -> None:
    async with serving(always(answer())) as other:
        there = f"Location: http://127.0.0.1:{other.port}/v1/chat/completions"
        moved = answer(b"moved", f"{status} Moved", there)
        async with serving(always(moved)) as upstream, asking(upstream.port) as acme:
            reply = await acme.send(Api.CHAT, b"{}")
            assert (reply.status, await reply.read(LIMIT)) == (status, b"moved")
    assert other.connections == 0


async def test_cookies_of_one_call_are_not_sent_with_the_next() -> None:
    cookie = answer(b"{}", "200 OK", "Set-Cookie: session=1; Path=/")
    async with serving(always(cookie)) as upstream:
        named = f"http://localhost:{upstream.port}/v1"  # numeric addresses have no cookies
        async with asking(0, base_url=named) as acme:
            for _ in range(2):
                await (await acme.send(Api.CHAT, b"{}")).read(LIMIT)
    assert [request.headers.get("cookie") for request in upstream.requests] == [None, None]


async def test_provider_that_was_never_called_closes() -> None:
    async with asking(1):
        pass
