"""Reads responses as clients do, with the types of OpenAI's and OpenRouter's SDKs."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openrouter.components import ChatResult, ChatStreamChunk

from modelgates_server.core.pricing.catalog import Api
from tests.contract.recordings.recording import Recording

ToolCall = tuple[str, str, str]


class Received(msgspec.Struct):
    """The contents of a response, by choice. `last` is its last chunk, or the whole of it."""

    texts: dict[int, str] = {}
    reasoning: dict[int, str] = {}
    refusals: dict[int, str] = {}
    tool_calls: dict[int, list[ToolCall]] = {}
    finishes: dict[int, str | None] = {}
    images: int = 0
    embeddings: list[Any] | None = None
    error: dict[str, Any] | None = None
    last: dict[str, Any] = {}
    heads: set[tuple[Any, ...]] = set()


def strict_json(text: str) -> Any:
    """The value of a JSON text, as the strictest of clients reads it: no NaN, valid Unicode."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON: {text}")

    value = json.loads(text, parse_constant=refuse)
    json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate pair
    return value


def exact_json(text: str) -> Any:
    """The same, with exact amounts."""
    return json.loads(text, parse_float=Decimal)


def read_events(body: bytes) -> list[str]:
    """The data of a stream's events up to `[DONE]`, each on one line; comments are left out."""
    text = body.decode()
    assert text.endswith("\n\n"), text[-200:]
    events = [event for event in text[:-2].split("\n\n") if not event.startswith(":")]
    for event in events:
        assert event.startswith("data: "), event
        assert len(event.splitlines()) == 1, event
    *payloads, done = [event.removeprefix("data: ") for event in events]
    assert done == "[DONE]", events[-2:]
    assert "[DONE]" not in payloads
    return payloads


def read_stream(recording: Recording, body: bytes) -> Received:
    """Reads a stream as a client accumulates it."""
    received = Received()
    payloads = read_events(body)
    chunks = [strict_json(payload) for payload in payloads]
    received.last = exact_json(payloads[-1])
    for chunk in chunks:
        received.heads.add((chunk["id"], chunk["model"], chunk["provider"], chunk["object"]))
    if "error" in received.last:
        received.error = chunks.pop()["error"]
        assert received.last["choices"][0]["finish_reason"] == "error"
    assert all("error" not in chunk for chunk in chunks), chunks
    if recording.api is Api.COMPLETIONS:
        _read_completion_chunks(chunks, received)
    else:
        _read_chat_chunks(chunks, received)
    return received


def _read_chat_chunks(chunks: list[dict[str, Any]], received: Received) -> None:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        ChatStreamChunk.model_validate(chunk)
        known = chunk if received.error is None else _without_error_ends(chunk)
        list(state.handle_chunk(ChatCompletionChunk.model_validate(known)))
        for choice in chunk["choices"]:
            index, delta = choice["index"], choice["delta"]
            _add(received.texts, index, delta.get("content"))
            _add(received.refusals, index, delta.get("refusal"))
            _add_reasoning(received, index, delta)
            _end(received, index, choice["finish_reason"])
            received.images += len(delta.get("images") or [])
    if not any(chunk["choices"] for chunk in chunks):
        return
    for choice in state.current_completion_snapshot.choices:
        message = choice.message
        assert (message.content or "") == received.texts.get(choice.index, ""), "text is doubled"
        received.tool_calls[choice.index] = [
            (call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or []
        ]


def _without_error_ends(chunk: dict[str, Any]) -> dict[str, Any]:
    """A chunk without the finish reason `error`, which OpenRouter has and OpenAI has not."""
    choices = [
        {**choice, "finish_reason": None} if choice["finish_reason"] == "error" else choice
        for choice in chunk["choices"]
    ]
    return {**chunk, "choices": choices}


def _read_completion_chunks(chunks: list[dict[str, Any]], received: Received) -> None:
    for chunk in chunks:
        for choice in chunk["choices"]:
            assert isinstance(choice["text"], str), choice
            _add(received.texts, choice["index"], choice["text"])
            _end(received, choice["index"], choice["finish_reason"])


def read_plain(recording: Recording, body: bytes) -> Received:
    """Reads a response without streaming."""
    answer = strict_json(body.decode())
    received = Received(last=exact_json(body.decode()))
    if "error" in answer:
        received.error = answer["error"]
        return received
    received.heads = {(answer["id"], answer["model"], answer["provider"], answer["object"])}
    if recording.api is Api.EMBEDDINGS:
        received.embeddings = [each["embedding"] for each in answer["data"]]
        if not isinstance(received.embeddings[0], str):  # the type has no base64
            CreateEmbeddingResponse.model_validate(answer)
    elif recording.api is Api.COMPLETIONS:
        Completion.model_validate(answer)
        for choice in answer["choices"]:
            _add(received.texts, choice["index"], choice["text"])
            _end(received, choice["index"], choice["finish_reason"])
    else:
        _read_chat(answer, received)
    return received


def _read_chat(answer: dict[str, Any], received: Received) -> None:
    ChatCompletion.model_validate(answer)
    ChatResult.model_validate(answer)
    for choice in answer["choices"]:
        index, message = choice["index"], choice["message"]
        _add(received.texts, index, message.get("content"))
        _add(received.refusals, index, message.get("refusal"))
        _add_reasoning(received, index, message)
        _end(received, index, choice["finish_reason"])
        received.images += len(message.get("images") or [])
        received.tool_calls[index] = [
            (call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or []
        ]


def _add(texts: dict[int, str], index: int, text: str | None) -> None:
    texts[index] = texts.get(index, "") + (text or "")


def _add_reasoning(received: Received, index: int, part: dict[str, Any]) -> None:
    """Adds the reasoning of a delta, which must be the same under all names that it has."""
    reasoning = part.get("reasoning") or ""
    _add(received.reasoning, index, reasoning)
    details = list(_texts(part.get("reasoning_details") or []))
    if details or part.get("reasoning_content"):
        assert "".join(details) == reasoning, part
    assert (part.get("reasoning_content") or reasoning) == reasoning, part


def _texts(details: list[dict[str, Any]]) -> Iterator[str]:
    for detail in details:
        assert detail["type"].startswith("reasoning."), detail
        yield detail.get("text") or detail.get("summary") or ""


def _end(received: Received, index: int, reason: str | None) -> None:
    if reason is not None:
        assert received.finishes.get(index) in (None, reason), "two ends of one choice"
        received.finishes[index] = reason
    received.finishes.setdefault(index, None)
