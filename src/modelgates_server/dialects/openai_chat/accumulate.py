"""Makes one plain response of the chunks of a stream, as clients of plain calls need it.

Shapes: OpenAI's API reference for chunks and responses; `reasoning_details` and `images` as
OpenRouter documents them.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.tool_calls import ToolCallWriter

_CHOICES_MAX = 4096
_DEPTH_MAX = 6
_OBJECTS = {Api.CHAT: "chat.completion", Api.COMPLETIONS: "text_completion"}

_TEXTS = frozenset(
    {
        *("content", "refusal", "text", "arguments", "input", "transcript", "data", "signature"),
        *("reasoning", "reasoning_content", "reasoning_text", "thinking", "summary"),
    }
)
"""Fields whose text arrives in parts. The newest value of any other field is the whole value."""

_KEYED = frozenset({"tool_calls", "reasoning_details", "images", "thinking_blocks"})
"""Lists whose items arrive in parts; `index` says which item a part belongs to."""


class Accumulator:
    """Collects the chunks of one stream. Time and memory are in proportion to their size.

    `new_calls` makes the writer that numbers the tool calls of the choice with an index.
    """

    def __init__(self, api: Api, new_calls: Callable[[int], ToolCallWriter]) -> None:
        self._api = api
        self._new_calls = new_calls
        self._calls: dict[int, ToolCallWriter] = {}
        self._top: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._with_delta: set[int] = set()

    def add(self, members: JsonObject) -> None:
        """Add a chunk. Values that cannot be decoded are left out."""
        for name, raw in members.items():
            value = _decoded(raw)
            if name == "choices":
                for place, choice in enumerate(value if isinstance(value, list) else ()):
                    if isinstance(choice, dict):
                        self._add_choice(choice, place)
            elif name == "data" and isinstance(value, list):
                self._top.setdefault("data", []).extend(value)
            elif value is not None:
                self._top[name] = value

    def response(self) -> JsonObject:
        """The fields of the plain response."""
        whole = {**self._top}
        if self._choices:
            whole["choices"] = [self._choice(index) for index in sorted(self._choices)]
        if self._api in _OBJECTS:
            whole["object"] = _OBJECTS[self._api]
        return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in whole.items()}

    def _add_choice(self, choice: dict[str, Any], place: int) -> None:
        index = choice.get("index")
        if type(index) is not int or not 0 <= index < _CHOICES_MAX:
            index = min(place, _CHOICES_MAX)
        known = self._choices.setdefault(index, {})
        delta, message = choice.pop("delta", None), choice.pop("message", None)
        if isinstance(delta, dict) and delta:
            self._with_delta.add(index)
            if delta.get("tool_calls"):
                delta["tool_calls"] = self._numbered(delta["tool_calls"], index)
            _merge(known.setdefault("message", {}), delta)
        elif isinstance(message, dict) and index not in self._with_delta:
            known["message"] = {}  # this is the whole message so far
            _merge(known["message"], message)
        _merge(known, {**choice, "index": index})

    def _numbered(self, calls: Any, index: int) -> Any:
        """Parts of tool calls, each with the `index` of its call."""
        writer = self._calls.get(index)
        if writer is None:
            writer = self._calls[index] = self._new_calls(index)
        parts = writer.delta(msgspec.Raw(msgspec.json.encode(calls)))
        return msgspec.json.decode(msgspec.json.encode(parts))

    def _choice(self, index: int) -> dict[str, Any]:
        choice: dict[str, Any] = _joined(self._choices[index])
        if self._api is Api.CHAT:
            message = {"role": "assistant", "content": None, **choice.get("message", {})}
            for call in _dicts(message.get("tool_calls")):
                call.pop("index", None)
            choice["message"] = message
        return choice


class _Parts(list[str]):
    """A text that arrives in parts; adding them up one by one would copy it for each."""


class _Items(list[Any]):
    """A list whose items arrive in parts; `newest` has the last item of each `index`."""

    def __init__(self) -> None:
        super().__init__()
        self.newest: dict[int | str, dict[str, Any]] = {}


def _merge(known: dict[str, Any], part: dict[str, Any], depth: int = 0) -> None:
    for name, new in part.items():
        old = known.get(name)
        if new is None:
            known.setdefault(name, None)
        elif isinstance(new, str) and name in _TEXTS:
            if not isinstance(old, _Parts):
                old = known[name] = _Parts([old] if isinstance(old, str) else [])
            old.append(new)
        elif isinstance(new, list) and isinstance(old, _Items | None) and depth < _DEPTH_MAX:
            items = known[name] = _Items() if old is None else old
            _add_items(items, new, depth, name)
        elif isinstance(new, dict) and isinstance(old, dict | None) and depth < _DEPTH_MAX:
            inner = known[name] = {} if old is None else old
            _merge(inner, new, depth + 1)
        else:
            known[name] = new


def _add_items(items: _Items, new: list[Any], depth: int, name: str) -> None:
    for item in new:
        index = item.get("index") if isinstance(item, dict) else None
        if name not in _KEYED or not isinstance(index, int | str):
            items.append(item)
            continue
        known = items.newest.get(index)
        if known is None or not _is_same(known, item):
            known = items.newest[index] = {}
            items.append(known)
        _merge(known, item, depth + 1)


def _is_same(known: dict[str, Any], part: dict[str, Any]) -> bool:
    """Whether a part continues an item with its index: unless id or type differ."""
    return all(part.get(name) in (None, "", known.get(name)) for name in ("id", "type"))


def _joined(value: Any) -> Any:
    if isinstance(value, _Parts):
        return "".join(value)
    if isinstance(value, list):
        return [_joined(item) for item in value]
    if isinstance(value, dict):
        return {name: _joined(inner) for name, inner in value.items()}
    return value


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
