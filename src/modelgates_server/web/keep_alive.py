"""Signs of life for clients that wait: a stream gets comments, a plain answer leading white space.

OpenRouter's clients for Python, and LangChain's over them, give up after 5 s without a byte (the
default of httpx) and send the call again, for which the account pays again.
"""

import asyncio
import re
from typing import Literal, Self

import msgspec

from modelgates_server.web.response import ResponseWriter

_IMPATIENT = re.compile(rb"speakeasy-sdk/python [!-~ ]* openrouter")
"""openrouter 0.11.46 and 1.3.84, langchain-openrouter 0.2.9. Clients for JavaScript wait longer."""


class KeepAliveRules(msgspec.Struct, frozen=True, kw_only=True):
    """How long a client hears nothing at most, and which plain calls that holds for.

    Once a plain answer has begun, its status is 200 whatever comes; so `auto` begins early for
    those clients alone that would not live to see a status.
    """

    every_s: float = 3
    plain: Literal["auto", "on", "off"] = "auto"

    def covers_plain(self, user_agent: bytes, http_version: str) -> bool:
        """Whether a plain call gets white space. HTTP/1.0 has no answers of unknown length."""
        if self.plain == "off" or http_version == "1.0":
            return False
        return self.plain == "on" or _IMPATIENT.fullmatch(user_agent) is not None


class KeepAlive:
    """As long as the block runs, writes `sign` whenever nothing was written for `every_s`.

    `since_s` is when the silence began, by the clock of the event loop.
    """

    def __init__(
        self, writer: ResponseWriter, sign: bytes, *, every_s: float, since_s: float
    ) -> None:
        self._writer = writer
        self._sign = sign
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        writer.written_at_s = since_s
        self._timer = self._loop.call_at(since_s + every_s, self._look)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._task is not None and not self._task.done():
            # It waits for a slow client, or has not begun. What it has not sent is not missed.
            self._task.cancel()
            await asyncio.wait({self._task})

    def _look(self) -> None:
        now_s = self._loop.time()
        due_s = self._writer.written_at_s + self._every_s
        if self._writer.is_writing:
            due_s = now_s + self._every_s  # the client is slow to read what it has
        elif due_s <= now_s:
            self._task = self._loop.create_task(self._writer.write(self._sign))
            due_s = now_s + self._every_s
        self._timer = self._loop.call_at(due_s, self._look)
