"""The texts of a message or a delta in OpenAI's form, and its reasoning under all known names.

`reasoning_content` is the name of DeepSeek, Qwen, xAI and SGLang, `reasoning` that of OpenRouter,
Groq, Ollama and vLLM, and OpenRouter's clients read `reasoning_details`. Clients know one of the
three, so each message has all. Mistral sends content in parts, of which some are reasoning.
"""

from typing import Any

import msgspec

from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.output_meter import is_bare

_NULL = msgspec.Raw(b"null")
_EMPTY = (b"null", b'""', b"[]")
_NAMES = ("reasoning", "reasoning_content")
_SOURCES = (*_NAMES, "reasoning_text", "thinking")
_DETAILS = b'[{"type":"reasoning.text","text":%b,"index":0,"format":"unknown"}]'
_DEPTH_MAX = 8


def add_reasoning(members: JsonObject) -> None:
    """Give a message's reasoning every name that clients know; what is there stays as it is."""
    found = (bytes(members.get(name, _NULL)) for name in _SOURCES)
    text = next((raw for raw in found if raw.startswith(b'"') and raw != b'""'), None)
    if text is None:
        return
    for name in _NAMES:
        if bytes(members.get(name, _NULL)) in _EMPTY:
            members[name] = msgspec.Raw(text)
    if bytes(members.get("reasoning_details", _NULL)) in _EMPTY:
        members["reasoning_details"] = msgspec.Raw(_DETAILS % text)


def flatten_content(members: JsonObject) -> bool:
    """Make `content` a text or null; whether it was something else.

    Parts with reasoning become `reasoning`, images become OpenRouter's `images`.
    """
    raw = bytes(members.get("content", _NULL))
    if raw.startswith(b'"') or raw == b"null":
        return False
    if is_bare(raw):
        members["content"] = msgspec.Raw(b'"%b"' % raw)
        return True
    value = msgspec.json.decode(raw)
    texts: list[str] = []
    thoughts: list[str] = []
    images: list[Any] = []
    for part in value if isinstance(value, list) else [value]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image_url":
            images.append(part)
        elif kind in ("thinking", "reasoning"):
            thoughts.extend(_texts(part, _DEPTH_MAX))
        else:
            texts.extend(_texts(part, _DEPTH_MAX))
    members["content"] = msgspec.Raw(msgspec.json.encode("".join(texts)))
    if thoughts and bytes(members.get("reasoning", _NULL)) in _EMPTY:
        members["reasoning"] = msgspec.Raw(msgspec.json.encode("".join(thoughts)))
    if images and bytes(members.get("images", _NULL)) in _EMPTY:
        members["images"] = msgspec.Raw(msgspec.json.encode(images))
    return True


def _texts(part: Any, depth: int) -> list[str]:
    """The texts in a part of a message: under `text` and other names, or itself."""
    if isinstance(part, str):
        return [part]
    if isinstance(part, list) and depth:
        return [text for inner in part for text in _texts(inner, depth - 1)]
    if isinstance(part, dict) and depth:
        inner = next(
            (part[key] for key in ("text", "thinking", "summary", "content") if part.get(key)), None
        )
        return _texts(inner, depth - 1)
    return []
