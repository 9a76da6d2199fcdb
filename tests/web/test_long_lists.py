"""Long lists are read in turns, so that one account cannot keep the others from theirs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from modelgates_server.core.keys import KeyKind
from modelgates_server.service.ports import AuthenticatedKey
from modelgates_server.web.body_budget import BodyBudget
from modelgates_server.web.errors import HttpError
from modelgates_server.web.head import RequestHead
from modelgates_server.web.long_lists import (
    AT_ONCE,
    WAITING_MAX,
    WAITING_OF_ACCOUNT_MAX,
    LongLists,
)
from modelgates_server.web.request import CLIENT_HAS_LEFT, RequestContext
from tests.deadlines import within


async def no_body() -> dict[str, Any]:
    raise AssertionError


def request_of(
    account_id: str, client_has_left: Callable[[], bool] | None = None
) -> RequestContext:
    scope = {CLIENT_HAS_LEFT: client_has_left} if client_has_left else {}
    context = RequestContext(scope, no_body, RequestHead([]), BodyBudget(0, 0))
    context.known_caller = AuthenticatedKey(
        "hash", account_id, KeyKind.VIEWER, False, None, None, None, 0, 0, 0, 0, None
    )
    return context


class Reads:
    """Reads that the test ends, in the order in which they started."""

    def __init__(self) -> None:
        self.lists = LongLists()
        self.running: list[tuple[str, asyncio.Event]] = []
        self._starts = asyncio.Queue[str]()

    def start(
        self, account_id: str, client_has_left: Callable[[], bool] | None = None
    ) -> asyncio.Task[bytes]:
        async def read() -> str:
            ended = asyncio.Event()
            self.running.append((account_id, ended))
            self._starts.put_nowait(account_id)
            await ended.wait()
            return account_id

        request = request_of(account_id, client_has_left)
        return asyncio.create_task(self.lists.response_body(request, read, str.encode))

    async def next_start(self) -> str:
        async with within():
            return await self._starts.get()

    def end_first(self) -> None:
        self.running.pop(0)[1].set()

    @property
    def accounts(self) -> list[str]:
        return [account_id for account_id, _ in self.running]


async def settle() -> None:
    """Let everything run that is ready."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_account_with_many_requests_delays_another_by_one_turn() -> None:
    reads = Reads()
    tasks = [reads.start("busy") for _ in range(5)]
    await settle()
    assert reads.accounts == ["busy"], "an account has one turn at a time"
    tasks += [reads.start("other"), reads.start("third")]
    await settle()
    assert reads.accounts == ["busy", "other"]
    assert [await reads.next_start() for _ in range(2)] == ["busy", "other"]
    reads.end_first()
    assert await reads.next_start() == "third", "it came before the next of the busy account"
    reads.end_first()
    reads.end_first()
    for _ in range(4):
        assert await reads.next_start() == "busy"
        reads.end_first()
    async with within():
        await asyncio.gather(*tasks)
    assert [task.result() for task in tasks] == [b"busy"] * 5 + [b"other", b"third"]
    assert reads.lists._accounts == {}


async def test_account_with_too_many_requests_gets_a_429() -> None:
    reads = Reads()
    tasks = [reads.start("busy") for _ in range(WAITING_OF_ACCOUNT_MAX + 1)]
    await settle()
    with pytest.raises(HttpError, match="of this account are waiting") as raised:
        await reads.start("busy")
    assert (raised.value.status, raised.value.headers) == (429, [(b"retry-after", b"1")])
    other = reads.start("other")
    await settle()
    assert reads.accounts == ["busy", "other"]
    await cancelled(*tasks, other)


async def test_requests_of_many_accounts_are_limited() -> None:
    reads = Reads()
    tasks = [reads.start(f"user_{number}") for number in range(AT_ONCE + WAITING_MAX)]
    await settle()
    with pytest.raises(HttpError, match="Too many lists") as raised:
        await reads.start("late")
    assert (raised.value.status, raised.value.headers) == (503, [(b"retry-after", b"1")])
    await cancelled(*tasks)
    late = reads.start("late")
    await settle()
    assert "late" in reads.accounts
    await cancelled(late)
    assert reads.lists._accounts == {}


async def test_client_that_left_while_it_waited_gets_no_turn() -> None:
    reads = Reads()
    first, second = reads.start("busy"), reads.start("busy", lambda: True)
    await settle()
    reads.end_first()
    async with within():
        assert (await first, await second) == (b"busy", b"")
    assert reads.running == []


async def cancelled(*tasks: Awaitable[bytes]) -> None:
    for task in tasks:
        assert isinstance(task, asyncio.Task)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
