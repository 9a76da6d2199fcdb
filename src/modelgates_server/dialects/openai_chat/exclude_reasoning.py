"""Removes reasoning from a response for a client that excludes it. It is metered before."""

from typing import Any

import msgspec

_FIELDS = ("reasoning", "reasoning_content", "reasoning_details", "thinking_blocks")


def without_reasoning(body: bytes) -> bytes:
    """A chunk or a whole response without the reasoning in its choices."""
    if b"reasoning" not in body and b"thinking" not in body:
        return body
    response: dict[str, Any] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    try:
        choices = msgspec.json.decode(response["choices"], type=list[dict[str, msgspec.Raw]])
    except (KeyError, msgspec.DecodeError):
        return body  # no choices: an error, or only usage
    response["choices"] = [_stripped(choice) for choice in choices]
    return msgspec.json.encode(response)


def _stripped(choice: dict[str, Any]) -> dict[str, Any]:
    for part in choice.keys() & {"message", "delta"}:
        if not bytes(choice[part]).startswith(b"{"):
            continue
        members = msgspec.json.decode(choice[part], type=dict[str, msgspec.Raw])
        kept = {name: raw for name, raw in members.items() if name not in _FIELDS}
        if bytes(kept.get("content", b"")).startswith(b"["):
            kept["content"] = _without_thinking(kept["content"])
        choice[part] = kept
    return {name: raw for name, raw in choice.items() if name not in _FIELDS}


def _without_thinking(content: msgspec.Raw) -> Any:
    """Content in parts, as Mistral sends it: its reasoning is a part of the type `thinking`."""
    parts: list[Any] = msgspec.json.decode(content)
    return [
        part for part in parts if not (isinstance(part, dict) and part.get("type") == "thinking")
    ]
