"""How Anthropic counts a prompt, as far as it is published, apart from the gateway's sizing.

The tokenizer is the worst that exists: each byte of a text is a token.
"""

import base64
import json
import math
from collections.abc import Callable
from typing import Any

_PROMPT_TOKENS = 700
_TURN_TOKENS = 12
_TOOLS_TOKENS = 804
"""The longest published prompt for tools: Opus 4.7 with a forced choice."""

_PRESETS = {"bash_20250124": 245, "text_editor_20250728": 700, "computer_20251124": 735 + 499}


def _bytes(value: str) -> int:
    return len(value.encode())


def image_tokens(width: int, height: int, *, long_edge: int = 2576, most: int = 4784) -> int:
    """The patches of an image after it was scaled down."""
    scale = min(1.0, long_edge / max(width, height))
    wide, high = math.ceil(width * scale), math.ceil(height * scale)
    return min(math.ceil(wide / 28) * math.ceil(high / 28), most) + 10


def _json(value: Any) -> int:
    return _bytes(json.dumps(value, ensure_ascii=False))


_RENDERED: dict[str, Callable[[dict[str, Any]], int]] = {
    "text": lambda block: _bytes(block["text"]),
    "image": lambda block: _of_image(block["source"]),
    "thinking": lambda block: _bytes(block["thinking"]) + _bytes(block["signature"]),
    "redacted_thinking": lambda block: _bytes(block["data"]),
    "tool_use": lambda block: _bytes(block["name"]) + _json(block["input"]),
    "tool_result": lambda block: _of_blocks(block.get("content", "")),
    "document": lambda block: _bytes(block.get("title", "")) + _bytes(block["source"]["data"]),
}


def _of_blocks(content: Any) -> int:
    if isinstance(content, str):
        return _bytes(content)
    return sum(_RENDERED[block["type"]](block) for block in content)


def _of_image(source: dict[str, str]) -> int:
    head = base64.b64decode(source["data"])
    width, height = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    return image_tokens(width, height)


def prompt_tokens(body: dict[str, Any]) -> int:
    """The most input tokens that a call with this body is billed for."""
    tokens = _PROMPT_TOKENS + _TURN_TOKENS * (len(body["messages"]) + 1)
    tokens += _of_blocks(body.get("system", ""))
    tokens += sum(_of_blocks(message["content"]) for message in body["messages"])
    for tool in body.get("tools", ()):
        if preset := _PRESETS.get(tool.get("type", "")):
            tokens += preset
        else:
            tokens += _bytes(json.dumps(tool, ensure_ascii=False, separators=(",", ":")))
    return tokens + (_TOOLS_TOKENS if body.get("tools") else 0)
