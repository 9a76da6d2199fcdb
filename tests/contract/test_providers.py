"""One suite for two providers of the same models: in this process, and over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest

from modelgates_server.core.errors import ProviderUnavailable
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.sse import SseReader
from modelgates_server.providers.http import HttpProvider, ProviderSettings
from modelgates_server.providers.sandbox.provider import SandboxProvider
from modelgates_server.service.ports import Provider
from tests.providers.sandbox import WITH_USAGE, events_of, running_sandbox, says, wish
from tests.support import ManualClock

LIMIT_BYTES = 2**20
LONG_MS = 600_000
COMPLETE = ["role", "lorem ", "ipsum ", "dolor ", "stop"]
GARBAGE = '{"id":"chatcmpl-garbage","choices":[{"index":0,"del'
BROKEN_OFF = "The provider `sandbox` ended its response before it was complete."


class Received(NamedTuple):
    """An answer up to its end, or up to the point where it broke off."""

    status: int
    retry_after_s: int | None
    is_stream: bool
    body: bytes
    error: str | None


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_sandbox() as url:
        yield url


@pytest.fixture(params=["in process", "over HTTP"])
async def provider(
    request: pytest.FixtureRequest, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Provider]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    opened: Provider = SandboxProvider(clock)
    if request.param == "over HTTP":
        url = request.getfixturevalue("server")
        settings = ProviderSettings(name="sandbox", base_url=f"{url}/v1", api_key="any")
        opened = HttpProvider(settings, clock)
    yield opened
    await opened.close()


def body_of(**members: Any) -> bytes:
    return json.dumps(members).encode()


def chaos_body(members: dict[str, Any], **body: Any) -> bytes:
    return body_of(model="chaos", messages=wish(**members), **body)


async def receive(provider: Provider, api: Api, body: bytes) -> Received:
    reply = await provider.send(api, body)
    head = (reply.status, reply.retry_after_s, reply.is_stream)
    pieces, error = [], None
    try:
        if reply.is_stream:
            async for data in reply.chunks():
                pieces.append(data)  # noqa: PERF401 - data before an error counts
        else:
            pieces.append(await reply.read(LIMIT_BYTES))
    except ProviderUnavailable as unavailable:
        error = str(unavailable)
    reply.close()
    return Received(*head, b"".join(pieces), error)


async def receive_stream(provider: Provider, members: dict[str, Any]) -> list[Any]:
    """A summary of each event of a stream of three tokens with usage."""
    tokens = {} if "say" in members else {"tokens": 3}
    received = await receive(provider, Api.CHAT, chaos_body({**tokens, **members}, **WITH_USAGE))
    assert (received.status, received.is_stream, received.error) == (200, True, None)
    return [summary_of(event) for event in events_of(received.body)]


def summary_of(event: Any) -> Any:
    if not isinstance(event, dict):
        return event
    if "error" in event:
        return event["error"]["type"]
    if event["usage"] is not None:
        assert event["choices"] == []
        return event["usage"]
    (choice,) = event["choices"]
    if "role" in choice["delta"]:
        return "role"
    return choice["delta"].get("content", choice["finish_reason"])


def whole_events(body: bytes) -> list[Any]:
    return [json.loads(event) for event in SseReader().feed(body)]


def counts(usage: dict[str, Any]) -> tuple[Any, Any, Any]:
    return usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]


async def test_plain_answer_is_received_whole(provider: Provider) -> None:
    body = body_of(model="echo", messages=says("Hello there"))
    received = await receive(provider, Api.CHAT, body)
    assert received[:3] == (200, None, False)
    answer = json.loads(received.body)
    assert answer["choices"][0]["message"]["content"] == "Hello there"
    assert counts(answer["usage"]) == (6, 2, 8)


async def test_each_operation_is_routed_to_its_model(provider: Provider) -> None:
    prompted = await receive(provider, Api.COMPLETIONS, body_of(model="echo", prompt="Hello"))
    assert json.loads(prompted.body)["choices"][0]["text"] == "Hello"
    embedded = await receive(provider, Api.EMBEDDINGS, body_of(model="embed", input="Hello"))
    assert len(json.loads(embedded.body)["data"][0]["embedding"]) == 8


async def test_stream_is_received_whole_and_in_order(provider: Provider) -> None:
    *summaries, usage, done = await receive_stream(provider, {})
    assert summaries == COMPLETE
    assert (counts(usage), done) == ((5, 3, 8), "[DONE]")


async def test_answers_have_unique_ids(provider: Provider) -> None:
    body = body_of(model="echo", messages=says("x"))
    answers = [json.loads((await receive(provider, Api.CHAT, body)).body) for _ in range(3)]
    assert len({answer["id"] for answer in answers}) == 3


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (400, "invalid_request_error", None),
        (500, "server_error", None),
        (599, "server_error", None),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_error_has_its_status_and_retry_after(
    provider: Provider, status: int, kind: str, code: str | None, stream: bool
) -> None:
    body = chaos_body({"status": status, "retry_after": 7}, stream=stream)
    received = await receive(provider, Api.CHAT, body)
    assert received[:3] == (status, 7, False)
    error = json.loads(received.body)["error"]
    assert (error["type"], error["code"], error["param"]) == (kind, code, None)
    patient = await receive(provider, Api.CHAT, chaos_body({"status": status}, stream=stream))
    assert patient[:3] == (status, None, False)


async def test_refusal_is_returned_as_an_answer(provider: Provider) -> None:
    unknown = await receive(provider, Api.CHAT, body_of(model="gpt", messages=says("x")))
    assert unknown[:3] == (404, None, False)
    assert json.loads(unknown.body)["error"]["code"] == "model_not_found"
    assert (await receive(provider, Api.CHAT, b"{")).status == 400


@pytest.mark.parametrize(
    ("members", "events"),
    [
        ({"say": "a b"}, ["role", "a ", "b", "stop"]),
        ({"tokens": 0}, ["role", "stop"]),
        ({"finish": "error"}, [*COMPLETE[:-1], "error"]),
        ({"finish": None}, [*COMPLETE[:-1], None]),
        ({"comments": True}, COMPLETE),
        ({"crlf": True}, COMPLETE),
        ({"chunk_ms": 1, "first_byte_ms": 1}, COMPLETE),
        ({"garbage_after": 0}, ["role", GARBAGE, *COMPLETE[1:]]),
        ({"garbage_after": 2}, [*COMPLETE[:3], GARBAGE, *COMPLETE[3:]]),
        ({"garbage_after": 99}, [*COMPLETE[:4], GARBAGE, *COMPLETE[4:]]),
    ],
)
async def test_unusual_stream_has_the_requested_events_and_ends_normally(
    provider: Provider, members: dict[str, Any], events: list[Any]
) -> None:
    *summaries, usage, done = await receive_stream(provider, members)
    tokens = sum(event not in ("role", GARBAGE) for event in events) - 1
    assert summaries == events
    assert (usage["completion_tokens"], done) == (tokens, "[DONE]")


@pytest.mark.parametrize("after", [0, 2, 99])
async def test_stream_fails_after_the_requested_event(provider: Provider, after: int) -> None:
    summaries = await receive_stream(provider, {"error_after": after})
    assert summaries == [*COMPLETE[: min(after, 3) + 1], "server_error"]


async def test_stream_can_end_without_done(provider: Provider) -> None:
    *summaries, usage = await receive_stream(provider, {"no_done": True})
    assert summaries == COMPLETE
    assert counts(usage) == (5, 3, 8)


@pytest.mark.parametrize("after", [0, 2, 99])
async def test_cut_stream_is_reported_as_broken_off(provider: Provider, after: int) -> None:
    body = chaos_body({"tokens": 3, "cut_after": after}, **WITH_USAGE)
    received = await receive(provider, Api.CHAT, body)
    assert (received.status, received.is_stream, received.error) == (200, True, BROKEN_OFF)
    summaries = [summary_of(event) for event in whole_events(received.body)]
    sent = COMPLETE[: min(after, 3) + 1]
    if isinstance(provider, SandboxProvider):
        assert summaries == sent
    else:
        # When a connection breaks off, aiohttp drops data that it has read but not delivered.
        assert summaries == sent[: len(summaries)]


@pytest.mark.parametrize("chunk_ms", [0, 1])
async def test_cut_plain_answer_is_reported_as_broken_off(
    provider: Provider, chunk_ms: int
) -> None:
    body = chaos_body({"cut_after": 1, "chunk_ms": chunk_ms})
    received = await receive(provider, Api.CHAT, body)
    assert received == (200, None, False, b"", BROKEN_OFF)


async def test_plain_answer_can_be_an_error_or_truncated(provider: Provider) -> None:
    failed = await receive(provider, Api.CHAT, chaos_body({"error_after": 1}))
    assert failed[:3] == (200, None, False)
    assert json.loads(failed.body)["error"]["type"] == "server_error"
    half = await receive(provider, Api.CHAT, chaos_body({"garbage_after": 1}))
    assert half.error is None
    assert half.body.startswith(b'{"id":"chatcmpl-')
    assert not half.body.endswith(b"}")
    slow = await receive(provider, Api.CHAT, chaos_body({"chunk_ms": 1, "say": "a"}))
    assert json.loads(slow.body)["choices"][0]["message"]["content"] == "a"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ("wrong", (5 + 1000, 3 * 10 + 1000, 1)),
        ("negative", (-6, -4, -10)),
        ("absurd", (10**15, 10**15, 2 * 10**15)),
        ("huge", ("9" * 10_000,) * 3),
    ],
)
async def test_usage_is_wrong_as_requested(
    provider: Provider, usage: str, expected: tuple[Any, ...]
) -> None:
    *summaries, reported, done = await receive_stream(provider, {"usage": usage})
    assert (summaries, counts(reported), done) == (COMPLETE, expected, "[DONE]")
    plain = await receive(provider, Api.CHAT, chaos_body({"tokens": 3, "usage": usage}))
    assert counts(json.loads(plain.body)["usage"]) == expected


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 0, "x": [1]}, {"total_tokens": 1.5}])
async def test_usage_is_reported_literally(provider: Provider, usage: dict[str, Any]) -> None:
    assert (await receive_stream(provider, {"usage": usage}))[-2] == usage
    plain = await receive(provider, Api.CHAT, chaos_body({"usage": usage}))
    assert json.loads(plain.body)["usage"] == usage


async def test_usage_can_be_missing_repeated_or_late(provider: Provider) -> None:
    assert await receive_stream(provider, {"usage": "none"}) == [*COMPLETE, "[DONE]"]
    *summaries, once, again, done = await receive_stream(provider, {"usage": "twice"})
    assert (summaries, done) == (COMPLETE, "[DONE]")
    assert once == again
    *summaries, done, late = await receive_stream(provider, {"usage": "late"})
    assert (summaries, done) == (COMPLETE, "[DONE]")
    assert late["completion_tokens"] == 3
    plain = await receive(provider, Api.CHAT, chaos_body({"usage": "none"}))
    assert "usage" not in json.loads(plain.body)


@pytest.mark.parametrize("members", [{}, {"status": 500}])
async def test_late_response_head_does_not_delay_other_calls(
    provider: Provider, members: dict[str, Any]
) -> None:
    late = asyncio.ensure_future(
        provider.send(Api.CHAT, chaos_body({"first_byte_ms": LONG_MS, **members}))
    )
    await receive(provider, Api.CHAT, body_of(model="echo", messages=says("x")))
    assert not late.done()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late


@pytest.mark.parametrize("stream", [True, False])
async def test_waiting_read_ends_when_its_reply_is_closed(provider: Provider, stream: bool) -> None:
    reply = await provider.send(Api.CHAT, chaos_body({"chunk_ms": LONG_MS}, stream=stream))
    reading = asyncio.ensure_future(anext(reply.chunks()) if stream else reply.read(LIMIT_BYTES))
    await receive(provider, Api.CHAT, body_of(model="echo", messages=says("x")))
    assert not reading.done()
    reply.close()
    with pytest.raises(ProviderUnavailable):
        await reading


async def test_closed_reply_cannot_be_read(provider: Provider) -> None:
    reply = await provider.send(Api.CHAT, body_of(model="echo", messages=says("x")))
    reply.close()
    with pytest.raises(ProviderUnavailable):
        await reply.read(LIMIT_BYTES)


async def test_answer_above_the_size_limit_is_rejected(provider: Provider) -> None:
    body = body_of(model="echo", messages=says("x" * 1000))
    whole = await (await provider.send(Api.CHAT, body)).read(LIMIT_BYTES)
    assert await (await provider.send(Api.CHAT, body)).read(len(whole))
    with pytest.raises(ProviderUnavailable, match=f"more than {len(whole) - 1} bytes"):
        await (await provider.send(Api.CHAT, body)).read(len(whole) - 1)
