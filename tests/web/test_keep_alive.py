"""When signs of life leave, to the millisecond: the time of these tests passes at once."""

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
    """What was sent to it and when, in milliseconds; it may read slowly."""

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


def test_silence_gets_the_head_and_a_sign_after_three_seconds_and_one_every_three() -> None:
    async def wait() -> None:
        client = Client()
        async with client.keep_alive():
            await asyncio.sleep(10)
        assert client.heads == [3000]
        assert client.pieces == [(3000, COMMENT), (6000, COMMENT), (9000, COMMENT)]

    run(wait())


def test_silence_is_counted_from_the_last_piece_and_no_gap_is_longer() -> None:
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


def test_a_head_is_heard_like_a_piece() -> None:
    async def wait() -> None:
        client = Client()
        async with client.keep_alive():
            await asyncio.sleep(2)
            await client.writer.start()
            await asyncio.sleep(4)
        assert (client.heads, client.pieces) == ([2000], [(5000, COMMENT)])

    run(wait())


def test_what_the_hold_took_counts_as_silence() -> None:
    async def wait() -> None:
        client = Client()
        await asyncio.sleep(5)
        async with client.keep_alive(since_s=1):
            await asyncio.sleep(4)
        assert client.pieces == [(5000, COMMENT), (8000, COMMENT)]

    run(wait())


def test_a_client_that_reads_slowly_is_sent_no_signs() -> None:
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


def test_an_end_while_a_sign_waits_for_the_client_leaves_nothing_sent() -> None:
    async def wait() -> None:
        client = Client()
        client.reads.clear()
        async with client.keep_alive():
            await asyncio.sleep(4)
        assert not client.writer.started, "so it may still become an answer with a status"
        client.reads.set()
        await asyncio.sleep(10)
        assert (client.heads, client.pieces) == ([], [])

    run(wait())


def test_after_the_end_there_are_no_signs() -> None:
    async def wait() -> None:
        client = Client()
        async with client.keep_alive():
            await client.writer.write(b"all")
        await asyncio.sleep(10)
        assert client.pieces == [(0, b"all")]

    run(wait())


def test_a_failure_ends_the_signs_and_comes_through() -> None:
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


def test_clients_known_to_give_up_early_get_white_space_and_nobody_else_does() -> None:
    rules = KeepAliveRules()
    for agent in (OPENROUTER, b"speakeasy-sdk/python 0.11.46 2.914.0 1.0.0 openrouter"):
        assert rules.covers_plain(agent, "1.1")
    for name, agent in OTHERS.items():
        assert not rules.covers_plain(agent, "1.1"), name


def test_white_space_is_for_all_or_for_nobody_by_setting() -> None:
    for agent in (OPENROUTER, *OTHERS.values()):
        assert KeepAliveRules(plain="on").covers_plain(agent, "1.1")
        assert not KeepAliveRules(plain="off").covers_plain(agent, "1.1")


def test_an_answer_of_http_1_0_is_never_begun_early() -> None:
    assert not KeepAliveRules(plain="on").covers_plain(OPENROUTER, "1.0")


def test_signs_are_no_part_of_what_is_said() -> None:
    assert (COMMENT[:1], COMMENT[-2:]) == (b":", b"\n\n")
    assert WHITE_SPACE.strip(b" \t\n\r") == b""
