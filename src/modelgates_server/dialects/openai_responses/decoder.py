"""Turns a provider's response of the Responses API into a chat completion. See `ChatDecoder`."""

from typing import Any

import msgspec

from modelgates_server.dialects.body_form import BodyForm, body_form
from modelgates_server.dialects.event_stream import UNREADABLE
from modelgates_server.dialects.openai_responses.reasoning_items import RESPONSES_FORMAT
from modelgates_server.dialects.sse import DONE, SseReader

_CHUNK, _WHOLE = "chat.completion.chunk", "chat.completion"
_CALLS = frozenset({"function_call", "custom_tool_call"})
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
_PIECES = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
}
"""The field of a chat delta for each kind of text."""

_ARGUMENTS = frozenset(
    {"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"}
)


class _SentEvent(msgspec.Struct):
    type: str
    item_id: str = ""
    delta: Any = None
    item: dict[str, Any] = {}
    response: dict[str, Any] = {}


_event = msgspec.json.Decoder(_SentEvent)


class ResponsesDecoder:
    """See `ChatDecoder`. Items are identified by their ids; calls get numbers."""

    def __init__(self) -> None:
        self._reader = SseReader()
        self._head: bytes | None = b""  # None once the form of the body is known
        self._json: bytearray | None = None
        self._begun: dict[str, Any] = {}
        self._calls: dict[str, int] = {}
        self._heard: set[str] = set()  # the items of which a piece has arrived

    def plain(self, payload: bytes) -> bytes:
        """See `ChatDecoder`. An error stays as it is: the chat adapter knows its form."""
        if body_form(payload) is BodyForm.EVENTS:
            return self.feed(payload) + self.close()
        try:
            return msgspec.json.encode(_completion(msgspec.json.decode(payload)))
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
        if self._json is not None:
            self._json += data
            return b""
        return b"".join(map(self._chunks, self._reader.feed(data)))

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
        kind = event.type
        if kind in _PIECES:
            return self._piece(event, {_PIECES[kind]: event.delta})
        if kind in _ARGUMENTS:
            return self._arguments(event.item_id, event.delta)
        if kind == "error":
            return b"data: %b\n\n" % _as_error(payload)
        return self._of_step(event)

    def _of_step(self, event: _SentEvent) -> bytes:
        """The chunks for the begin or the end of the response, or of an item."""
        match event.type:
            case "response.created":
                return self._started(event.response)
            case "response.output_item.added":
                return self._added(event.item)
            case "response.output_item.done":
                return self._done(event.item)
            case "response.failed":
                return _error(event.response.get("error") or {"message": "The response failed."})
            case "response.completed" | "response.incomplete":
                return self._ended(event.response)
        return b""

    def _started(self, response: dict[str, Any]) -> bytes:
        if self._begun:
            return b""
        self._begun = {name: response.get(name) for name in ("id", "model")}
        return self._said({"role": "assistant", "content": ""})

    def _piece(self, event: _SentEvent, delta: dict[str, Any]) -> bytes:
        self._heard.add(event.item_id)
        return self._said(delta)

    def _added(self, item: dict[str, Any]) -> bytes:
        if item["type"] not in _CALLS:
            return b""
        number = self._calls[item["id"]] = len(self._calls)
        call = _tool_call(item, "")
        return self._said({"tool_calls": [{"index": number, **call}]})

    def _arguments(self, item_id: str, text: str) -> bytes:
        self._heard.add(item_id)
        call = {"index": self._calls[item_id], "function": {"arguments": text}}
        return self._said({"tool_calls": [call]})

    def _done(self, item: dict[str, Any]) -> bytes:
        """The parts of an item that did not come in pieces."""
        is_new = item["id"] not in self._heard
        if item["type"] in _CALLS:
            if item["id"] not in self._calls:
                started = self._added(item)
                return started + self._arguments(item["id"], _arguments_of(item))
            return self._arguments(item["id"], _arguments_of(item)) if is_new else b""
        if item["type"] == "message":
            return self._said(_spoken([item])) if is_new else b""
        if item["type"] == "reasoning":
            delta = _reasoning([item])
            if not is_new:
                delta.pop("reasoning", None)
            return self._said(delta) if delta else b""
        return b""

    def _ended(self, response: dict[str, Any]) -> bytes:
        chunk = self._chunk({}, _finish_reason(response))
        chunk["usage"] = response.get("usage")
        chunk["service_tier"] = response.get("service_tier")
        return _data(chunk) + b"data: %b\n\n" % DONE

    def _said(self, delta: dict[str, Any]) -> bytes:
        return _data(self._chunk(delta))

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {**self._begun, "object": _CHUNK, "choices": [choice]}


def _completion(response: dict[str, Any]) -> dict[str, Any]:
    """A response as a completion; raises `KeyError` if it is none, such as an error."""
    output: list[dict[str, Any]] = response["output"]
    if response.get("status") == "failed":
        return {"error": response.get("error") or {"message": "The response failed."}}
    message: dict[str, Any] = {"role": "assistant", **_spoken(output), **_reasoning(output)}
    calls = [item for item in output if item["type"] in _CALLS]
    if calls:
        message["tool_calls"] = [_tool_call(item, _arguments_of(item)) for item in calls]
    message.setdefault("content", None if calls else "")
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(response)}
    return {
        "id": response.get("id"),
        "model": response.get("model"),
        "created": response.get("created_at"),
        "object": _WHOLE,
        "choices": [choice],
        "usage": response.get("usage"),
        "service_tier": response.get("service_tier"),
    }


def _spoken(output: list[dict[str, Any]]) -> dict[str, Any]:
    """The text and the refusal of all messages, as fields of one message."""
    parts = [part for item in output if item["type"] == "message" for part in item["content"]]
    spoken = {
        "content": "".join(part["text"] for part in parts if part["type"] == "output_text"),
        "refusal": "".join(part["refusal"] for part in parts if part["type"] == "refusal"),
    }
    return {name: text for name, text in spoken.items() if text}


def _reasoning(output: list[dict[str, Any]]) -> dict[str, Any]:
    """The reasoning of all items, and what the provider must get back unchanged."""
    items = [item for item in output if item["type"] == "reasoning"]
    text = "".join(map(_thoughts, items))
    details = [
        {
            "type": "reasoning.encrypted",
            "data": item["encrypted_content"],
            "id": item["id"],
            "format": RESPONSES_FORMAT,
        }
        for item in items
        if item.get("encrypted_content")
    ]
    return {
        **({"reasoning": text} if text else {}),
        **({"reasoning_details": details} if details else {}),
    }


def _thoughts(item: dict[str, Any]) -> str:
    """The summary, or the reasoning itself if it has no summary."""
    parts = item.get("summary") or item.get("content") or ()
    return "".join(part["text"] for part in parts)


def _tool_call(item: dict[str, Any], arguments: str) -> dict[str, Any]:
    function = {"name": item["name"], "arguments": arguments}
    return {"id": item["call_id"], "type": "function", "function": function}


def _arguments_of(item: dict[str, Any]) -> str:
    text: str = item["input"] if item["type"] == "custom_tool_call" else item["arguments"]
    return text


def _finish_reason(response: dict[str, Any]) -> str:
    if response.get("status") == "incomplete":
        reason = str((response.get("incomplete_details") or {}).get("reason") or "length")
        return _REASONS.get(reason, reason)
    has_calls = any(item.get("type") in _CALLS for item in response.get("output") or ())
    return "tool_calls" if has_calls else "stop"


def _as_error(payload: bytes) -> bytes:
    event = msgspec.json.decode(payload)
    error = event.get("error") or {name: event.get(name) for name in ("message", "code", "param")}
    return msgspec.json.encode({"error": error})


def _error(error: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode({"error": error})


def _data(chunk: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(chunk)
