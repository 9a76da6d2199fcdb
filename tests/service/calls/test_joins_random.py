"""Clients that come, leave, repeat and are cancelled at random moments: each call ends once."""

import asyncio
import random
from functools import partial
from typing import NamedTuple

import pytest

from modelgates_server.core.errors import GatewayError
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.service.calls.joined import JoinedCall
from modelgates_server.service.calls.joins import JoinableCall
from tests.deadlines import within
from tests.gateway import CallHarness, FakeClient, asking, begin, relay, until
from tests.service.calls.joining import KEYED, finish, gated, start
from tests.upstream import Upstream, UpstreamReply, plain, story

END = "data: [DONE]\n\n"
CLIENTS = 40
REPLIES = [
    plain({"error": {"message": "oops"}}, 500),
    UpstreamReply(story()[:3]),
    *[UpstreamReply(story())] * 8,
]


class RandomClient(FakeClient):
    """A client that reads slowly, and may leave."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self._leaves_after = dice.choice([None, dice.randrange(1, 8)])

    async def write(self, data: bytes) -> None:
        for _ in range(self._dice.choice([0, 0, 1, 3, 100])):
            await asyncio.sleep(0)
        await super().write(data)
        self.left = self.left or len(self.pieces) == self._leaves_after


class StuckClient(FakeClient):
    """A client that stops reading after two pieces, until its request is cancelled."""

    async def write(self, data: bytes) -> None:
        await super().write(data)
        if len(self.pieces) == 2:
            await asyncio.Event().wait()


class Outcome(NamedTuple):
    """What a client got: the text of a stream, or an error."""

    generation_id: str | None
    text: str
    error: BaseException | None = None


Tasks = list["asyncio.Task[Outcome]"]


def random_request(dice: random.Random) -> CallRequest:
    key = dice.choice([None, None, "one", "two"])
    return asking(dice.choice("ab"), stream=True, is_retry=dice.random() < 0.7, key=key)


async def call(harness: CallHarness, dice: random.Random, running: "Tasks") -> Outcome:
    """A client's call. Its task is in `running` from the time when its hold is placed."""
    client = RandomClient(dice)
    for _ in range(dice.randrange(200)):
        await asyncio.sleep(0)
    generation_id = None
    try:
        request = random_request(dice)
        async with harness.calls.call(harness.caller, request, lambda: client.left) as entered:
            assert not isinstance(entered, StoredAnswer)
            running.append(current_task())
            generation_id = entered.generation.id
            await entered.open()
            async for piece in entered.stream():
                await client.write(piece)
    except (GatewayError, asyncio.CancelledError) as error:
        return Outcome(generation_id, client.text, error)
    return Outcome(generation_id, client.text)


@pytest.mark.parametrize("room_bytes", [100, 2**20])
@pytest.mark.parametrize("seed", range(12))
async def test_random_repeats_get_the_same_and_leave_nothing_behind(
    quiet: CallHarness,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
    *,
    seed: int,
    room_bytes: int,
) -> None:
    dice = random.Random(seed)
    memory, registry = quiet.calls._joins._memory, quiet.calls.registry
    monkeypatch.setattr(memory, "lease", partial(memory.lease, most_bytes=room_bytes))
    upstream.say = lambda _: dice.choice(REPLIES)
    before = asyncio.all_tasks()
    running: Tasks = []
    tasks = [asyncio.create_task(call(quiet, dice, running)) for _ in range(CLIENTS)]
    share_cancelled = dice.choice([0, 0.3, 1])
    async with within():
        for _ in range(dice.randrange(300)):
            registry.heartbeat()
            await asyncio.sleep(0)
        for task in running:
            if dice.random() < share_cancelled:
                task.cancel()
        outcomes = await asyncio.gather(*tasks)
        await registry.stop()
    check_equal_texts(outcomes)
    assert (await quiet.account()).held_pico == 0
    # The garbage collector may have begun to close a generator of its own accord.
    await until(lambda: asyncio.all_tasks() <= before)


def current_task() -> "asyncio.Task[Outcome]":
    task = asyncio.current_task()
    assert task is not None
    return task


def check_equal_texts(outcomes: list[Outcome]) -> None:
    """All clients of a call that got a whole stream got the same."""
    texts: dict[str | None, set[str]] = {}
    for outcome in outcomes:
        if outcome.error is None:
            assert outcome.text.endswith(END)
            texts.setdefault(outcome.generation_id, set()).add(outcome.text)
    assert all(len(each) == 1 for each in texts.values())


async def test_repeat_of_an_ended_stream_has_an_error_end_when_the_server_stops(
    quiet: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply(story())
    first = await start(quiet, KEYED)
    await finish(first)

    client = StuckClient()
    scope = quiet.calls.call(quiet.caller, KEYED, lambda: client.left)
    async with within():
        repeat = await scope.__aenter__()
        assert not isinstance(repeat, StoredAnswer)
        task = asyncio.create_task(relay(repeat, client))
        await client.until("word0")
        task.cancel()
        await task
    last = client.chunks[-1]
    assert last["error"]["code"] == 503
    assert last["id"] == first.call.generation.id
    assert last["usage"]["cost"] == first.client.chunks[-1]["usage"]["cost"]


async def test_cancelled_repeat_does_not_hold_up_an_output_that_is_not_kept(
    quiet: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = quiet.calls._joins._memory
    monkeypatch.setattr(memory, "lease", partial(memory.lease, most_bytes=1000))
    gate = gated(upstream)
    first = await start(quiet, KEYED)
    await first.client.until("word1")
    client = StuckClient()
    repeat = await begin(quiet.calls, quiet.caller, KEYED, client)
    assert isinstance(repeat, JoinedCall)
    task = asyncio.create_task(relay(repeat, client))
    await client.until("word0")
    gate.go.set()
    await until(lambda: not first.call.output.is_kept)  # type: ignore[union-attr]
    task.cancel()
    await finish(first)
    async with within():
        await task
    assert client.chunks[-1]["error"]["code"] == 503


async def test_ended_calls_of_other_requests_cost_a_retry_and_the_heartbeat_nothing(
    quiet: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key may have thousands of them, and both run on the event loop."""
    upstream.say = lambda _: UpstreamReply(story())
    quiet.calls.registry.heartbeat()
    for number in range(3):
        left = FakeClient()
        left.left = True
        request = asking(str(number), stream=True)
        await relay(await quiet.begin(request, left), left)

    def look(*_: object) -> None:
        raise AssertionError("looks at the call of another request")

    with monkeypatch.context() as patched:
        patched.setattr(JoinableCall, "verdict", look)
        patched.setattr(JoinableCall, "is_worth_keeping", look)
        quiet.calls.registry.heartbeat()
        retry = asking("new", stream=True, is_retry=True)
        call = await quiet.begin(retry)
    await relay(call, FakeClient())
    assert len(upstream.asked) == 4
