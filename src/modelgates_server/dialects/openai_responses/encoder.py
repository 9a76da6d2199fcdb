"""Turns a chat completion into a response of the Responses API. See `ChatEncoder`.

Each event has a name, a `sequence_number` from 0, and the indexes and ids that clients join events
by. A stream always ends with `response.completed`, `.incomplete` or `.failed`: without one of
these, Codex makes the whole call again.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from modelgates_server.core.metering.generations import Generation
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.event_stream import event_bytes
from modelgates_server.dialects.openai_chat.spoken import (
    Choice,
    Chunk,
    Completion,
    Delta,
    Logprobs,
    ToolCallPart,
)
from modelgates_server.dialects.openai_responses.errors import failure
from modelgates_server.dialects.openai_responses.open_items import (
    OpenCall,
    OpenMessage,
    OpenReasoning,
)
from modelgates_server.dialects.openai_responses.output_items import (
    COMPLETED,
    INCOMPLETE,
    ClientCall,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)
from modelgates_server.dialects.openai_responses.response_object import (
    Item,
    response_object,
    usage_object,
)
from modelgates_server.dialects.openai_responses.text_extras import (
    response_annotations,
    response_logprobs,
)
from modelgates_server.dialects.openai_responses.tools import tool_names

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons of incomplete responses."""

_OPEN: Item = {}

_chunk = msgspec.json.Decoder(Chunk)
_completion = msgspec.json.Decoder(Completion)

Events = list[tuple[str, dict[str, Any]]]


class ResponsesEncoder:
    """See `ChatEncoder`."""

    def __init__(self, generation: Generation, wire: Mapping[str, msgspec.Raw]) -> None:
        self._generation = generation
        self._wire = wire
        self._names = tool_names(wire)
        self._number = 0
        self._has_begun = False
        self._output: list[Item] = []  # complete items, and `_OPEN` in the places of others
        self._has_message = False
        self._open: OpenReasoning | OpenMessage | None = None
        self._calls: dict[int, OpenCall] = {}
        self._finish: str | None = None

    def plain(self, answer: bytes, generation: Generation) -> bytes:
        """See `ChatEncoder`."""
        choice = _completion.decode(answer).choices[0]
        reason = _REASONS.get(choice.finish_reason or "")
        status = COMPLETED if reason is None else INCOMPLETE
        whole = response_object(
            generation,
            self._wire,
            status,
            self._items(choice, status, generation.id),
            reason=reason,
            usage=usage_object(generation),
        )
        return msgspec.json.encode(whole)

    def feed(self, chunk: bytes) -> bytes:
        """See `ChatEncoder`."""
        choices = _chunk.decode(chunk).choices
        events = [] if self._has_begun else self._begin()
        for choice in choices:
            events += self._said(choice.delta, _logprobs(choice.logprobs))
            self._finish = choice.finish_reason or self._finish
        return self._written(events)

    def end(self, generation: Generation) -> bytes:
        """See `ChatEncoder`."""
        reason = _REASONS.get(self._finish or "")
        return self._ended(generation, COMPLETED if reason is None else INCOMPLETE, reason)

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `ChatEncoder`. Open items never end, so that no client runs a call of this turn."""
        events = [] if self._has_begun else self._begin()
        whole = response_object(
            generation,
            self._wire,
            "failed",
            [item for item in self._output if item is not _OPEN],
            error=failure(error),
            usage=usage_object(generation),
        )
        return self._written([*events, ("response.failed", {"response": whole})])

    def _ended(self, generation: Generation, status: str, reason: str | None = None) -> bytes:
        events = [] if self._has_begun else self._begin()
        if not self._calls and not self._has_message:
            # Some clients ask again, and pay again, until a response has a message or a call.
            events += self._message()
        last = len(self._output) - 1
        opened = [*([] if self._open is None else [self._open]), *self._calls.values()]
        for each in opened:
            done, item = each.close(status if each.index == last else COMPLETED)
            events += done
            self._output[each.index] = item
        whole = response_object(
            generation,
            self._wire,
            status,
            self._output,
            reason=reason,
            usage=usage_object(generation),
        )
        return self._written([*events, (f"response.{status}", {"response": whole})])

    def _begin(self) -> Events:
        self._has_begun = True
        begun = response_object(self._generation, self._wire, "in_progress")
        names = ("response.created", "response.in_progress")
        return [(name, {"response": begun}) for name in names]

    def _said(self, delta: Delta, logprobs: list[Any]) -> Events:
        events: Events = []
        for thought in delta.thoughts:
            if not isinstance(self._open, OpenReasoning):
                events += self._close()
                self._open = OpenReasoning(self._new_id("rs"), self._add())
                events += self._open.start()
            events += self._open.add(thought)
        if text := delta.text:
            events += self._message()
            assert isinstance(self._open, OpenMessage)
            events += self._open.add_text(text, logprobs)
        for annotation in response_annotations(delta.annotations):
            events += self._message()
            assert isinstance(self._open, OpenMessage)
            events += self._open.add_annotation(annotation)
        if delta.refusal:
            events += self._message()
            assert isinstance(self._open, OpenMessage)
            events += self._open.add_refusal(delta.refusal)
        for part in delta.tool_calls or ():
            events += self._call(part)
        return events

    def _message(self) -> Events:
        if isinstance(self._open, OpenMessage):
            return []
        events = self._close()
        self._has_message = True
        self._open = OpenMessage(self._new_id("msg"), self._add())
        return [*events, *self._open.start()]

    def _call(self, part: ToolCallPart) -> Events:
        events = self._close()
        call = self._calls.get(part.index)
        if call is None:
            known = ClientCall(self._names, part.id or f"call_{part.index}", part.name)
            call = OpenCall(known, self._new_id(known.prefix), self._add())
            self._calls[part.index] = call
            events += call.start()
        return [*events, *call.add(part.arguments)]

    def _close(self) -> Events:
        """Close the open reasoning or message. Calls stay open to the end."""
        if self._open is None:
            return []
        opened, self._open = self._open, None
        events, item = opened.close()
        self._output[opened.index] = item
        return events

    def _add(self) -> int:
        """The index of the next item."""
        self._output.append(_OPEN)
        return len(self._output) - 1

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{self._generation.id}_{len(self._output)}"

    def _written(self, events: Events) -> bytes:
        written = []
        for name, members in events:
            event = {"type": name, "sequence_number": self._number, **members}
            written.append(event_bytes(name, msgspec.json.encode(event)))
            self._number += 1
        return b"".join(written)

    def _items(self, choice: Choice, status: str, name: str) -> list[Item]:
        """The output of a plain response; its last item has the status of the response."""
        message = choice.message
        items: list[Item] = []
        calls = message.tool_calls or []
        if thoughts := message.joined_thoughts:
            items.append(reasoning_item(f"rs_{name}_0", thoughts))
        parts = _parts(message, _logprobs(choice.logprobs))
        if parts or not calls:
            of_message = COMPLETED if calls else status
            item_id = f"msg_{name}_{len(items)}"
            items.append(message_item(item_id, parts or [text_part("")], of_message))
        for number, part in enumerate(calls, 1):
            call_id = part.id or f"call_{part.index}"
            call = ClientCall(self._names, call_id, part.name, part.arguments)
            of_call = status if number == len(calls) else COMPLETED
            items.append(call.item(f"{call.prefix}_{name}_{len(items)}", of_call))
        return items


def _parts(message: Delta, logprobs: list[Any]) -> list[Item]:
    annotations = list(response_annotations(message.annotations))
    parts = []
    if message.text or annotations:
        parts.append({**text_part(message.text, logprobs), "annotations": annotations})
    if message.refusal:
        parts.append(refusal_part(message.refusal))
    return parts


def _logprobs(given: Logprobs | None) -> list[Any]:
    return [] if given is None else response_logprobs(given.content)


def failed_stream(
    generation: Generation, wire: Mapping[str, msgspec.Raw], error: ErrorReport
) -> bytes:
    """The whole stream of a call that failed, and of which this client got nothing."""
    return ResponsesEncoder(generation, wire).error_end(generation, error)
