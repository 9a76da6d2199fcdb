"""Turns a provider's response of the Responses API into a chat completion. See `ChatDecoder`."""

from typing import Any

import msgspec

from modelgates_server.dialects.body_form import BodyForm, body_form
from modelgates_server.dialects.event_stream import UNREADABLE
from modelgates_server.dialects.openai_responses.reasoning_items import RESPONSES_FORMAT
from modelgates_server.dialects.openai_responses.text_extras import (
    chat_annotations,
    chat_logprobs,
)
from modelgates_server.dialects.openai_responses.usage import usage_of
from modelgates_server.dialects.sse import DONE, EVENT_MAX_BYTES, SseReader

_CHUNK, _WHOLE = "chat.completion.chunk", "chat.completion"
_CUSTOM = "custom_tool_call"
_CALLS = frozenset({"function_call", _CUSTOM})
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
_ENDS = frozenset({"response.completed", "response.incomplete"})
_PIECES = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
}
"""The field of a message that an event continues."""

_INPUTS = frozenset(
    {"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"}
)
_FAILED = "The response failed."


class _SentEvent(msgspec.Struct):
    type: str
    item_id: str = ""
    output_index: int | None = None
    delta: Any = None
    logprobs: Any = None
    annotation: Any = None
    item: dict[str, Any] = {}
    response: dict[str, Any] = {}


_event = msgspec.json.Decoder(_SentEvent)


Key = int | str
"""An item of a stream: its index, or its id if there is no index."""


class ResponsesDecoder:
    """See `ChatDecoder`. Items are known by their index, because some providers change the ids."""

    def __init__(self) -> None:
        self._reader = SseReader()
        self._head: bytes | None = b""  # None once the form of the body is known
        self._json: bytearray | None = None
        self._is_beyond = (
            False  # a response that is too long to translate is passed on, and cut off there
        )
        self._begun: dict[str, Any] = {}
        self._calls: dict[Key, tuple[int, str]] = {}  # the number of each call, and its type
        self._heard: set[Key] = set()  # the items of which a piece has arrived
        self._done_items: set[Key] = set()

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
        if self._is_beyond:
            return data
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
            self._is_beyond = len(self._json) > EVENT_MAX_BYTES
            return bytes(self._json) if self._is_beyond else b""
        chunks = b"".join(map(self._chunks, self._reader.feed(data)))
        self._is_beyond = self._reader.is_too_long
        return chunks

    def close(self) -> bytes:
        """See `ChatDecoder`."""
        if self._is_beyond:
            return b""
        if self._json is not None:
            return self.plain(bytes(self._json))
        return b"".join(map(self._chunks, self._reader.close()))

    def _chunks(self, payload: bytes) -> bytes:
        """The chunks for one event. Data that cannot be read is passed on, and counted there."""
        try:
            return self._of_event(_event.decode(payload), payload)
        except (KeyError, TypeError, *UNREADABLE):
            return b"data: %b\n\n" % payload.replace(b"\n", b" ").replace(b"\r", b" ")

    def _of_event(self, event: _SentEvent, payload: bytes) -> bytes:
        if (field := _PIECES.get(event.type)) is not None:
            return self._piece(event, {field: event.delta})
        if event.type in _INPUTS:
            return self._arguments(_key(event), event.delta)
        if event.type in _ENDS:
            return self._ended(event.response)
        if event.type == "error":
            return b"data: %b\n\n" % _as_error(payload)
        return self._of_state(event)

    def _of_state(self, event: _SentEvent) -> bytes:
        """The chunks for an event about an item, or about the whole response."""
        match event.type:
            case "response.created":
                return self._started(event.response)
            case "response.output_text.annotation.added":
                annotations = chat_annotations([event.annotation])
                return self._piece(event, {"annotations": annotations}) if annotations else b""
            case "response.output_item.added":
                return self._added(_key(event), event.item)
            case "response.output_item.done":
                return self._done(_key(event), event.item)
            case "response.failed":
                return self._failed(event.response)
        return b""

    def _started(self, response: dict[str, Any]) -> bytes:
        if self._begun:
            return b""
        self._begun = {name: response.get(name) for name in ("id", "model")}
        return self._said({"role": "assistant", "content": ""})

    def _piece(self, event: _SentEvent, delta: dict[str, Any]) -> bytes:
        self._heard.add(_key(event))
        return self._said(delta, event.logprobs)

    def _added(self, key: Key, item: dict[str, Any]) -> bytes:
        if item["type"] not in _CALLS or key in self._calls:
            return b""
        call, number = _tool_call(item, ""), len(self._calls)
        self._calls[key] = number, item["type"]
        return self._said({"tool_calls": [{"index": number, **call}]})

    def _arguments(self, key: Key, text: str) -> bytes:
        number, kind = self._calls[key]
        call = {"index": number, **_input(kind, text)}
        self._heard.add(key)
        return self._said({"tool_calls": [call]})

    def _done(self, key: Key, item: dict[str, Any]) -> bytes:
        """Write the parts of an item that did not come in pieces."""
        self._done_items.add(key)
        is_new = key not in self._heard
        if item["type"] in _CALLS:
            started = self._added(key, item)
            return started + (self._arguments(key, _arguments_of(item)) if is_new else b"")
        if item["type"] == "message":
            return self._said(*_spoken([item])) if is_new else b""
        if item["type"] == "reasoning":
            delta = _reasoning([item])
            if not is_new:
                delta.pop("reasoning", None)
            return self._said(delta) if delta else b""
        return b""

    def _rest(self, response: dict[str, Any]) -> bytes:
        """The items that only the last event has."""
        if self._done_items or self._heard:
            return b""
        output = response.get("output") or []
        return b"".join(self._done(index, item) for index, item in enumerate(output))

    def _failed(self, response: dict[str, Any]) -> bytes:
        chunk: dict[str, Any] = {"error": response.get("error") or {"message": _FAILED}}
        if (usage := usage_of(response)) is not None:
            chunk["usage"] = usage
        return _data(chunk)

    def _ended(self, response: dict[str, Any]) -> bytes:
        rest = self._rest(response)
        chunk = self._chunk({}, _finish_reason(response, has_calls=bool(self._calls)))
        chunk["usage"] = usage_of(response)
        chunk["service_tier"] = response.get("service_tier")
        return rest + _data(chunk) + b"data: %b\n\n" % DONE

    def _said(self, delta: dict[str, Any], logprobs: Any = None) -> bytes:
        chunk = self._chunk(delta)
        if logprobs:
            chunk["choices"][0]["logprobs"] = chat_logprobs(logprobs)
        return _data(chunk)

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {**self._begun, "object": _CHUNK, "choices": [choice]}


def _key(event: _SentEvent) -> Key:
    if event.output_index is not None:
        return event.output_index
    return event.item_id or str(event.item.get("id"))


def _completion(response: dict[str, Any]) -> dict[str, Any]:
    """A response as a completion; raises `KeyError` if it is none, such as an error."""
    output: list[dict[str, Any]] = response["output"]
    if response.get("status") == "failed":
        error = response.get("error") or {"message": _FAILED}
        return {"error": error, "usage": usage_of(response)}
    spoken, logprobs = _spoken(output)
    message: dict[str, Any] = {"role": "assistant", **spoken, **_reasoning(output)}
    calls = [item for item in output if item["type"] in _CALLS]
    if calls:
        message["tool_calls"] = [_tool_call(item, _arguments_of(item)) for item in calls]
    message.setdefault("content", None if calls else "")
    reason = _finish_reason(response, has_calls=bool(calls))
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": reason}
    if logprobs:
        choice["logprobs"] = chat_logprobs(logprobs)
    return {
        "id": response.get("id"),
        "model": response.get("model"),
        "created": response.get("created_at"),
        "object": _WHOLE,
        "choices": [choice],
        "usage": usage_of(response),
        "service_tier": response.get("service_tier"),
    }


def _spoken(output: list[dict[str, Any]]) -> tuple[dict[str, Any], list[Any]]:
    """All messages as the fields of one, and the probabilities of its tokens."""
    parts = [part for item in output if item["type"] == "message" for part in item["content"]]
    texts = [part for part in parts if part["type"] == "output_text"]
    spoken = {
        "content": "".join(part["text"] for part in texts),
        "refusal": "".join(part["refusal"] for part in parts if part["type"] == "refusal"),
        "annotations": [
            each for part in texts for each in chat_annotations(part.get("annotations"))
        ],
    }
    logprobs = [each for part in texts for each in part.get("logprobs") or ()]
    return {name: value for name, value in spoken.items() if value}, logprobs


def _reasoning(output: list[dict[str, Any]]) -> dict[str, Any]:
    """The reasoning of all items, and what the provider must get back unchanged."""
    items = [item for item in output if item["type"] == "reasoning"]
    text = "".join(map(_thoughts, items))
    details = [
        {
            "type": "reasoning.encrypted",
            "data": item["encrypted_content"],
            "id": item.get("id"),
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


def _tool_call(item: dict[str, Any], text: str) -> dict[str, Any]:
    ((kind, given),) = _input(item["type"], text).items()
    return {"id": item["call_id"], "type": kind, kind: {"name": item["name"], **given}}


def _input(kind: str, text: str) -> dict[str, dict[str, str]]:
    """The input of a call, or a piece of it: the arguments of a function, or a text."""
    return {"custom": {"input": text}} if kind == _CUSTOM else {"function": {"arguments": text}}


def _arguments_of(item: dict[str, Any]) -> str:
    text: str = item["input"] if item["type"] == _CUSTOM else item["arguments"]
    return text


def _finish_reason(response: dict[str, Any], *, has_calls: bool) -> str:
    if response.get("status") == "incomplete":
        reason = str((response.get("incomplete_details") or {}).get("reason") or "length")
        return _REASONS.get(reason, reason)
    return "tool_calls" if has_calls else "stop"


def _as_error(payload: bytes) -> bytes:
    event = msgspec.json.decode(payload)
    error = event.get("error") or {name: event.get(name) for name in ("message", "code", "param")}
    return msgspec.json.encode({"error": error})


def _data(chunk: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(chunk)
