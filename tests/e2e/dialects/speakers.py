"""The scripted model behind the APIs of providers: requests are view, and turns spoken."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.e2e.dialects.turns import SIGNATURE, Counts, RequestView, Turn, text_of, turn_for
from tests.upstream import DONE, UpstreamReply, event, plain

Said = Iterator[tuple[str, dict[str, Any]]]


class Speaker:
    """Replies to requests in one dialect, as `Upstream.say`. `counts` are those of each reply."""

    def __init__(
        self,
        hear: Callable[[Any], RequestView],
        speak: Callable[[Turn], dict[str, Any]],
        stream: Callable[[Turn], list[bytes]],
    ) -> None:
        self.counts = Counts()
        self._hear, self._speak, self._stream = hear, speak, stream

    def prompt_of(self, body: Any) -> str:
        return self._hear(body).prompt

    def __call__(self, body: Any) -> UpstreamReply:
        turn = turn_for(self._hear(body), self.counts)
        if body.get("stream"):
            return UpstreamReply(self._stream(turn))
        return plain(self._speak(turn))


# Chat completions


def _hear_chat(body: Any) -> RequestView:
    messages = body["messages"]
    users = [message for message in messages if message["role"] == "user"]
    return RequestView(
        prompt=text_of(users[-1]["content"]),
        tools=tuple(tool["function"]["name"] for tool in body.get("tools") or ()),
        results={m["tool_call_id"]: text_of(m["content"]) for m in messages if m["role"] == "tool"},
        system="".join(
            text_of(m["content"]) for m in messages if m["role"] in ("system", "developer")
        ),
    )


def _chat_usage(counts: Counts) -> dict[str, Any]:
    written = counts.cache_write_5m + counts.cache_write_1h
    prompt = counts.input + counts.cache_read + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": counts.output,
        "total_tokens": prompt + counts.output,
        "prompt_tokens_details": {
            "cached_tokens": counts.cache_read,
            "cache_write_tokens": written,
            "cache_creation": {
                "ephemeral_5m_input_tokens": counts.cache_write_5m,
                "ephemeral_1h_input_tokens": counts.cache_write_1h,
            },
        },
        "completion_tokens_details": {"reasoning_tokens": counts.thinking},
    }


_CHAT_STOPS = {"end": "stop", "tools": "tool_calls", "length": "length"}


def _chat_call(call: Any) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _speak_chat(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(turn.texts) or None}
    if turn.thoughts:
        message["reasoning"] = "".join(turn.thoughts)
    if turn.calls:
        message["tool_calls"] = [_chat_call(call) for call in turn.calls]
    choice = {"index": 0, "message": message, "finish_reason": _CHAT_STOPS[turn.stop]}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "large",
        "choices": [choice],
        "usage": _chat_usage(turn.counts),
    }


def _chat_deltas(turn: Turn) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for thought in turn.thoughts:
        yield {"reasoning": thought}
    for text in turn.texts:
        yield {"content": text}
    for index, call in enumerate(turn.calls):
        start = _chat_call(call)
        start["function"]["arguments"] = ""
        yield {"tool_calls": [{"index": index, **start}]}
        for piece in (call.arguments[:5], call.arguments[5:]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _stream_chat(turn: Turn) -> list[bytes]:
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "large",
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    return [
        *map(chunk, _chat_deltas(turn)),
        chunk({}, _CHAT_STOPS[turn.stop]),
        event({**head, "choices": [], "usage": _chat_usage(turn.counts)}),
        DONE,
    ]


# Messages


def _hear_messages(body: Any) -> RequestView:
    blocks = [
        block
        for message in body["messages"]
        if message["role"] == "user" and not isinstance(message["content"], str)
        for block in message["content"]
    ]
    results = {
        block["tool_use_id"]: text_of(block["content"])
        for block in blocks
        if block["type"] == "tool_result"
    }
    prompts = [
        text
        for message in body["messages"]
        if message["role"] == "user" and (text := text_of(message["content"]))
    ]
    return RequestView(
        prompt=prompts[-1],
        tools=tuple(tool["name"] for tool in body.get("tools") or ()),
        results=results,
        system=text_of(body.get("system")),
    )


def _messages_usage(counts: Counts) -> dict[str, Any]:
    return {
        "input_tokens": counts.input,
        "cache_read_input_tokens": counts.cache_read,
        "cache_creation_input_tokens": counts.cache_write_5m + counts.cache_write_1h,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.cache_write_5m,
            "ephemeral_1h_input_tokens": counts.cache_write_1h,
        },
        "output_tokens": counts.output,
        "output_tokens_details": {"thinking_tokens": counts.thinking},
        "service_tier": "standard",
    }


_MESSAGES_STOPS = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens"}


def _blocks(turn: Turn) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if turn.thoughts:
        thinking = "".join(turn.thoughts)
        blocks.append({"type": "thinking", "thinking": thinking, "signature": SIGNATURE})
    if turn.texts:
        blocks.append({"type": "text", "text": "".join(turn.texts)})
    blocks += [
        {
            "type": "tool_use",
            "id": call.id,
            "name": call.name,
            "input": json.loads(call.arguments),
        }
        for call in turn.calls
    ]
    return blocks


def _message(content: list[dict[str, Any]], stop: str | None, usage: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "large",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _speak_messages(turn: Turn) -> dict[str, Any]:
    return _message(_blocks(turn), _MESSAGES_STOPS[turn.stop], _messages_usage(turn.counts))


def _messages_events(turn: Turn) -> Said:
    usage = _messages_usage(turn.counts)
    begun = {**usage, "output_tokens": 1}
    del begun["output_tokens_details"]
    yield "message_start", {"message": _message([], None, begun)}
    yield "ping", {}
    for index, block in enumerate(_blocks(turn)):
        started, deltas = _block_events(block, turn)
        yield "content_block_start", {"index": index, "content_block": started}
        for delta in deltas:
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    delta = {"stop_reason": _MESSAGES_STOPS[turn.stop], "stop_sequence": None}
    told = {name: usage[name] for name in ("output_tokens", "output_tokens_details")}
    yield "message_delta", {"delta": delta, "usage": told}
    yield "message_stop", {}


def _block_events(block: dict[str, Any], turn: Turn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The start of a block, and its deltas."""
    match block["type"]:
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": each} for each in turn.thoughts]
            signed = {"type": "signature_delta", "signature": SIGNATURE}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]
        case "text":
            texts = [{"type": "text_delta", "text": text} for text in turn.texts]
            return {"type": "text", "text": ""}, texts
    arguments = json.dumps(block["input"])
    pieces = ("", arguments[:5], arguments[5:])
    return {**block, "input": {}}, [
        {"type": "input_json_delta", "partial_json": piece} for piece in pieces
    ]


def named(events: Said) -> list[bytes]:
    """Events with their names in the data and in a line of their own."""
    return [
        f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()
        for name, data in events
    ]


# Responses


def _hear_responses(body: Any) -> RequestView:
    items = body["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    users = [item for item in items if item.get("role") == "user"]
    told = [item for item in items if item.get("role") in ("system", "developer")]
    return RequestView(
        prompt=text_of(users[-1]["content"]),
        tools=tuple(tool.get("name", "") for tool in body.get("tools") or ()),
        results={
            item["call_id"]: text_of(item["output"])
            for item in items
            if item.get("type") == "function_call_output"
        },
        system=(body.get("instructions") or "")
        + "".join(text_of(item.get("content")) for item in told),
    )


def _responses_usage(counts: Counts) -> dict[str, Any]:
    chat = _chat_usage(counts)
    details = chat["prompt_tokens_details"]
    return {
        "input_tokens": chat["prompt_tokens"],
        "input_tokens_details": {n: v for n, v in details.items() if n != "cache_creation"},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.thinking},
        "total_tokens": chat["total_tokens"],
    }


def _items(turn: Turn) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if turn.thoughts:
        summary = [{"type": "summary_text", "text": "".join(turn.thoughts)}]
        items.append({"id": "rs_1", "type": "reasoning", "summary": summary})
    if turn.texts:
        text = {"type": "output_text", "text": "".join(turn.texts), "annotations": []}
        items.append({"id": "msg_1", **_MESSAGE, "content": [text]})
    items += [
        {
            "id": f"fc_{call.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for call in turn.calls
    ]
    return items


_MESSAGE = {"type": "message", "role": "assistant", "status": "completed"}


def _response(turn: Turn, *, ended: bool) -> dict[str, Any]:
    is_short = turn.stop == "length"
    status = ("incomplete" if is_short else "completed") if ended else "in_progress"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1790000000,
        "completed_at": 1790000001 if ended else None,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if ended and is_short else None,
        "instructions": None,
        "metadata": {},
        "model": "large",
        "output": _items(turn) if ended else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": _responses_usage(turn.counts) if ended else None,
    }


def _speak_responses(turn: Turn) -> dict[str, Any]:
    return _response(turn, ended=True)


def _responses_events(turn: Turn) -> Said:
    yield "response.created", {"response": _response(turn, ended=False)}
    yield "response.in_progress", {"response": _response(turn, ended=False)}
    for index, item in enumerate(_items(turn)):
        place = {"item_id": item["id"], "output_index": index}
        yield "response.output_item.added", {"output_index": index, "item": _begun(item)}
        yield from ((name, {**place, **data}) for name, data in _item_events(item, turn))
        yield "response.output_item.done", {"output_index": index, "item": item}
    name = "response.incomplete" if turn.stop == "length" else "response.completed"
    yield name, {"response": _response(turn, ended=True)}


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"reasoning": {"summary": []}, "message": {"content": []}}
    added = {**item, **empty.get(item["type"], {"arguments": ""})}
    return added if item["type"] == "reasoning" else {**added, "status": "in_progress"}


def _item_events(item: dict[str, Any], turn: Turn) -> Said:
    match item["type"]:
        case "reasoning":
            part, at = item["summary"][0], {"summary_index": 0}
            name = "response.reasoning_summary"
            yield f"{name}_part.added", {**at, "part": {**part, "text": ""}}
            for thought in turn.thoughts:
                yield f"{name}_text.delta", {**at, "delta": thought}
            yield f"{name}_text.done", {**at, "text": part["text"]}
            yield f"{name}_part.done", {**at, "part": part}
        case "message":
            part, at = item["content"][0], {"content_index": 0}
            yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
            for text in turn.texts:
                yield "response.output_text.delta", {**at, "delta": text, "logprobs": []}
            yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}
            yield "response.content_part.done", {**at, "part": part}
        case _:
            arguments = item["arguments"]
            name = "response.function_call_arguments"
            for piece in (arguments[:5], arguments[5:]):
                yield f"{name}.delta", {"delta": piece}
            yield f"{name}.done", {"name": item["name"], "arguments": arguments}


def _numbered(events: Said) -> Said:
    for number, (name, data) in enumerate(events):
        yield name, {"sequence_number": number, **data}


SPEAKERS: dict[str, Callable[[], Speaker]] = {
    "openai-chat": lambda: Speaker(_hear_chat, _speak_chat, _stream_chat),
    "openai-responses": lambda: Speaker(
        _hear_responses,
        _speak_responses,
        lambda turn: named(_numbered(_responses_events(turn))),
    ),
    "anthropic": lambda: Speaker(
        _hear_messages, _speak_messages, lambda turn: named(_messages_events(turn))
    ),
}
"""A new speaker for each dialect, by the name that the configuration uses."""
