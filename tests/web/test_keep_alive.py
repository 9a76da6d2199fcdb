"""The times of signs of life, to the millisecond, in virtual time."""

import asyncio

import pytest

from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.web.keep_alive import KeepAlive, KeepAliveRules
from modelgates_server.web.response import Message, ResponseWriter
from tests.web.virtual_time import run

COMMENT, WHITE_SPACE = OPENAI_CHAT.stream_keep_alive, OPENAI_CHAT.plain_keep_alive
OPENROUTER = b"speakeasy-sdk/python 1.3.84 2.914.0 1.0.0 openrouter"
OTHERS = {
    "none": b"",
    "OpenAI": b"OpenAI/Python 3.55.0",
    "httpx": b"python-httpx/0.28.1",
    "OpenRouter for JavaScript": b"speakeasy-sdk/typescript 1.3.19 2.914.0 1.0.0 @openrouter/sdk",
    "AI SDK": b"ai/7.0.173 ai-sdk/provider-utils/5.0.42 runtime/node.js/v20.20.2",
    "another product": b"speakeasy-sdk/python 0.8.0 2.900.0 1.0.0 polar-sdk",
}


class Client:
    """A client that may read slowly; records what it receives, and when in milliseconds."""

    def __init__(self) -> None:
        self.heads: list[int] = []
        self.pieces: list[tuple[int, bytes]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.writer = ResponseWriter(self.send, [], lambda: None)

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        now_ms = round(asyncio.get_running_loop().time() * 1000)
        if message["type"] == "http.response.start":
            self.heads.append(now_ms)
        else:
            self.pieces.append((now_ms, message["body"]))

    def keep_alive(self, since_s: float = 0) -> KeepAlive:
        return KeepAlive(self.writer, COMMENT, every_s=3, since_s=since_s)


def test_silence_gets_head_and_sign_after_three_seconds_then_a_sign_every_three() -> None:
    async def wait() -> None:
        client = Client()
        async with client.keep_alive():
            await asyncio.sleep(10)
        assert client.heads == [3000]
        assert client.pieces == [(3000, COMMENT), (6000, COMMENT), (9000, COMMENT)]

    run(wait())


def test_silence_is_counted_from_the_last_piece() -> None:
    async def wait() -> None:
        client = Client()
        async with client.keep_alive():
            for after_s in (1, 2.9, 2.9, 7):
                await asyncio.sleep(after_s)
                await client.writer.write(b"word")
        times = [at_ms for at_ms, _ in client.pieces]
        assert times == [1000, 3900, 6800, 9800, 12800, 13800]
        assert [data for _, data in client.pieces].count(COMMENT) == 2

    run(wait())


def test_silence_is_counted_from_the_head() -> None:
    async def wait() -> None:
        client = Client()
        async with client.keep_alive():
            await asyncio.sleep(2)
            await client.writer.start()
            await asyncio.sleep(4)
        assert (client.heads, client.pieces) == ([2000], [(5000, COMMENT)])

    run(wait())


def test_time_before_the_keep_alive_counts_as_silence() -> None:
    async def wait() -> None:
        client = Client()
        await asyncio.sleep(5)
        async with client.keep_alive(since_s=1):
            await asyncio.sleep(4)
        assert client.pieces == [(5000, COMMENT), (8000, COMMENT)]

    run(wait())


def test_signs_pause_while_the_client_reads_slowly() -> None:
    async def wait() -> None:
        client = Client()
        async with client.keep_alive():
            await client.writer.start()
            client.reads.clear()
            writing = asyncio.create_task(client.writer.write(b"word"))
            await asyncio.sleep(20)
            client.reads.set()
            await writing
            await asyncio.sleep(4)
        assert client.pieces == [(20000, b"word"), (23000, COMMENT)]

    run(wait())


def test_sign_that_waits_for_the_client_is_dropped_at_the_end() -> None:
    async def wait() -> None:
        client = Client()
        client.reads.clear()
        async with client.keep_alive():
            await asyncio.sleep(4)
        assert not client.writer.started, "the response may still get another status"
        client.reads.set()
        await asyncio.sleep(10)
        assert (client.heads, client.pieces) == ([], [])

    run(wait())


def test_signs_stop_at_the_end() -> None:
    async def wait() -> None:
        client = Client()
        async with client.keep_alive():
            await client.writer.write(b"all")
        await asyncio.sleep(10)
        assert client.pieces == [(0, b"all")]

    run(wait())


def test_failure_stops_the_signs_and_is_raised() -> None:
    async def fail(client: Client) -> None:
        async with client.keep_alive():
            await asyncio.sleep(4)
            raise ZeroDivisionError

    async def wait() -> None:
        client = Client()
        with pytest.raises(ZeroDivisionError):
            await fail(client)
        await asyncio.sleep(10)
        assert client.pieces == [(3000, COMMENT)]

    run(wait())


def test_white_space_goes_only_to_clients_that_give_up_early() -> None:
    rules = KeepAliveRules()
    for agent in (OPENROUTER, b"speakeasy-sdk/python 0.11.46 2.914.0 1.0.0 openrouter"):
        assert rules.covers_plain(agent, "1.1")
    for name, agent in OTHERS.items():
        assert not rules.covers_plain(agent, "1.1"), name


def test_white_space_goes_to_all_or_no_clients_by_setting() -> None:
    for agent in (OPENROUTER, *OTHERS.values()):
        assert KeepAliveRules(plain="on").covers_plain(agent, "1.1")
        assert not KeepAliveRules(plain="off").covers_plain(agent, "1.1")


def test_http_1_0_never_gets_white_space() -> None:
    assert not KeepAliveRules(plain="on").covers_plain(OPENROUTER, "1.0")


def test_signs_are_ignored_by_parsers() -> None:
    assert (COMMENT[:1], COMMENT[-2:]) == (b":", b"\n\n")
    assert WHITE_SPACE.strip(b" \t\n\r") == b""
