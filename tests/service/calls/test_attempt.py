"""One request to one endpoint: endless responses, bugs of the gateway, and the price so far."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from modelgates_server.core.errors import CallEnded, ProviderUnavailable
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.settlement import settle
from modelgates_server.core.pricing.prices import Tier
from modelgates_server.dialects.openai_chat import stream
from modelgates_server.service.calls import attempt, body
from modelgates_server.service.calls import call as calls
from modelgates_server.service.calls.call import Call
from tests.deadlines import DEADLINE_S
from tests.gateway import (
    ACME_PRICE,
    READ_PICO,
    WRITTEN_PICO,
    CallHarness,
    FakeClient,
    asking,
    relay,
    take,
)
from tests.upstream import Upstream, UpstreamReply, answer, chunk, plain, story, usage

TRUE_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO

CUT_BY_BYTES = 64 * 1024 + 32 * 100
"""Text of a stream, for which 100 tokens are held, after which it is cut at the latest."""

PIECE_BYTES = 64 * 1024
_SENT_MAX_BYTES = 64 * 1024 * 1024
"""More than sockets keep on the way."""


class Endless:
    """A stream without an end; `left` is set when its reader has gone, `sent_bytes` is its text.

    A gateway that never stops reading fails the test instead of hanging it.
    """

    def __init__(self, begin: bytes = b": begun\n\n") -> None:
        self._begin = begin
        self.sent_bytes = 0
        self.left = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        piece = chunk("w" * PIECE_BYTES)
        try:
            yield self._begin
            for _ in itertools.repeat(None):
                assert self.sent_bytes < _SENT_MAX_BYTES, "the stream was not ended"
                yield piece
                self.sent_bytes += PIECE_BYTES
        finally:
            self.left.set()


class Counting(FakeClient):
    """A client that keeps the end of what is written to it, and counts the text before it."""

    def __init__(self) -> None:
        super().__init__()
        self.text_bytes = 0

    async def write(self, data: bytes) -> None:
        self.text_bytes += data.count(b"w")
        self.pieces.clear()
        await super().write(data)


async def test_endless_stream_is_cut_and_charged_at_most_its_hold(
    harness: CallHarness, upstream: Upstream
) -> None:
    endless, client = Endless(), Counting()
    upstream.say = lambda _: UpstreamReply(endless)
    generation = await harness.stream(asking(stream=True, max_tokens=100), client)
    [last] = client.chunks
    assert last["error"]["code"] == 502
    assert "more output than the request allows" in last["error"]["message"]
    assert last["choices"][0]["finish_reason"] == "error"
    closed = await asyncio.to_thread(endless.left.wait, DEADLINE_S)
    assert closed, "the connection to the provider is closed"
    assert 0 < client.text_bytes <= CUT_BY_BYTES + PIECE_BYTES
    assert generation.state is HoldState.CAPTURED
    assert 0 < generation.cost_pico <= generation.hold_pico
    account = await harness.account()
    assert (account.usage_pico, account.held_pico) == (generation.cost_pico, 0)


async def test_stream_is_not_cut_while_its_text_is_plausible_for_its_tokens(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply(
        [chunk("w" * 32 * 100), chunk(finish="stop", usage=usage(3, 100)), b"data: [DONE]\n\n"]
    )
    client = FakeClient()
    generation = await harness.stream(asking(stream=True, max_tokens=100), client)
    assert "error" not in client.chunks[-1]
    assert generation.error is None


async def test_plain_response_with_half_a_character_is_repaired_and_charged(
    harness: CallHarness, upstream: Upstream
) -> None:
    good = b'{"message":{"content":"hello there"},"finish_reason":"stop"}'
    bad = b'{"message":{"tool_calls":[{"function":{"arguments":"\\ud800"}}]}}'
    sent = b'{"choices":[%b,%b],"usage":{"prompt_tokens":3,"completion_tokens":5}}' % (good, bad)
    upstream.say = lambda _: UpstreamReply([sent], content_type="application/json")
    answered, generation = await harness.answer(asking(n=2))
    calls = answered["choices"][1]["message"]["tool_calls"]
    assert calls[0]["function"]["arguments"] == "\ufffd"
    assert generation.cost_pico == TRUE_PICO


async def test_plain_response_lost_by_a_gateway_bug_costs_nothing(
    harness: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client gets no word of it, however much was said and reported."""
    upstream.say = lambda _: plain(answer("hello there", usage(3, 5)))
    call = await harness.begin(asking())

    def mistake(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(stream, "rewrite_answer", mistake)
    with pytest.raises(ZeroDivisionError):
        await take(call)
    await check_free(harness, call)


async def test_stream_stopped_by_a_gateway_bug_is_charged_for_the_relayed_part(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply([chunk("word0 "), chunk("word1 ")] * 1000)

    class Mistaken(FakeClient):
        async def write(self, data: bytes) -> None:
            await super().write(data)
            if "word1" in self.text:
                raise ZeroDivisionError

    call = await harness.begin(asking(stream=True))
    with pytest.raises(ZeroDivisionError):
        await relay(call, Mistaken())
    generation = await harness.saved(call)
    assert generation.state is HoldState.CAPTURED
    assert 0 < generation.cost_pico == (await harness.account()).usage_pico


@pytest.mark.parametrize("stream", [False, True])
async def test_endless_provider_error_is_not_read_to_its_end(
    harness: CallHarness, upstream: Upstream, *, stream: bool
) -> None:
    endless = Endless()
    upstream.say = lambda _: UpstreamReply(endless, 500, "application/json")
    call = await harness.begin(asking(stream=stream))
    with pytest.raises(ProviderUnavailable):
        await (relay(call, FakeClient()) if stream else take(call))
    assert await asyncio.to_thread(endless.left.wait, DEADLINE_S)
    await check_free(harness, call)


async def test_endless_plain_body_for_a_stream_is_not_read_to_its_end(
    harness: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "ANSWER_MAX_BYTES", CUT_BY_BYTES)
    endless = Endless(b'{"choices":')
    upstream.say = lambda _: UpstreamReply(endless, 200, "application/json")
    call = await harness.begin(asking(stream=True))
    with pytest.raises(ProviderUnavailable):
        await relay(call, FakeClient())
    assert await asyncio.to_thread(endless.left.wait, DEADLINE_S)
    await check_free(harness, call)


async def test_endless_plain_response_is_not_read_to_its_end(
    harness: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "ANSWER_MAX_BYTES", CUT_BY_BYTES)  # 64 MiB take a while
    endless = Endless()
    upstream.say = lambda _: UpstreamReply(endless, 200, "application/json")
    call = await harness.begin(asking())
    with pytest.raises(ProviderUnavailable, match="more than"):
        await take(call)
    assert await asyncio.to_thread(endless.left.wait, DEADLINE_S)
    await check_free(harness, call)


async def test_call_with_a_response_too_large_to_store_is_not_made_again(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: plain(answer("w" * calls.STORED_ANSWER_MAX_BYTES, usage(3, 5)))
    _, generation = await harness.answer(asking(key="once"))
    assert await harness.store.answer(generation.account_id, generation.id) is None
    with pytest.raises(CallEnded, match=generation.id):
        await harness.begin(asking(key="once"))
    assert len(upstream.asked) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_call_that_cannot_be_priced_releases_its_hold(
    harness: CallHarness, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    """A bug in pricing may cost the platform the call, but must not lock credits."""
    upstream.say = lambda _: (
        UpstreamReply(story()) if stream else plain(answer("hello", usage(3, 5)))
    )

    def mistaken(*given: Any, **named: Any) -> Generation:
        if given[-1].has_output:
            raise ZeroDivisionError
        return settle(*given, **named)

    monkeypatch.setattr(attempt, "settle", mistaken)
    call = await harness.begin(asking(stream=stream))
    with pytest.raises(ZeroDivisionError):
        await (relay(call, FakeClient()) if stream else take(call))
    await check_free(harness, call)


async def test_checkpoint_and_end_use_the_price_of_the_running_attempt(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply(story())
    call = await harness.begin(asking(stream=True))
    admitted = call._attempt._call
    dear = {meter: 2 * rate for meter, rate in ACME_PRICE.tiers[0].rates.items()}
    price = msgspec.structs.replace(ACME_PRICE, tiers=(Tier(0, dear),))
    served = msgspec.structs.replace(admitted.served, price=price)
    other = attempt.RunningAttempt(msgspec.structs.replace(admitted, served=served), harness.clock)
    for each in (call._attempt, other):
        for piece in story():
            list(each.response.feed(piece))
    assert other.checkpoint().cost_pico == 2 * call._attempt.checkpoint().cost_pico > 0
    ended = [each.settle(None, cancelled=False) for each in (call._attempt, other)]
    assert [each.cost_pico for each in ended] == [TRUE_PICO, 2 * TRUE_PICO]
    await relay(call, FakeClient())


async def test_received_chunks_are_metered_at_the_end_when_they_were_not_relayed(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply(story())
    call = await harness.begin(asking(stream=True))
    call._attempt.unread = call._attempt.response.feed(b"".join(story()))
    assert call._attempt.settle(None, cancelled=False).cost_pico == TRUE_PICO
    await relay(call, FakeClient())


async def check_free(harness: CallHarness, call: Call) -> None:
    generation = await harness.saved(call)
    assert (generation.state, generation.cost_pico) == (HoldState.VOIDED, 0)
    account = await harness.account()
    assert (account.usage_pico, account.held_pico) == (0, 0)
