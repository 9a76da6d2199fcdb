"""Adapts a provider's Messages response for a client of the Messages API.

All values of the provider are kept, except the id, the model and the cost. Unknown events are
dropped: a client ends with an error if an event's name is unknown to it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import InvalidAnswer
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.redaction import Redactor
from modelgates_server.dialects.anthropic.errors import error_event, message_error
from modelgates_server.dialects.anthropic.meter import MessagesMeter
from modelgates_server.dialects.anthropic.usage import cost_number, usage_object
from modelgates_server.dialects.anthropic.whole import Collector, events_of
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.event_stream import UNREADABLE, EventStreamResponse, event_bytes
from modelgates_server.dialects.json_object import JsonObject

_NULL = msgspec.Raw(b"null")
_STOP = "content_block_stop"


class _Event(msgspec.Struct):
    type: str
    index: int | None = None
    message: JsonObject = {}
    content_block: JsonObject = {}
    delta: JsonObject = {}
    usage: dict[str, Any] | None = None
    error: Any = None


_event = msgspec.json.Decoder(_Event)
_members = msgspec.json.Decoder(JsonObject)
_blocks = msgspec.json.Decoder(list[JsonObject])
_usage = msgspec.json.Decoder(dict[str, Any] | None)


class MessagesResponse(EventStreamResponse):
    """See `ResponseAdapter`."""

    meter: MessagesMeter

    def __init__(
        self,
        generation: Generation,
        meter: MessagesMeter,
        redactor: Redactor,
        *,
        text_max_bytes: int,
        media_max_bytes: int,
    ) -> None:
        super().__init__(
            generation,
            meter,
            redactor,
            text_max_bytes=text_max_bytes,
            media_max_bytes=media_max_bytes,
        )
        self._whole: JsonObject = {}
        self._last: JsonObject | None = None  # the newest `message_delta`, held back
        self._numbers: dict[int, int] = {}  # the positions of blocks, by the provider's indexes
        self._open: set[int] = set()

    def answer(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`."""
        message: dict[str, Any] = {**self._whole, **_head(generation)}
        message["usage"] = self._usage_for(generation)
        return msgspec.json.encode(message)

    def end(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`: the held `message_delta` with the cost, and `message_stop`."""
        last: dict[str, Any] = dict(self._last or _ended(self._whole))
        last["usage"] = self._usage_for(generation)
        payload = msgspec.json.encode(last)
        return event_bytes("message_delta", payload) + event_bytes(
            "message_stop", b'{"type":"message_stop"}'
        )

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `ResponseAdapter`."""
        return error_event(generation, error)

    def _observe_event(self, payload: bytes) -> bytes:
        try:
            event = _event.decode(payload)
            return self._client_event(event, payload)
        except UNREADABLE as error:
            raise InvalidAnswer(f"Not an event of this API: {error}") from error

    def _client_event(self, event: _Event, payload: bytes) -> bytes:
        kind = event.type
        if kind == "content_block_delta":
            self.meter.add_output(event.delta)
            return self._of_block(event, payload)
        if kind == "content_block_start":
            return self._block(event, payload)
        if kind == _STOP:
            self._open.discard(-1 if (number := self._number(event)) is None else number)
            return self._of_block(event, payload)
        return self._of_message(event, payload)

    def _of_message(self, event: _Event, payload: bytes) -> bytes:
        match event.type:
            case "message_start":
                return self._started(event, payload)
            case "message_delta":
                return self._ending(event, payload)
            case "message_stop":
                self.is_done = True
                return self._closed()
            case "error":
                self.meter.error = event.error or {"message": "unknown error"}
            case "ping":
                return event_bytes("ping", payload)
            case _:
                self.meter.repaired(Repair.DATA_SKIPPED)
        return b""

    def _block(self, event: _Event, payload: bytes) -> bytes:
        if not self.meter.choices:
            raise InvalidAnswer("A block before the start of the message")
        number = len(self._numbers)
        self._numbers[number if event.index is None else event.index] = number
        self._open.add(number)
        self.meter.add_output(event.content_block)
        self.meter.add_input(event.content_block.get("input"))
        return self._of_block(event, payload)

    def _of_block(self, event: _Event, payload: bytes) -> bytes:
        """An event of a block. Clients find a block by its position, so gaps are closed."""
        number = self._number(event)
        if number is None:
            self.meter.error = {"message": "an event of a block that has not begun"}
            return b""
        if number != event.index:
            self.meter.repaired(Repair.FIELD_REPAIRED)
            payload = msgspec.json.encode({**_members.decode(payload), "index": number})
        return event_bytes(event.type, payload)

    def _number(self, event: _Event) -> int | None:
        """The position of the block: the newest one if the event names none."""
        if event.index is None:
            return len(self._numbers) - 1 if self._numbers else None
        return self._numbers.get(event.index)

    def _closed(self) -> bytes:
        """The ends of blocks that the provider forgot: some clients would lose a call of a tool."""
        events = b""
        for number in sorted(self._open):
            self.meter.repaired(Repair.FIELD_REPAIRED)
            events += event_bytes(_STOP, b'{"type":"%b","index":%d}' % (_STOP.encode(), number))
        self._open.clear()
        return events

    def _started(self, event: _Event, payload: bytes) -> bytes:
        meter, message = self.meter, event.message
        if meter.choices:
            return b""  # a second start would begin a second message
        meter.begin(_value(message.get("id")), _value(message.get("model")))
        usage = _usage.decode(message.get("usage", _NULL))
        meter.add_report(usage or {}, is_final=False)
        started: dict[str, Any] = {**message, **_head(self._generation)}
        for name, default in _REQUIRED.items():
            if bytes(started.get(name, _NULL)) == b"null":
                started[name] = default
                meter.repaired(Repair.FIELD_REPAIRED)
        members: dict[str, Any] = {**_members.decode(payload), "message": started}
        return event_bytes("message_start", msgspec.json.encode(members))

    def _ending(self, event: _Event, payload: bytes) -> bytes:
        """Hold back a `message_delta`; an earlier one is sent now, without the cost."""
        self.meter.add_ending(_value(event.delta.get("stop_reason")))
        self.meter.add_report(event.usage or {}, is_final=True)
        earlier, self._last = self._last, _members.decode(payload)
        events = self._closed()
        if earlier is None:
            return events
        return events + event_bytes("message_delta", msgspec.json.encode(earlier))

    def _observe_whole(self, payload: bytes) -> None:
        try:
            message = _members.decode(payload)
            if "error" in message and "content" not in message:
                self.meter.error = msgspec.json.decode(message["error"])
                return
            content = _blocks.decode(message["content"])
            usage = _usage.decode(message.get("usage", _NULL))
            self.meter.begin(_value(message.get("id")), _value(message.get("model")))
            for block in content:
                self.meter.add_output(block)
                self.meter.add_input(block.get("input"))
            self.meter.add_ending(_value(message.get("stop_reason")))
            self.meter.add_report(usage or {}, is_final=True)
        except (KeyError, *UNREADABLE) as error:
            raise InvalidAnswer(f"Not a message: {error}") from error
        self._whole = message

    def _observe_collected(self, events: Iterable[bytes]) -> None:
        collector = Collector()
        for payload in events:
            try:
                self._observe_event(payload)
            except InvalidAnswer as error:
                self._skip(payload, error)
                continue
            collector.add(payload)
        self._whole = collector.message()

    def _whole_as_events(self) -> Iterator[bytes]:
        for name, event in events_of({**self._whole, **_head(self._generation)}):
            yield event_bytes(name, msgspec.json.encode(event))

    def _reported_error(self) -> ProviderError:
        return message_error(self._generation.provider, self.meter.error)

    def _usage_for(self, generation: Generation) -> dict[str, Any]:
        """The provider's own usage with the cost; ours if it reported none."""
        ours = usage_object(generation)
        if not self.meter.knows_output:
            return ours
        return {**ours, **self.meter.report, "cost": cost_number(generation)}


_REQUIRED: dict[str, Any] = {
    "content": msgspec.Raw(b"[]"),
    "usage": msgspec.Raw(b'{"input_tokens":0,"output_tokens":0}'),
}
"""Fields of `message_start` without which Anthropic's clients fail."""


def _head(generation: Generation) -> JsonObject:
    return {
        "id": msgspec.Raw(b'"%b"' % generation.id.encode()),
        "model": msgspec.Raw(msgspec.json.encode(generation.model)),
    }


def _ended(message: JsonObject) -> dict[str, Any]:
    """A `message_delta` for a message that came without one."""
    delta = {name: message.get(name, _NULL) for name in ("stop_reason", "stop_sequence")}
    if bytes(delta["stop_reason"]) == b"null":
        delta["stop_reason"] = msgspec.Raw(b'"end_turn"')
    return {"type": "message_delta", "delta": delta}


def _value(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)
