"""Turns for requests that read and encode long lists, so that no account occupies all threads.

An account has one turn at a time, and there are two in all. The others wait in the order in which
they came. Each account waits for itself first, and delays another account by one turn at most,
however many requests it sends.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from modelgates_server.web.errors import HttpError
from modelgates_server.web.request import RequestContext

T = TypeVar("T")

AT_ONCE = 2
WAITING_OF_ACCOUNT_MAX = 8
WAITING_MAX = 64
_RETRY_SOON = [(b"retry-after", b"1")]


class _Account:
    """The requests of one account: one has its turn, or waits for it, and the others wait."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.requests = 0


class LongLists:
    """Reads and encodes long lists, in turns."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(AT_ONCE)
        self._accounts: dict[str, _Account] = {}
        self._requests = 0
        self._threads = ThreadPoolExecutor(AT_ONCE, "modelgates-lists")

    async def response_body(
        self,
        context: RequestContext,
        read: Callable[[], Awaitable[T]],
        encode: Callable[[T], bytes],
    ) -> bytes:
        """Read a list, and encode it on a thread; nothing if the client has left meanwhile.

        Raises a 429 if too many requests of the account are waiting, and a 503 if too many of all
        accounts are.
        """
        async with self._turn(context.caller.account_id):
            if context.client_has_left():
                return b""
            content = await read()
            return await asyncio.get_running_loop().run_in_executor(self._threads, encode, content)

    @asynccontextmanager
    async def _turn(self, account_id: str) -> AsyncIterator[None]:
        if self._requests >= AT_ONCE + WAITING_MAX:
            raise HttpError(
                503, "Too many lists are being read at once. Try again in a second.", _RETRY_SOON
            )
        account = self._accounts.setdefault(account_id, _Account())
        if account.requests > WAITING_OF_ACCOUNT_MAX:
            raise HttpError(
                429,
                f"More than {WAITING_OF_ACCOUNT_MAX} requests of this account are waiting for "
                "lists. Send one after the other.",
                _RETRY_SOON,
            )
        account.requests += 1
        self._requests += 1
        try:
            async with account.turn, self._room:
                yield
        finally:
            account.requests -= 1
            self._requests -= 1
            if not account.requests:
                del self._accounts[account_id]
