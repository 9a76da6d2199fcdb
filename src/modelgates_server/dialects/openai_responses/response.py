"""Adapts a provider's response of the Responses API for a client of that API.

All values of the provider are kept, except the id, the model, `store` and the cost. Members that
clients need are added.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import InvalidAnswer
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.redaction import Redactor
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.event_stream import UNREADABLE, EventStreamResponse, event_bytes
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.errors import provider_error
from modelgates_server.dialects.openai_responses.encoder import failed_stream
from modelgates_server.dialects.openai_responses.errors import failure
from modelgates_server.dialects.openai_responses.meter import ResponsesMeter
from modelgates_server.dialects.openai_responses.response_object import (
    complete,
    cost_fields,
    response_object,
    usage_object,
)
from modelgates_server.dialects.openai_responses.whole_items import item_events

_NULL = msgspec.Raw(b"null")
_FALSE = msgspec.Raw(b"false")
_ENDS = frozenset({"response.completed", "response.incomplete"})
_HEADS = frozenset({"response.created", "response.in_progress", "response.queued"})
_FAILED, _ITEM_DONE = "response.failed", "response.output_item.done"
_OUTPUT_ENDS = (
    *("output_text.delta", "refusal.delta", "reasoning_text.delta", "arguments.delta"),
    *("reasoning_summary_text.delta", "custom_tool_call_input.delta", "code.delta"),
)


class _Event(msgspec.Struct):
    type: str
    delta: Any = None
    response: JsonObject = {}
    item: msgspec.Raw = _NULL
    error: Any = None
    message: Any = None
    code: Any = None
    sequence_number: Any = None


_event = msgspec.json.Decoder(_Event)
_members = msgspec.json.Decoder(JsonObject)


class ResponsesResponse(EventStreamResponse):
    """See `ResponseAdapter`."""

    meter: ResponsesMeter

    def __init__(
        self,
        generation: Generation,
        meter: ResponsesMeter,
        redactor: Redactor,
        *,
        wire: Mapping[str, msgspec.Raw],
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
        self._wire = wire
        self._whole: JsonObject = {}
        self._items: list[msgspec.Raw] = []  # whole items, as they came
        self._last = "response.completed"  # the name of the last event, which is held back
        self._number = -1  # the sequence number of the last event that was sent
        self._begun: JsonObject = {}

    def answer(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`."""
        return msgspec.json.encode(self._charged(generation))

    def end(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`: the last event of the provider, with the cost."""
        return self._terminal(self._last, self._charged(generation))

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `ResponseAdapter`: the provider's own failure, or one with the gateway's error."""
        if not self._begun:
            return failed_stream(generation, self._wire, error)
        # The text of an error about the operator's account is not for clients.
        if self._last == _FAILED and self._reported_error().account_text is None:
            return self._terminal(self._last, self._charged(generation))
        whole = response_object(
            generation, self._wire, "failed", error=failure(error), usage=usage_object(generation)
        )
        return self._terminal(_FAILED, {**whole, **self._kept()})

    def _observe_event(self, payload: bytes) -> bytes:
        try:
            event = _event.decode(payload)
            written = self._client_event(event, payload)
        except UNREADABLE as error:
            raise InvalidAnswer(f"Not an event of this API: {error}") from error
        if written:
            number = event.sequence_number
            self._number = number if type(number) is int else self._number + 1
        return written

    def _client_event(self, event: _Event, payload: bytes) -> bytes:
        kind = event.type
        if event.delta is not None and kind.endswith(_OUTPUT_ENDS):
            self.meter.add_output(event.delta)
        elif kind in _HEADS:
            self.meter.begin(_values(event.response))
            self._begun = event.response
            return self._rewritten(kind, event.response, payload)
        elif kind == _ITEM_DONE:
            self._items.append(event.item)
        elif kind in _ENDS:
            self._whole, self._last = self._with_output(event.response), kind
            self.meter.finish(_values(self._whole))
            self.is_done = True
            return b""
        elif kind == _FAILED:
            values = _values(event.response)
            self.meter.finish(values)
            self.meter.error = values.get("error") or {"message": "The response failed."}
            self._whole, self._last = event.response, kind
            return b""
        elif kind == "error":
            given = {"message": event.message, "code": event.code}
            self.meter.error = event.error or given
            return b""
        return event_bytes(kind, payload)

    def _with_output(self, response: JsonObject) -> JsonObject:
        """The response with the items of the stream, if its last event repeats none of them."""
        if not self._items or bytes(response.get("output", _NULL)) not in (b"null", b"[]"):
            return response
        self.meter.repaired(Repair.FIELD_REPAIRED)
        return {**response, "output": msgspec.Raw(b"[%b]" % b",".join(map(bytes, self._items)))}

    def _rewritten(self, kind: str, response: JsonObject, payload: bytes) -> bytes:
        members: dict[str, Any] = _members.decode(payload)
        begun = complete(response, self._generation, self._wire, "in_progress")
        members["response"] = {**begun, **_head(self._generation)}
        return event_bytes(kind, msgspec.json.encode(members))

    def _observe_whole(self, payload: bytes) -> None:
        try:
            response = _members.decode(payload)
            values = _values(response)
            if not isinstance(values.get("output"), list) or values.get("status") == "failed":
                if not values.get("error"):
                    raise InvalidAnswer("Not a response: it has no output and no error")
                self.meter.error = values["error"]
                return
            self.meter.finish(values)
        except UNREADABLE as error:
            raise InvalidAnswer(f"Not a response: {error}") from error
        self._whole = response
        if values.get("status") == "incomplete":
            self._last = "response.incomplete"

    def _observe_collected(self, events: Iterable[bytes]) -> None:
        for payload in events:
            try:
                self._observe_event(payload)
            except InvalidAnswer as error:
                self._skip(payload, error)

    def _whole_as_events(self) -> Iterator[bytes]:
        begun: dict[str, Any] = {
            **complete(self._whole, self._generation, self._wire, "in_progress"),
            **_head(self._generation),
            "status": "in_progress",
            "output": [],
            "usage": None,
        }
        events: list[tuple[str, dict[str, Any]]] = [
            ("response.created", {"response": begun}),
            ("response.in_progress", {"response": begun}),
        ]
        items = msgspec.json.decode(self._whole["output"], type=list[msgspec.Raw])
        for index, item in enumerate(items):
            events += item_events(index, item)
        self._begun, self._number = self._whole, len(events) - 1
        for number, (name, members) in enumerate(events):
            event = {"type": name, "sequence_number": number, **members}
            yield event_bytes(name, msgspec.json.encode(event))

    def _reported_error(self) -> ProviderError:
        return provider_error(self._generation.provider, self.meter.error)

    def _charged(self, generation: Generation) -> dict[str, Any]:
        """The provider's response with the cost; the usage is ours if it reported none."""
        usage = {**usage_object(generation), **self.meter.report, **cost_fields(generation)}
        status = self._last.removeprefix("response.")
        whole = complete(self._whole, generation, self._wire, status)
        return {**whole, **_head(generation), "usage": usage}

    def _kept(self) -> JsonObject:
        """The provider's values of the response from before it failed."""
        names = ("created_at", "instructions", "tools", "tool_choice", "metadata")
        return {name: self._begun[name] for name in names if name in self._begun}

    def _terminal(self, name: str, response: dict[str, Any]) -> bytes:
        event = {"type": name, "sequence_number": self._number + 1, "response": response}
        return event_bytes(name, msgspec.json.encode(event))


def _head(generation: Generation) -> JsonObject:
    return {
        "id": msgspec.Raw(b'"%b"' % generation.id.encode()),
        "model": msgspec.Raw(msgspec.json.encode(generation.model)),
        "store": _FALSE,
    }


def _values(response: JsonObject) -> dict[str, Any]:
    return {name: msgspec.json.decode(raw) for name, raw in response.items()}
