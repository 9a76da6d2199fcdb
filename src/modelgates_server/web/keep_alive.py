"""Signs of life for waiting clients: comments in a stream, leading white space in a plain response.

OpenRouter's Python clients, and LangChain's on top of them, give up after 5 s without a byte
(httpx's default) and send the call again, which the account pays for again.
"""

import asyncio
import re
from typing import Literal, Self

import msgspec

from modelgates_server.web.response import ResponseWriter

_IMPATIENT = re.compile(rb"speakeasy-sdk/python [!-~ ]* openrouter")
"""openrouter 0.11.46 and 1.3.84, langchain-openrouter 0.2.9. JavaScript clients wait longer."""


class KeepAliveRules(msgspec.Struct, frozen=True, kw_only=True):
    """The longest silence that a client sees, and the plain calls to which it applies.

    Once a plain response has begun, its status is 200 whatever happens. So `auto` begins early
    only for clients that would give up before they see a status.
    """

    every_s: float = 3
    plain: Literal["auto", "on", "off"] = "auto"

    def covers_plain(self, user_agent: bytes, http_version: str) -> bool:
        """Whether a plain call gets white space. HTTP/1.0 has no responses of unknown length."""
        if self.plain == "off" or http_version == "1.0":
            return False
        return self.plain == "on" or _IMPATIENT.fullmatch(user_agent) is not None


class KeepAlive:
    """Writes `sign` whenever nothing was written for `every_s`, as long as the block runs.

    `since_s` is the time at which the silence began, by the clock of the event loop.
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
            # It waits for a slow client, or has not begun. The client does not miss the sign.
            self._task.cancel()
            await asyncio.wait({self._task})

    def _look(self) -> None:
        now_s = self._loop.time()
        due_s = self._writer.written_at_s + self._every_s
        if self._writer.is_writing:
            due_s = now_s + self._every_s  # the client is slow to read what was sent
        elif due_s <= now_s:
            self._task = self._loop.create_task(self._writer.write(self._sign))
            due_s = now_s + self._every_s
        self._timer = self._loop.call_at(due_s, self._look)
