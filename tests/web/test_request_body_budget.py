"""The limits for the bodies of all running requests together, and for those of one account."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.keys import KeyKind
from modelgates_server.service.ports import AuthenticatedKey
from modelgates_server.web.body_budget import SMALL_MAX_BYTES, BodyBudget
from modelgates_server.web.errors import HttpError
from modelgates_server.web.head import RequestHead
from modelgates_server.web.request import UNPAID_MAX_BYTES, RequestContext
from tests.deadlines import within
from tests.server import Customer, new_customer
from tests.support import DOLLAR
from tests.web.harness import BODIES_MAX_BYTES, BODY_MAX_BYTES, Api

CHAT = "/api/v1/chat/completions"
NOT_JSON = b" " * BODY_MAX_BYTES
ACCOUNTS = ("user_a", "user_b", "user_c", None)
TOTAL = 16 * SMALL_MAX_BYTES


def held_bytes(budget: BodyBudget) -> int:
    """The bytes of all bodies, those without an account included."""
    return budget._held_bytes + budget._anonymous_bytes


class Slow:
    """A body that stays unfinished until `rest` is set."""

    def __init__(self) -> None:
        self.arrived, self.rest = asyncio.Semaphore(0), asyncio.Event()

    async def __call__(self, content: bytes) -> AsyncIterator[bytes]:
        yield content
        self.arrived.release()
        await self.rest.wait()


async def unread() -> AsyncIterator[bytes]:
    """A body that the server must not read."""
    raise AssertionError("the body was read")
    yield b""


async def send(api: Api, key: str, content: Any, **headers: str) -> tuple[int, str]:
    answer = await api.call("POST", CHAT, key, content=content, headers=headers)
    assert answer.status_code != 503 or answer.headers["retry-after"] == "1"
    return answer.status_code, answer.json()["error"]["message"]


async def test_account_that_uses_its_share_leaves_room_for_others(api: Api, acme: Customer) -> None:
    slow, other = Slow(), await new_customer(api.services)
    waiting = asyncio.ensure_future(send(api, acme.inference, slow(NOT_JSON)))
    await slow.arrived.acquire()
    status, message = await send(api, acme.inference, b"{}")
    assert (status, message[:40]) == (503, "The running requests of this account are")
    assert (await send(api, other.inference, NOT_JSON))[0] == 400
    slow.rest.set()
    assert (await waiting)[0] == 400
    assert (await send(api, acme.inference, NOT_JSON))[0] == 400, "the share is free again"


async def test_large_bodies_leave_a_quarter_to_small_ones(api: Api, acme: Customer) -> None:
    slow, count = Slow(), BODIES_MAX_BYTES * 3 // 4 // BODY_MAX_BYTES
    keys = [(await new_customer(api.services)).inference for _ in range(count)]
    waiting = [asyncio.ensure_future(send(api, key, slow(NOT_JSON))) for key in keys]
    for _ in waiting:
        await slow.arrived.acquire()
    status, message = await send(api, acme.inference, b" " * (SMALL_MAX_BYTES + 1))
    assert (status, "too many large requests" in message) == (503, True)
    assert (await send(api, acme.inference, b" " * SMALL_MAX_BYTES))[0] == 400
    slow.rest.set()
    assert [status for status, _ in await asyncio.gather(*waiting)] == [400] * count
    assert (await send(api, acme.inference, NOT_JSON))[0] == 400, "the room is free again"


async def test_body_without_room_is_rejected_before_it_is_read(api: Api, acme: Customer) -> None:
    slow = Slow()
    waiting = asyncio.ensure_future(send(api, acme.inference, slow(b" " * (BODY_MAX_BYTES // 2))))
    await slow.arrived.acquire()
    too_long = {"Content-Length": str(BODY_MAX_BYTES // 2 + 1)}
    assert (await send(api, acme.inference, unread(), **too_long))[0] == 503
    slow.rest.set()
    await waiting


@pytest.mark.parametrize("balance", ["none", "spent", "debt"])
async def test_large_body_of_an_account_without_credits_is_rejected(api: Api, balance: str) -> None:
    poor = await new_customer(api.services, 0 if balance == "none" else DOLLAR)
    if balance != "none":
        await api.spend(poor.account_id, poor.inference, DOLLAR)
    most, more = b" " * UNPAID_MAX_BYTES, b" " * (UNPAID_MAX_BYTES + 1)
    assert (await send(api, poor.inference, most))[0] == 400
    for content, headers in (
        (more, {}),
        (Slow()(more), {}),
        (unread(), {"Content-Length": str(len(more))}),
    ):
        status, message = await send(api, poor.inference, content, **headers)
        assert status == 402
        assert message == (
            "Insufficient credits. Without credits, a request may have at most 256 KiB. "
            "Add credits, or send less."
        )


async def test_large_body_is_read_when_the_floor_allows_debt(api: Api) -> None:
    account = await api.services.accounts.open("Postpaid", -DOLLAR)
    key, _ = await api.issue(account.id)
    assert (await send(api, key, NOT_JSON))[0] == 400


async def test_clients_without_a_valid_key_take_no_room(api: Api, acme: Customer) -> None:
    for key in ("", "sk-mg-v1-unknown", acme.viewer):
        headers = {"Authorization": f"Bearer {key}"}
        answer = await api.client.post(CHAT, content=unread(), headers=headers)
        assert answer.status_code in (401, 403)
    budget = BodyBudget(SMALL_MAX_BYTES)
    budget.take(None, 0, SMALL_MAX_BYTES)
    budget.take("user_a", 0, SMALL_MAX_BYTES // 4)
    with pytest.raises(HttpError, match="without a key"):
        budget.take(None, SMALL_MAX_BYTES, 4 * 2**20)


def caller(account_id: str) -> AuthenticatedKey:
    return AuthenticatedKey(
        key_hash=secrets.token_hex(32),
        account_id=account_id,
        kind=KeyKind.INFERENCE,
        disabled=False,
        deleted_at_ms=None,
        expires_at_ms=None,
        closed_at_ms=None,
        credits_pico=DOLLAR,
        usage_pico=0,
        held_pico=0,
        min_balance_pico=0,
        secret_ends_at_ms=None,
    )


class Arriving:
    """A request whose messages a test sends one by one."""

    def __init__(self, budget: BodyBudget, account_id: str | None) -> None:
        self.account_id, self.messages = account_id, asyncio.Queue[Any]()
        scope = {"type": "http", "headers": []}
        self.context = RequestContext(scope, self.messages.get, RequestHead([]), budget)
        self.context.known_caller = None if account_id is None else caller(account_id)
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            await self.context.body(8 * SMALL_MAX_BYTES)
        finally:
            self.context.close()
            self.context.close()

    def take(self, step: str, size: int) -> None:
        if step == "cancel":
            self.task.cancel()
        elif step == "leave":
            self.messages.put_nowait({"type": "http.disconnect"})
        else:
            message = {"type": "http.request", "body": bytes(size), "more_body": step == "send"}
            self.messages.put_nowait(message)


STEPS = st.tuples(
    st.integers(0, 7),
    st.sampled_from(["send", "send", "send", "end", "leave", "cancel"]),
    st.sampled_from([0, 1, SMALL_MAX_BYTES - 1, SMALL_MAX_BYTES, SMALL_MAX_BYTES + 1, 2**18]),
)


async def interleaved(owners: list[str | None], steps: list[tuple[int, str, int]]) -> None:
    budget = BodyBudget(TOTAL)
    arriving = [Arriving(budget, owner) for owner in owners]
    for number, step, size in steps:
        arriving[number].take(step, size)
        for _ in range(3):
            await asyncio.sleep(0)
        check_limits(budget, arriving)
    for each in arriving:
        each.task.cancel()
    await asyncio.gather(*(each.task for each in arriving), return_exceptions=True)
    assert held_bytes(budget) == 0
    for account in ("user_a", "user_b", "user_c"):
        budget.take(account, 0, TOTAL // 4)


@given(owners=st.lists(st.sampled_from(ACCOUNTS), min_size=8, max_size=8), steps=st.lists(STEPS))
def test_room_is_released_exactly_once_however_requests_end(
    owners: list[str | None], steps: list[tuple[int, str, int]]
) -> None:
    async def within_the_deadline() -> None:
        async with within():
            await interleaved(owners, steps)

    asyncio.run(within_the_deadline())


def check_limits(budget: BodyBudget, arriving: list[Arriving]) -> None:
    """The budget counts exactly the bodies of running requests, within all limits."""
    held = {each: each.context._held_bytes for each in arriving}
    assert held_bytes(budget) == sum(held.values())
    assert sum(size for size in held.values() if size > SMALL_MAX_BYTES) <= TOTAL * 3 // 4 + sum(
        size for each, size in held.items() if each.account_id is None
    )
    for account in ACCOUNTS[:3]:
        of_account = sum(size for each, size in held.items() if each.account_id == account)
        assert of_account <= TOTAL // 4
    assert not any(each.context._held_bytes for each in arriving if each.task.done())
