"""Turns a chat completion into a response of the Responses API. See `ChatEncoder`.

Each event has a name, a `sequence_number` from 0, and the indexes and ids that clients join events
by. A stream always ends with `response.completed`, `.incomplete` or `.failed`: otherwise Codex
makes the whole call again.
"""

from typing import Any

import msgspec

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.event_stream import event_bytes
from modelgates_server.dialects.openai_chat.spoken import (
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
from modelgates_server.dialects.openai_responses.tools import tool_names

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons of incomplete responses."""

_chunk = msgspec.json.Decoder(Chunk)
_completion = msgspec.json.Decoder(Completion)

Events = list[tuple[str, dict[str, Any]]]


class ResponsesEncoder:
    """See `ChatEncoder`."""

    def __init__(self, generation: Generation, request: InferenceRequest) -> None:
        self._generation = generation
        self._wire = request.wire
        self._names = tool_names(request.wire)
        self._number = 0
        self._has_begun = False
        self._output: list[Item] = []  # an open item has only its place here
        self._open: OpenReasoning | OpenMessage | None = None
        self._calls: dict[int, OpenCall] = {}
        self._finish: str | None = None

    def plain(self, answer: bytes, generation: Generation) -> bytes:
        """See `ChatEncoder`."""
        choice = _completion.decode(answer).choices[0]
        reason = _REASONS.get(choice.finish_reason or "")
        whole = response_object(
            generation,
            self._wire,
            "completed" if reason is None else "incomplete",
            self._items(choice.message, _logprobs(choice.logprobs), generation.id),
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
        status = "completed" if reason is None else "incomplete"
        return self._ended(generation, status, reason=reason)

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `ChatEncoder`."""
        return self._ended(generation, "failed", error=failure(error))

    def _ended(
        self,
        generation: Generation,
        status: str,
        *,
        reason: str | None = None,
        error: dict[str, Any] | None = None,
    ) -> bytes:
        events = [] if self._has_begun else self._begin()
        events += self._close()
        for call in self._calls.values():
            done, item = call.close()
            events += done
            self._output[call.index] = item
        whole = response_object(
            generation,
            self._wire,
            status,
            self._output,
            reason=reason,
            error=error,
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
        self._open = OpenMessage(self._new_id("msg"), self._add())
        return [*events, *self._open.start()]

    def _call(self, part: ToolCallPart) -> Events:
        events = self._close()
        call = self._calls.get(part.index)
        if call is None:
            known = ClientCall(self._names, part.id or f"call_{part.index}", part.name)
            call = OpenCall(known, self._new_id("fc"), self._add())
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
        self._output.append({"type": "open"})
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

    def _items(self, message: Delta, logprobs: list[Any], name: str) -> list[Item]:
        """The output of a plain response."""
        items: list[Item] = []
        if thoughts := message.joined_thoughts:
            items.append(reasoning_item(f"rs_{name}_0", thoughts))
        parts = [text_part(message.text, logprobs)] if message.text else []
        parts += [refusal_part(message.refusal)] if message.refusal else []
        if parts or not message.tool_calls:
            items.append(message_item(f"msg_{name}_{len(items)}", parts))
        for part in message.tool_calls or ():
            call = ClientCall(self._names, part.id or f"call_{part.index}", part.name)
            call.arguments = part.arguments
            items.append(call.item(f"fc_{name}_{len(items)}", is_done=True))
        return items


def _logprobs(given: Logprobs | None) -> list[Any]:
    return [] if given is None else given.content or []


def failed_stream(generation: Generation, error: ErrorReport) -> bytes:
    """The whole stream of a call that failed for this client, and of which it got nothing."""
    whole = response_object(
        generation, {}, "failed", error=failure(error), usage=usage_object(generation)
    )
    event = {"type": "response.failed", "sequence_number": 0, "response": whole}
    return event_bytes("response.failed", msgspec.json.encode(event))
