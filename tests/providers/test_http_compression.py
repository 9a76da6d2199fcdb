"""Responses that are compressed without being asked: read, bounded, or rejected by name."""

import gzip
import json
import sys
import zlib

import brotli  # type: ignore[import-untyped]
import pytest

from modelgates_server.core.errors import ProviderUnavailable
from modelgates_server.core.pricing.catalog import Api
from tests.providers.upstream import (
    END,
    KEY,
    STREAM,
    Reading,
    always,
    answer,
    asking,
    broken,
    chunk,
    reading,
    serving,
    whole,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY = json.dumps({"choices": [], "text": "hello " * 200}).encode()
ENCODED = {
    "gzip": gzip.compress(BODY),
    "GZIP": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    "br": brotli.compress(BODY),
    "zstd": zstd.compress(BODY),
}
SPACE_BYTES = 64 * 2**20


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("status", ["200 OK", "429 Too Many Requests"])
async def test_compressed_body_is_decompressed(encoding: str, status: str) -> None:
    sent = answer(ENCODED[encoding], status, f"Content-Encoding: {encoding}")
    async with serving(always(sent)) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        assert reply.is_compressed
        assert await whole(reply) == BODY


@pytest.mark.parametrize("encoding", ["", "identity", "utf-8", "none"])
async def test_body_that_is_not_compressed_is_read_whatever_its_header_says(encoding: str) -> None:
    sent = answer(BODY, "200 OK", f"Content-Encoding: {encoding}")
    async with serving(always(sent)) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        assert not reply.is_compressed
        assert await whole(reply) == BODY


async def test_white_space_is_read_when_the_encoding_is_unknown() -> None:
    sent = answer(b"\n\n", "200 OK", "Content-Encoding: utf-8")  # some servers begin a body so
    async with serving(always(sent)) as upstream, asking(upstream.port) as acme:
        assert await whole(await acme.send(Api.CHAT, b"{}")) == b"\n\n"


async def test_pieces_of_a_compressed_stream_arrive_one_by_one() -> None:
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH), packer.flush()]
    head = STREAM.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    sent = head + b"".join(map(chunk, pieces)) + END
    async with serving(always(sent)) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        assert [piece async for piece in reply.chunks()] == [b"data: 1\n\n"]


@reading
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("compress", b"\x1f\x9d\x90" + b"\x80" * 50),
        ("gzip, br", brotli.compress(gzip.compress(BODY))),
        ("br", b"\xff" * 50),
        ("gzip", b"no gzip"),
    ],
    ids=["unknown", "two", "invalid br", "invalid gzip"],
)
async def test_unreadable_encoding_is_named(encoding: str, body: bytes, read: Reading) -> None:
    sent = answer(body, "200 OK", f"Content-Encoding: {encoding}")
    async with serving(always(sent)) as upstream, asking(upstream.port) as acme:
        error = await broken(await acme.send(Api.CHAT, b"{}"), read)
    assert type(error) is ProviderUnavailable
    assert str(error) == (
        f"The provider `acme` sent a response compressed with `{encoding}`, which this server "
        "cannot read."
    )


BOMBS = {
    "gzip": gzip.compress(b" " * SPACE_BYTES),
    "br": brotli.compress(b" " * SPACE_BYTES, quality=5),
    "zstd": zstd.compress(b" " * SPACE_BYTES),
}


@pytest.mark.parametrize("encoding", BOMBS)
async def test_decompressed_size_is_limited(encoding: str) -> None:
    sent = answer(BOMBS[encoding], "200 OK", f"Content-Encoding: {encoding}")
    async with serving(always(sent)) as upstream, asking(upstream.port) as acme:
        reply = await acme.send(Api.CHAT, b"{}")
        with pytest.raises(ProviderUnavailable, match="more than 1000000 bytes"):
            await whole(reply)
        assert reply._response.content.total_bytes < SPACE_BYTES // 8


async def test_key_in_a_compressed_error_is_hidden() -> None:
    sent = answer(gzip.compress(KEY.encode()), "401 No", "Content-Encoding: gzip")
    async with serving(always(sent)) as upstream, asking(upstream.port) as acme:
        assert await whole(await acme.send(Api.CHAT, b"{}")) == b"[redacted]"
