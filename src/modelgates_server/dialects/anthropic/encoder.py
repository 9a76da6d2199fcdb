"""Turns a chat completion into a Messages response. See `ChatEncoder`.

Blocks come one after another: a block is complete before the next one begins. So calls of tools
that arrive interleaved are sent in turn.
"""

import json
from typing import Any

import msgspec

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.usage import BYTES_PER_TOKEN
from modelgates_server.dialects.anthropic.errors import error_event
from modelgates_server.dialects.anthropic.thinking_blocks import FORMATS
from modelgates_server.dialects.anthropic.tool_ids import to_messages
from modelgates_server.dialects.anthropic.usage import usage_object
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.event_stream import event_bytes
from modelgates_server.dialects.openai_chat.spoken import (
    Chunk,
    Completion,
    Delta,
    Thought,
    ToolCallPart,
)

_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_FINAL = ("max_tokens", "refusal")
"""Reasons that stay even if the model called a tool before."""

_DELTA_OF = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}
_EMPTY: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}

_chunk = msgspec.json.Decoder(Chunk)
_completion = msgspec.json.Decoder(Completion)


class _Call(msgspec.Struct):
    """A call of a tool; `arguments` are those so far."""

    id: str
    name: str
    arguments: str = ""


class MessagesEncoder:
    """See `ChatEncoder`. Until the end, the input is estimated from `request`."""

    def __init__(self, generation: Generation, request: InferenceRequest) -> None:
        self._generation = generation
        self._request = request
        self._has_begun = False
        self._index = -1  # of the newest block
        self._open: str | None = None  # the kind of the open block
        self._calls: dict[int, _Call] = {}
        self._sent: list[int] = []  # the calls whose blocks have begun, in order
        self._is_blocked = False  # whether the rest waits for the end of an incomplete call
        self._waiting: list[Thought] = []  # what was thought meanwhile
        self._waiting_text = ""  # and said
        self._stop: str | None = None

    def plain(self, answer: bytes, generation: Generation) -> bytes:
        """See `ChatEncoder`."""
        choice = _completion.decode(answer).choices[0]
        stop = _stop_reason(choice.finish_reason, has_calls=bool(choice.message.tool_calls))
        message = {
            **_head(generation),
            "content": _content(choice.message),
            **_ending(stop),
            "usage": usage_object(generation),
        }
        return msgspec.json.encode(message)

    def feed(self, chunk: bytes) -> bytes:
        """See `ChatEncoder`."""
        choices = _chunk.decode(chunk).choices
        events = b"" if self._has_begun else self._begin()
        for choice in choices:
            events += self._said(choice.delta)
            self._stop = choice.finish_reason or self._stop
        return events

    def end(self, generation: Generation) -> bytes:
        """See `ChatEncoder`."""
        events = b"" if self._has_begun else self._begin()
        events += self._rest()
        stop = _stop_reason(self._stop, has_calls=bool(self._calls))
        ending = {"delta": _ending(stop), "usage": usage_object(generation)}
        return events + _event("message_delta", ending) + _event("message_stop", {})

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `ChatEncoder`."""
        return error_event(generation, error)

    def _begin(self) -> bytes:
        self._has_begun = True
        estimate = -(-self._request.text_bytes // BYTES_PER_TOKEN)
        usage = {
            "input_tokens": estimate,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 0,
        }
        message = {
            **_head(self._generation),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return _event("message_start", {"message": message})

    def _said(self, delta: Delta) -> bytes:
        thoughts, text = list(delta.thoughts), delta.spoken
        events = b""
        if (thoughts or text) and self._must_wait():
            self._waiting += thoughts
            self._waiting_text += text
        else:
            events = b"".join(map(self._thought, thoughts)) + self._text("text", text)
        for part in delta.tool_calls or ():
            events += self._call(part)
        return events

    def _must_wait(self) -> bool:
        """Whether the open block is a call that is incomplete, so that no other may begin.

        Whatever waits once waits for the end of the response: checking again and again would cost
        quadratic time.
        """
        if self._open == "tool_use" and not self._is_blocked:
            self._is_blocked = not _is_complete(self._calls[self._sent[-1]].arguments)
        return self._is_blocked

    def _thought(self, thought: Thought) -> bytes:
        if thought.data is not None:
            return self._redacted(thought.data) if _is_claudes(thought) else b""
        signature = thought.signature if _is_claudes(thought) else None
        return self._text("thinking", thought.text) + self._signature(signature)

    def _text(self, kind: str, text: str) -> bytes:
        if not text:
            return b""
        events = b"" if self._open == kind else self._start(kind, _EMPTY[kind])
        name, field = _DELTA_OF[kind]
        return events + self._delta({"type": name, field: text})

    def _signature(self, signature: str | None) -> bytes:
        if not signature:
            return b""
        events = b"" if self._open == "thinking" else self._start("thinking", _EMPTY["thinking"])
        events += self._delta({"type": "signature_delta", "signature": signature})
        return events + self._close()

    def _redacted(self, data: str) -> bytes:
        block = {"type": "redacted_thinking", "data": data}
        return self._start("redacted_thinking", block) + self._close()

    def _call(self, part: ToolCallPart) -> bytes:
        call = self._calls.get(part.index)
        is_new = call is None
        if call is None:
            call = self._calls[part.index] = _Call(to_messages(part.id or ""), part.name)
        call.arguments += part.arguments
        if not is_new and part.index in self._sent:
            # Nothing but white space follows a call that was complete.
            is_open = self._open == "tool_use" and self._sent[-1] == part.index
            return self._arguments(part.arguments) if is_open else b""
        return b"" if self._must_wait() else self._start_call(part.index)

    def _start_call(self, number: int) -> bytes:
        call = self._calls[number]
        self._sent.append(number)
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        return self._start("tool_use", block) + self._arguments(call.arguments)

    def _arguments(self, text: str) -> bytes:
        if not text:
            return b""
        return self._delta({"type": "input_json_delta", "partial_json": text})

    def _rest(self) -> bytes:
        """Everything whose turn had not come, and the end of the open block."""
        events = b"".join(map(self._thought, self._waiting)) + self._text(
            "text", self._waiting_text
        )
        waiting = [number for number in self._calls if number not in self._sent]
        return events + b"".join(map(self._start_call, waiting)) + self._close()

    def _start(self, kind: str, block: dict[str, Any]) -> bytes:
        events = self._close()
        self._index += 1
        self._open = kind
        return events + _event(
            "content_block_start", {"index": self._index, "content_block": block}
        )

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._index, "delta": delta})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", {"index": self._index})


def _event(name: str, members: dict[str, Any]) -> bytes:
    return event_bytes(name, msgspec.json.encode({"type": name, **members}))


def _head(generation: Generation) -> dict[str, Any]:
    return {
        "id": generation.id,
        "type": "message",
        "role": "assistant",
        "model": generation.model,
    }


def _content(message: Delta) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for thought in message.joined_thoughts:
        if thought.data is not None:
            if _is_claudes(thought):
                blocks.append({"type": "redacted_thinking", "data": thought.data})
        else:
            block = {"type": "thinking", "thinking": thought.text}
            signature = thought.signature if _is_claudes(thought) else None
            blocks.append({**block, "signature": signature or ""})
    if message.spoken:
        blocks.append({"type": "text", "text": message.spoken})
    blocks += [
        {
            "type": "tool_use",
            "id": to_messages(part.id or ""),
            "name": part.name,
            "input": _input(part.arguments),
        }
        for part in message.tool_calls or ()
    ]
    return blocks


def _input(arguments: str) -> Any:
    """The arguments of a call. Anything but a JSON object is kept within one, as it is."""
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        return {"arguments": arguments}
    return value if isinstance(value, dict) else {"arguments": value}


def _is_complete(arguments: str) -> bool:
    try:
        json.loads(arguments or "")
    except ValueError:
        return False
    return True


def _stop_reason(reason: str | None, *, has_calls: bool) -> str:
    stop = _STOPS.get(reason or "stop", "end_turn")
    return "tool_use" if has_calls and stop not in _FINAL else stop


def _ending(stop: str) -> dict[str, Any]:
    ending: dict[str, Any] = {"stop_reason": stop, "stop_sequence": None}
    if stop == "refusal":
        ending["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return ending


def _is_claudes(thought: Thought) -> bool:
    """Whether a signature or encrypted data may be Claude's: a client sends them back to it."""
    return thought.format in FORMATS
