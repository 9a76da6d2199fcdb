"""Joins the events of a stream into a whole message, and splits a message into events."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from modelgates_server.dialects.anthropic.usage import merged_usage
from modelgates_server.dialects.json_object import JsonObject

_DELTAS = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
}
_GROWING = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
}
"""The fields of a block to which deltas append; a signature comes in one piece."""


class Collector:
    """Joins events. It trusts them: they have been metered."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {"type": "message", "role": "assistant", "content": []}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, str] = {}

    def add(self, payload: bytes) -> None:
        """Add one event."""
        event = msgspec.json.decode(payload)
        kind, index = event["type"], event.get("index", 0)
        if kind == "message_start":
            self._message |= {**event["message"], "content": []}
        elif kind == "content_block_start":
            self._blocks[index] = dict(event["content_block"])
        elif kind == "content_block_delta":
            self._grow(index, event["delta"])
        elif kind == "message_delta":
            usage = merged_usage(self._message.get("usage") or {}, event.get("usage") or {})
            self._message |= {**event["delta"], "usage": usage}

    def message(self) -> JsonObject:
        """The whole message."""
        for index, text in self._inputs.items():
            self._blocks[index]["input"] = json.loads(text or "{}")
        content = [block for _, block in sorted(self._blocks.items())]
        whole = {**self._message, "content": content}
        return msgspec.json.decode(msgspec.json.encode(whole), type=JsonObject)

    def _grow(self, index: int, delta: Mapping[str, Any]) -> None:
        block = self._blocks.setdefault(index, {"type": "text", "text": ""})
        kind = delta["type"]
        if kind == "input_json_delta":
            self._inputs[index] = self._inputs.get(index, "") + delta["partial_json"]
        elif kind in _GROWING:
            name = _GROWING[kind]
            block[name] = (block.get(name) or "") + delta[name]
        elif kind == "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])


def events_of(message: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The names and events of a message, without those at the end."""
    blocks = msgspec.json.decode(message["content"], type=list[JsonObject])
    empty = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    yield "message_start", {"type": "message_start", "message": empty}
    for index, block in enumerate(blocks):
        start, deltas = _started(block)
        yield (
            "content_block_start",
            {"type": "content_block_start", "index": index, "content_block": start},
        )
        for delta in deltas:
            yield (
                "content_block_delta",
                {"type": "content_block_delta", "index": index, "delta": delta},
            )
        yield "content_block_stop", {"type": "content_block_stop", "index": index}


def _started(block: JsonObject) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The block at its start, and the deltas that complete it."""
    kind = msgspec.json.decode(block["type"])
    if kind == "tool_use":
        text = bytes(block.get("input", b"{}")).decode()
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
    if kind not in _DELTAS:
        return dict(block), []
    name, field = _DELTAS[kind]
    deltas: list[dict[str, Any]] = [{"type": name, field: block[field]}]
    start: dict[str, Any] = {**block, field: ""}
    if "signature" in block:
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        start["signature"] = ""
    return start, deltas
