"""Turns a provider's Messages response into one of chat completions. See `ChatDecoder`."""

from typing import Any

import msgspec

from modelgates_server.dialects.anthropic.usage import chat_usage, merged_usage
from modelgates_server.dialects.body_form import BodyForm, body_form
from modelgates_server.dialects.event_stream import UNREADABLE
from modelgates_server.dialects.sse import DONE, EVENT_MAX_BYTES, SseReader

_FORMAT = "anthropic-claude-v1"
_CHUNK, _WHOLE = "chat.completion.chunk", "chat.completion"


class _SentEvent(msgspec.Struct):
    type: str
    index: int = 0
    message: dict[str, Any] = {}
    content_block: dict[str, Any] = {}
    delta: dict[str, Any] = {}
    usage: dict[str, Any] | None = None


_event = msgspec.json.Decoder(_SentEvent)


class MessagesDecoder:
    """See `ChatDecoder`. `writes_1h`: see `chat_usage`."""

    def __init__(self, *, writes_1h: bool) -> None:
        self._writes_1h = writes_1h
        self._reader = SseReader()
        self._head: bytes | None = b""  # None once the form of the body is known
        self._json: bytearray | None = None
        self._is_passed = False
        self._usage: dict[str, Any] = {}
        self._knows_output = False
        self._begun: dict[str, Any] = {}
        self._calls: dict[int, int] = {}  # the number of the call in each block
        self._without_input: dict[int, str] = {}

    def plain(self, payload: bytes) -> bytes:
        """See `ChatDecoder`. An error stays as it is: the chat adapter knows its form."""
        if body_form(payload) is BodyForm.EVENTS:
            return self.feed(payload) + self.close()
        try:
            message = msgspec.json.decode(payload)
            return msgspec.json.encode(self._completion(message))
        except (KeyError, TypeError, AttributeError, *UNREADABLE):
            return payload

    def feed(self, data: bytes) -> bytes:
        """See `ChatDecoder`."""
        if self._head is not None:
            form = body_form(self._head + data)
            if form is None:
                self._head += data
                return b""
            data, self._head = self._head + data, None
            if form is BodyForm.JSON:
                self._json = bytearray()
        if self._is_passed:
            return data
        if self._json is not None:
            return self._collected(data)
        return b"".join(map(self._chunks, self._reader.feed(data)))

    def _collected(self, data: bytes) -> bytes:
        """Collect a plain response; one above the limit is passed on, and cut off there."""
        assert self._json is not None
        self._json += data
        if len(self._json) <= EVENT_MAX_BYTES:
            return b""
        passed, self._json, self._is_passed = bytes(self._json), None, True
        return passed

    def close(self) -> bytes:
        """See `ChatDecoder`."""
        if self._json is not None:
            return self.plain(bytes(self._json))
        return b"".join(map(self._chunks, self._reader.close()))

    def _chunks(self, payload: bytes) -> bytes:
        """The chunks for one event. An unreadable one is passed on, and counted there."""
        try:
            return self._of_event(_event.decode(payload), payload)
        except (KeyError, TypeError, *UNREADABLE):
            return b"data: %b\n\n" % payload.replace(b"\n", b" ").replace(b"\r", b" ")

    def _of_event(self, event: _SentEvent, payload: bytes) -> bytes:
        match event.type:
            case "message_start":
                return self._started(event.message)
            case "content_block_start":
                return self._block(event.index, event.content_block)
            case "content_block_delta":
                return self._delta(event.index, event.delta)
            case "content_block_stop":
                text = self._without_input.pop(event.index, None)
                return b"" if text is None else self._arguments(event.index, text)
            case "message_delta":
                return self._ending(event)
            case "message_stop":
                return b"data: %b\n\n" % DONE
            case "error":
                return b"data: %b\n\n" % msgspec.json.format(payload, indent=-1)
        return b""

    def _started(self, message: dict[str, Any]) -> bytes:
        if self._begun:
            return b""
        self._begun = {name: message.get(name) for name in ("id", "model")}
        self._usage = merged_usage({}, message.get("usage") or {})
        chunk = self._chunk({"role": "assistant", "content": ""})
        chunk["usage"] = self._chat_usage()
        return _data(chunk)

    def _block(self, index: int, block: dict[str, Any]) -> bytes:
        match block["type"]:
            case "text":
                return self._said({"content": block["text"]}) if block.get("text") else b""
            case "thinking":
                return self._thought(index, block.get("thinking") or "", block.get("signature"))
            case "redacted_thinking":
                return self._said({"reasoning_details": [_redacted(index, block)]})
            case "tool_use":
                return self._call(index, block)
        return b""

    def _call(self, index: int, block: dict[str, Any]) -> bytes:
        number = self._calls[index] = len(self._calls)
        self._without_input[index] = _json(block.get("input") or {})
        function = {"name": block["name"], "arguments": ""}
        call = {"index": number, "id": block["id"], "type": "function", "function": function}
        return self._said({"tool_calls": [call]})

    def _delta(self, index: int, delta: dict[str, Any]) -> bytes:
        match delta["type"]:
            case "text_delta":
                return self._said({"content": delta["text"]})
            case "thinking_delta":
                return self._thought(index, delta["thinking"], None)
            case "signature_delta":
                return self._thought(index, "", delta["signature"])
            case "input_json_delta":
                if delta["partial_json"]:
                    self._without_input.pop(index, None)
                    return self._arguments(index, delta["partial_json"])
        return b""

    def _thought(self, index: int, text: str, signature: str | None) -> bytes:
        if not text and not signature:
            return b""
        delta: dict[str, Any] = {"reasoning_details": [_thinking(index, text, signature)]}
        return self._said({"reasoning": text, **delta} if text else delta)

    def _arguments(self, index: int, text: str) -> bytes:
        call = {"index": self._calls[index], "function": {"arguments": text}}
        return self._said({"tool_calls": [call]})

    def _ending(self, event: _SentEvent) -> bytes:
        usage = event.usage or {}
        self._usage = merged_usage(self._usage, usage)
        self._knows_output = self._knows_output or usage.get("output_tokens") is not None
        reason = event.delta.get("stop_reason")
        chunk = self._chunk({}, reason) if reason else {**self._of_all(), "choices": []}
        if any(value is not None for value in usage.values()):
            # Nothing else covers the text so far.
            chunk["usage"] = self._chat_usage()
        return _data(chunk)

    def _chat_usage(self) -> dict[str, Any]:
        """The usage so far. Before the end, its output is a placeholder."""
        return chat_usage(self._usage, writes_1h=self._writes_1h, has_output=self._knows_output)

    def _said(self, delta: dict[str, Any]) -> bytes:
        return _data(self._chunk(delta))

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {**self._of_all(), "choices": [choice]}

    def _of_all(self) -> dict[str, Any]:
        return {**self._begun, "object": _CHUNK}

    def _completion(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message as a completion; raises `KeyError` if it is none, such as an error."""
        content: list[dict[str, Any]] = message["content"]
        spoken: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(block["text"] for block in content if block["type"] == "text"),
        }
        thoughts = [block["thinking"] for block in content if block["type"] == "thinking"]
        if thoughts:
            spoken["reasoning"] = "".join(thoughts)
        if details := [_detail(at, b) for at, b in enumerate(content) if "thinking" in b["type"]]:
            spoken["reasoning_details"] = details
        if calls := [block for block in content if block["type"] == "tool_use"]:
            spoken["tool_calls"] = [_tool_call(block) for block in calls]
            spoken["content"] = spoken["content"] or None
        choice = {"index": 0, "message": spoken, "finish_reason": message.get("stop_reason")}
        usage = merged_usage({}, message.get("usage") or {})
        return {
            "id": message.get("id"),
            "model": message.get("model"),
            "object": _WHOLE,
            "choices": [choice],
            "usage": chat_usage(usage, writes_1h=self._writes_1h) if usage else None,
        }


def _tool_call(block: dict[str, Any]) -> dict[str, Any]:
    function = {"name": block["name"], "arguments": _json(block.get("input") or {})}
    return {"id": block["id"], "type": "function", "function": function}


def _detail(index: int, block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] == "thinking":
        return _thinking(index, block["thinking"], block.get("signature"))
    return _redacted(index, block)


def _thinking(index: int, text: str, signature: str | None) -> dict[str, Any]:
    """A part of OpenRouter's `reasoning_details`; the signature comes with the last one."""
    detail = {"type": "reasoning.text", "text": text, "index": index, "format": _FORMAT}
    return {**detail, "signature": signature} if signature else detail


def _redacted(index: int, block: dict[str, Any]) -> dict[str, Any]:
    data = block["data"]
    return {"type": "reasoning.encrypted", "data": data, "index": index, "format": _FORMAT}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _data(chunk: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(chunk)
