"""Clients that never retry and keep a server busy while it is restarted. They count failures."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import openai

from modelgates_server.web.http.listening import UNIX
from tests.deadlines import DEADLINE_S, within
from tests.server import Customer, RunningServer

RAW_CLIENTS, PLAIN_CLIENTS, STREAM_CLIENTS = 16, 6, 8
STREAM = json.dumps({"tokens": 12, "chunk_ms": 40})
MESSAGES: Any = [{"role": "user", "content": "hello"}]


class RestartLoad:
    """Calls through connections that are kept open, until `stop`; `failures` must stay empty.

    Half of the clients write HTTP by hand: they use a connection until a response says that it is
    the last, and notice everything that a library would repeat or hide.
    """

    def __init__(self, server: RunningServer, customer: Customer) -> None:
        self.successes = 0
        self.failures: list[str] = []
        self._server = server
        self._key = customer.inference
        self._stopping = False

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Does some work under load."""
        async with openai.AsyncOpenAI(
            api_key=self._key, base_url=self._server.api, max_retries=0, timeout=DEADLINE_S
        ) as client:
            calls = [self._raw] * RAW_CLIENTS
            if not self._server.url.startswith(UNIX):  # which the client does not know
                calls += [lambda: self._plain(client)] * PLAIN_CLIENTS
                calls += [lambda: self._stream(client)] * STREAM_CLIENTS
            clients = [asyncio.create_task(self._repeat(call)) for call in calls]
            try:
                await self.more()
                async with within():
                    await work()
            finally:
                self._stopping = True
                async with within():
                    await asyncio.gather(*clients)

    async def more(self) -> None:
        """Waits until each client may have made a few more calls."""
        enough = self.successes + 3 * (RAW_CLIENTS + PLAIN_CLIENTS + STREAM_CLIENTS)
        async with within():
            while self.successes < enough and not self.failures:  # noqa: ASYNC110 - counts
                await asyncio.sleep(0.01)

    async def _repeat(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while not self._stopping:
            try:
                await call()
            except (OSError, EOFError, openai.OpenAIError, AssertionError) as error:
                self.failures.append(f"{type(error).__name__}: {error!r}")
                return

    async def _plain(self, client: openai.AsyncOpenAI) -> None:
        done = await client.chat.completions.create(model="sandbox/echo", messages=MESSAGES)
        assert done.choices[0].finish_reason == "stop"
        self.successes += 1

    async def _stream(self, client: openai.AsyncOpenAI) -> None:
        chunks = await client.chat.completions.create(
            model="sandbox/chaos", messages=[{"role": "user", "content": STREAM}], stream=True
        )
        ends = [chunk.choices[0].finish_reason async for chunk in chunks if chunk.choices]
        assert "stop" in ends or "length" in ends, ends
        self.successes += 1

    async def _raw(self) -> None:
        """Makes calls on one connection until a response ends it."""
        body = json.dumps({"model": "sandbox/echo", "messages": MESSAGES}).encode()
        head = (
            f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n"
            f"Authorization: Bearer {self._key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await self._connect()
        try:
            is_last = False
            while not (is_last or self._stopping):
                writer.write(head.encode() + body)
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                assert lines.startswith("http/1.1 200 "), lines
                length = lines.partition("content-length: ")[2].partition("\r\n")[0]
                await reader.readexactly(int(length))
                self.successes += 1
                is_last = "connection: close" in lines
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._server.url.startswith(UNIX):
            return await asyncio.open_unix_connection(self._server.url.removeprefix(UNIX))
        host, port = self._server.url.removeprefix("http://").rsplit(":", 1)
        return await asyncio.open_connection(host.strip("[]"), int(port))
