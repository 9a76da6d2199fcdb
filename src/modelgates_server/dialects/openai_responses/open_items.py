"""Output items that are being written: the events of each, from `added` to `done`."""

from typing import Any

from modelgates_server.dialects.openai_chat.spoken import Thought, join_thoughts
from modelgates_server.dialects.openai_responses.output_items import (
    COMPLETED,
    IN_PROGRESS,
    ClientCall,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)
from modelgates_server.dialects.openai_responses.response_object import Item
from modelgates_server.dialects.openai_responses.tools import CUSTOM, FUNCTION

Events = list[tuple[str, dict[str, Any]]]
Closed = tuple[Events, Item]

_SUMMARY = "response.reasoning_summary"


class _OpenItem:
    def __init__(self, item_id: str, index: int) -> None:
        self.id = item_id
        self.index = index

    def _added(self, item: Item) -> Events:
        return [("response.output_item.added", {"output_index": self.index, "item": item})]

    def _done(self, item: Item) -> Events:
        return [("response.output_item.done", {"output_index": self.index, "item": item})]

    def _event(self, name: str, /, **members: Any) -> tuple[str, dict[str, Any]]:
        return name, {"item_id": self.id, "output_index": self.index, **members}


class OpenReasoning(_OpenItem):
    """Reasoning, shown as a summary."""

    def __init__(self, item_id: str, index: int) -> None:
        super().__init__(item_id, index)
        self._pieces: list[Thought] = []
        self._has_part = False

    def start(self) -> Events:
        """The events at the start."""
        return self._added(reasoning_item(self.id, []))

    def add(self, thought: Thought) -> Events:
        """The events for the next piece."""
        self._pieces.append(thought)
        if not thought.text:
            return []
        events = [] if self._has_part else [self._part("added", "")]
        self._has_part = True
        return [*events, self._event(f"{_SUMMARY}_text.delta", summary_index=0, delta=thought.text)]

    def close(self, status: str = COMPLETED) -> Closed:
        """The events at the end, and the whole item."""
        del status  # clients send a reasoning item back as it is, and it has no use for a status
        thoughts = join_thoughts(self._pieces)
        item = reasoning_item(self.id, thoughts)
        if not self._has_part:
            return self._done(item), item
        text = "".join(thought.text for thought in thoughts)
        done = self._event(f"{_SUMMARY}_text.done", summary_index=0, text=text)
        return [done, self._part("done", text), *self._done(item)], item

    def _part(self, step: str, text: str) -> tuple[str, dict[str, Any]]:
        part = {"type": "summary_text", "text": text}
        return self._event(f"{_SUMMARY}_part.{step}", summary_index=0, part=part)


class OpenMessage(_OpenItem):
    """A message: text, refusal or both, each a part of its own."""

    def __init__(self, item_id: str, index: int) -> None:
        super().__init__(item_id, index)
        self._parts: list[Item] = []
        self._pieces: list[str] = []  # of the open part
        self._field = ""  # of the open part: `text` or `refusal`

    def start(self) -> Events:
        """The events at the start."""
        return self._added(message_item(self.id, [], IN_PROGRESS))

    def add_text(self, text: str, logprobs: list[Any]) -> Events:
        """The events for the next piece of text."""
        events = self._open_part("text", text_part(""))
        self._pieces.append(text)
        self._parts[-1]["logprobs"] += logprobs
        delta = {"delta": text, "logprobs": logprobs}
        return [*events, self._in_part("response.output_text.delta", **delta)]

    def add_annotation(self, annotation: dict[str, Any]) -> Events:
        """The events for an annotation of the text so far."""
        events = self._open_part("text", text_part(""))
        known = self._parts[-1]["annotations"]
        known.append(annotation)
        added = {"annotation_index": len(known) - 1, "annotation": annotation}
        return [*events, self._in_part("response.output_text.annotation.added", **added)]

    def add_refusal(self, text: str) -> Events:
        """The events for the next piece of a refusal."""
        events = self._open_part("refusal", refusal_part(""))
        self._pieces.append(text)
        return [*events, self._in_part("response.refusal.delta", delta=text)]

    def close(self, status: str = COMPLETED) -> Closed:
        """The events at the end, and the whole item. A message has at least one part."""
        events = [] if self._parts else self._open_part("text", text_part(""))
        events += self._close_part()
        item = message_item(self.id, self._parts, status)
        return [*events, *self._done(item)], item

    def _open_part(self, field: str, empty: Item) -> Events:
        if self._field == field:
            return []
        events = self._close_part()
        self._field = field
        self._parts.append(empty)
        # Lists of the part grow later, and the event is written after that.
        shown = {name: [] if isinstance(value, list) else value for name, value in empty.items()}
        return [*events, self._in_part("response.content_part.added", part=shown)]

    def _close_part(self) -> Events:
        if not self._field:
            return []
        part, field, self._field = self._parts[-1], self._field, ""
        part[field] = "".join(self._pieces)
        self._pieces = []
        members = {field: part[field]}
        if field == "text":
            members["logprobs"] = part["logprobs"]
        kind = "output_text" if field == "text" else "refusal"
        return [
            self._in_part(f"response.{kind}.done", **members),
            self._in_part("response.content_part.done", part=part),
        ]

    def _in_part(self, name: str, /, **members: Any) -> tuple[str, dict[str, Any]]:
        return self._event(name, content_index=len(self._parts) - 1, **members)


class OpenCall(_OpenItem):
    """A call of a tool. Only the arguments of functions are shown as they arrive."""

    def __init__(self, call: ClientCall, item_id: str, index: int) -> None:
        super().__init__(item_id, index)
        self._call = call

    def start(self) -> Events:
        """The events at the start."""
        return self._added(self._call.item(self.id, IN_PROGRESS))

    def add(self, arguments: str) -> Events:
        """The events for the next piece of the arguments."""
        if not arguments:
            return []
        self._call.add(arguments)
        if self._call.kind != FUNCTION:
            return []
        return [self._event("response.function_call_arguments.delta", delta=arguments)]

    def close(self, status: str = COMPLETED) -> Closed:
        """The events at the end, and the whole item."""
        item = self._call.item(self.id, status)
        events: Events = []
        if self._call.kind == FUNCTION:
            done = {"name": item["name"], "arguments": item["arguments"]}
            events = [self._event("response.function_call_arguments.done", **done)]
        elif self._call.kind == CUSTOM:
            name, text = "response.custom_tool_call_input", item["input"]
            events = [self._event(f"{name}.delta", delta=text)] if text else []
            events.append(self._event(f"{name}.done", input=text))
        return [*events, *self._done(item)], item
