"""A provider that follows a script: its response depends on the last message of the user.

It behaves as OpenAI does, or with the deviations that other servers are known for.
"""

import json
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

from tests.deadlines import DEADLINE_S
from tests.upstream import DONE, UpstreamReply, event, plain, usage

CITIES = ("Bern", "Oslo")
WAIT_S = "7"
"""Seconds that clients shall wait after a rate limit of the provider."""


class Turn(NamedTuple):
    """A message of the model, in no form: a `Manner` writes it."""

    texts: tuple[str, ...] = ()
    thoughts: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()
    """A call of the tool `weather` for each."""


class Manner(NamedTuple):
    """How a provider writes its responses. Chunks are the data of events."""

    message: Callable[[Turn], dict[str, Any]]
    """A choice of a plain response, without its index."""
    chunks: Callable[[Turn, dict[str, int]], Iterator[bytes]]
    rate_limit: UpstreamReply
    failure: bytes
    """The event that ends a stream that fails."""


class ScriptedModel:
    """Replies to requests. Every call has another number of tokens, and so another cost."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._numbers = count(11)
        self._left = threading.Event()

    def __call__(self, body: Any) -> UpstreamReply:
        prompt = _text_of([m for m in body["messages"] if m["role"] == "user"][-1])
        match prompt:
            case "limit":
                return self._manner.rate_limit
            case "break":
                turn = Turn(texts=("Hello, ", "wor"))
                return UpstreamReply([*self._streamed(turn)[:2], self._manner.failure])
            case "wait":
                return UpstreamReply(self._until_left())
            case "I left":
                self._left.set()
        turn = _turn(prompt, body)
        if body.get("stream"):
            return UpstreamReply(self._streamed(turn))
        choice = {"index": 0, **self._manner.message(turn)}
        return plain({**_HEAD, "object": "chat.completion", "choices": [choice], **self._usage()})

    def _streamed(self, turn: Turn) -> list[bytes]:
        return list(self._manner.chunks(turn, self._usage()["usage"]))

    def _until_left(self) -> Iterator[bytes]:
        """A stream that continues when the client says that it left, in another call."""
        self._left.clear()
        first, *rest = self._streamed(Turn(texts=("Hello, ", "wörld.")))
        yield first
        assert self._left.wait(DEADLINE_S), "the client never said that it left"
        yield from rest

    def _usage(self) -> dict[str, dict[str, int]]:
        return {"usage": usage(next(self._numbers), 5)}


_HEAD = {"id": "chatcmpl-1", "created": 1790000000, "model": "large"}


def _text_of(message: Any) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _turn(prompt: str, body: Any) -> Turn:
    if cities := tuple(city for city in CITIES if city in prompt):
        assert body["tools"][0]["function"]["name"] == "weather"
        reports = {m["tool_call_id"]: _text_of(m) for m in body["messages"] if m["role"] == "tool"}
        if not reports:
            return Turn(cities=cities)
        # In the order of the calls, so that swapped results are seen.
        return Turn(texts=("; ".join(reports[_call_id(city)] for city in cities),))
    if prompt == "city":
        assert body["response_format"]["type"] == "json_schema"
        return Turn(texts=('{"name": "Bern",', ' "people": 137000}'))
    if prompt == "think":
        return Turn(thoughts=("Let me ", "think."), texts=("42",))
    return Turn(texts=("Hello, ", "wörld."))


def _call_id(city: str) -> str:
    return f"call_{city}"


def _call(city: str) -> dict[str, Any]:
    arguments = json.dumps({"city": city})
    function = {"name": "weather", "arguments": arguments}
    return {"id": _call_id(city), "type": "function", "function": function}


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({**_HEAD, "object": "chat.completion.chunk", "choices": [choice], **more})


def _details(text: str) -> dict[str, Any]:
    """Reasoning as OpenRouter sends it."""
    detail = {"type": "reasoning.text", "text": text, "index": 0, "format": "unknown"}
    return {"reasoning": text, "reasoning_details": [detail]}


def _sound_message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(turn.texts) or None}
    if turn.thoughts:
        message |= _details("".join(turn.thoughts))
    if turn.cities:
        message["tool_calls"] = [_call(city) for city in turn.cities]
    return {"message": message, "finish_reason": "tool_calls" if turn.cities else "stop"}


def _sound_chunks(turn: Turn, tokens: dict[str, int]) -> Iterator[bytes]:
    """Arguments of tools come in pieces, and the usage comes last, without a choice."""
    role = {"role": "assistant"}
    for thought in turn.thoughts:
        yield _chunk({**role, "content": "", **_details(thought)})
    for text in turn.texts:
        yield _chunk({**role, "content": text})
    for index, city in enumerate(turn.cities):
        call = _call(city)
        arguments = call["function"]["arguments"]
        begun = {**call, "index": index, "function": {"name": "weather", "arguments": ""}}
        yield _chunk({**role, "content": None, "tool_calls": [begun]})
        for piece in (arguments[:5], arguments[5:]):
            further = {"index": index, "function": {"arguments": piece}}
            yield _chunk({"tool_calls": [further]})
    yield _chunk({}, "tool_calls" if turn.cities else "stop")
    yield event({**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": tokens})
    yield DONE


def _odd_message(turn: Turn) -> dict[str, Any]:
    """Reasoning as DeepSeek sends it; the wrong reason with tools, and then no text at all."""
    message: dict[str, Any] = {"role": "assistant"}
    if turn.texts:
        message["content"] = "".join(turn.texts)
    if turn.thoughts:
        message["reasoning_content"] = "".join(turn.thoughts)
    if turn.cities:
        message["tool_calls"] = [_call(city) for city in turn.cities]
    return {"message": message, "finish_reason": "stop"}


def _odd_chunks(turn: Turn, tokens: dict[str, int]) -> Iterator[bytes]:
    """The same in a stream: calls without index, usage with a choice, and no `[DONE]`.

    Data of other kinds come in between.
    """
    for thought in turn.thoughts:
        yield _chunk({"reasoning_content": thought})
    for text in turn.texts:
        yield _chunk({"content": text})
    yield b"data: keep-alive\n\n"
    yield event({"type": "ping"})
    for city in turn.cities:
        yield _chunk({"role": "assistant", "tool_calls": [_call(city)]})
    yield event({"warning": "the load is high"})
    yield _chunk({}, "stop", usage=tokens)


SOUND = Manner(
    message=_sound_message,
    chunks=_sound_chunks,
    rate_limit=plain(
        {"error": {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded"}},
        429,
        **{"Retry-After": WAIT_S},
    ),
    failure=event({"error": {"message": "I am out", "type": "server_error", "code": None}}),
)
"""As OpenAI's API, with OpenRouter's reasoning."""

ODD = Manner(
    message=_odd_message,
    chunks=_odd_chunks,
    rate_limit=plain(
        [
            {
                "error": {
                    "code": 429,
                    "message": "Quota exceeded",
                    "status": "RESOURCE_EXHAUSTED",
                    "details": [
                        {
                            "@type": "type.googleapis.com/google.rpc.RetryInfo",
                            "retryDelay": f"{WAIT_S}s",
                        }
                    ],
                }
            }
        ],
        429,
    ),
    failure=event({"object": "error", "message": "I am out", "code": 503}),
)
"""With deviations of Gemini, DeepSeek, vLLM and others."""
