"""Streams that repeats join, and what all of them must have in the end."""

import asyncio
from typing import NamedTuple

from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.service.calls.call import Call
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.service.calls.joined import JoinedCall
from tests.deadlines import within
from tests.gateway import (
    READ_PICO,
    WRITTEN_PICO,
    CallHarness,
    FakeClient,
    asking,
    begin,
    relay,
)
from tests.upstream import Gate, Upstream, UpstreamReply, story

TRUE_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO
STREAM = {"stream": True}
KEYED = asking(key="once", stream=True)
FIRST = asking(stream=True)
RETRY = asking(stream=True, is_retry=True)


class Running(NamedTuple):
    """A stream that waits at a gate after two words."""

    call: Call | JoinedCall
    client: FakeClient
    task: "asyncio.Task[None]"


async def start(harness: CallHarness, request: CallRequest) -> Running:
    client = FakeClient()
    call = await begin(harness.calls, harness.caller, request, client)
    assert not isinstance(call, StoredAnswer)
    return Running(call, client, asyncio.create_task(relay(call, client)))


def gated(upstream: Upstream, before: list[bytes] | None = None) -> Gate:
    gate = Gate(story()[:2] if before is None else before, story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    return gate


async def finish(*running: Running) -> None:
    async with within():
        await asyncio.gather(*(one.task for one in running))


async def billed(harness: CallHarness) -> int:
    account = await harness.account()
    assert account.held_pico == 0
    return account.usage_pico


def check_joined(upstream: Upstream, first: Running, *joined: Running) -> None:
    """All of them read the stream of one call to its end."""
    assert len(upstream.asked) == 1
    assert {one.call.generation.id for one in (first, *joined)} == {first.call.generation.id}
    for one in joined:
        assert one.client.text.endswith("data: [DONE]\n\n")
        words = [c["choices"][0]["delta"].get("content", "") for c in one.client.chunks[:-1]]
        assert "".join(words) == "word0 word1 word2 word3 word4 "
        assert one.client.chunks[-1]["usage"]["cost"] * 10**12 == TRUE_PICO
