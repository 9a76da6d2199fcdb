"""The events of output items that are already whole, each value as the provider sent it.

A client that asked for a stream builds its text from deltas, even if the provider sent no stream.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

Events = Iterator[tuple[str, dict[str, Any]]]

_TEXTS = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text"}
"""The parts of contents that have deltas, and the field of their text."""

_INPUTS = {
    "function_call": ("arguments", "function_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
}
"""The items whose input has deltas: its field, and the name of its events."""

_SUMMARY = "response.reasoning_summary"


def item_events(index: int, raw: msgspec.Raw) -> Events:
    """All events of an item, from `added` to `done`."""
    item = msgspec.json.decode(raw)
    if not isinstance(item, dict):
        return
    yield "response.output_item.added", {"output_index": index, "item": _begun(item)}
    for name, members in _inner_events(item):
        yield name, {"item_id": item.get("id"), "output_index": index, **members}
    yield "response.output_item.done", {"output_index": index, "item": raw}


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    """The item before its texts, which come in deltas."""
    begun = {**item}
    if "status" in item:
        begun["status"] = "in_progress"
    for name in ("content", "summary"):
        if isinstance(item.get(name), list):
            begun[name] = []
    if (kind := item.get("type")) in _INPUTS:
        begun[_INPUTS[kind][0]] = ""
    return begun


def _inner_events(item: dict[str, Any]) -> Events:
    if (kind := item.get("type")) in _INPUTS:
        field, name = _INPUTS[kind]
        text = item.get(field)
        yield f"response.{name}.delta", {"delta": text}
        yield f"response.{name}.done", {field: text, "name": item.get("name")}
    for index, part in enumerate(_parts(item, "summary")):
        at, text = {"summary_index": index}, part.get("text")
        yield f"{_SUMMARY}_part.added", {**at, "part": {**part, "text": ""}}
        yield f"{_SUMMARY}_text.delta", {**at, "delta": text}
        yield f"{_SUMMARY}_text.done", {**at, "text": text}
        yield f"{_SUMMARY}_part.done", {**at, "part": part}
    for index, part in enumerate(_parts(item, "content")):
        yield from _part_events(part, {"content_index": index})


def _part_events(part: dict[str, Any], at: dict[str, int]) -> Events:
    kind = str(part.get("type"))
    field = _TEXTS.get(kind)
    if field is not None:
        is_text = kind == "output_text"
        extras = {"logprobs": part.get("logprobs") or []} if is_text else {}
        empty: dict[str, Any] = {"annotations": [], "logprobs": []} if is_text else {}
        yield "response.content_part.added", {**at, "part": {**part, field: "", **empty}}
        if text := part.get(field):
            yield f"response.{kind}.delta", {**at, "delta": text, **extras}
        annotations = part.get("annotations")
        for number, each in enumerate(annotations if isinstance(annotations, list) else ()):
            added = {"annotation_index": number, "annotation": each}
            yield f"response.{kind}.annotation.added", {**at, **added}
        yield f"response.{kind}.done", {**at, field: part.get(field), **extras}
    else:
        yield "response.content_part.added", {**at, "part": part}
    yield "response.content_part.done", {**at, "part": part}


def _parts(item: dict[str, Any], name: str) -> list[dict[str, Any]]:
    given = item.get(name)
    return [part for part in given if isinstance(part, dict)] if isinstance(given, list) else []
