"""Reads OpenRouter's `reasoning_details` as blocks of thinking, or drops what Claude did not sign.

A signature passes with exactly the text that it signs, or the whole block is dropped.
"""

from typing import Any

import msgspec

from modelgates_server.dialects.anthropic.omissions import Omissions
from modelgates_server.dialects.json_object import says_nothing

FORMATS = (None, "unknown", "anthropic-claude-v1")
"""The formats of details that Claude may have signed; others are those of other companies."""

_DROPPED = "messages.reasoning_details"


class _Detail(msgspec.Struct):
    """One detail. A stream may split the text of one block over several, before its signature."""

    type: str
    text: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None


_details = msgspec.json.Decoder(list[_Detail])


def thinking_blocks(raw: bytes, omissions: Omissions) -> list[dict[str, Any]]:
    """The blocks, in order."""
    if says_nothing(raw):
        return []
    blocks, text = list[dict[str, Any]](), ""
    is_whole = True
    for detail in _details.decode(raw):
        if detail.format not in FORMATS:
            is_whole = False
        elif detail.type == "reasoning.encrypted" and detail.data:
            blocks.append({"type": "redacted_thinking", "data": detail.data})
        elif detail.type == "reasoning.text":
            text += detail.text or ""
            if detail.signature:
                signed = {"thinking": text, "signature": detail.signature}
                blocks.append({"type": "thinking", **signed})
                text = ""
        else:
            is_whole = False
    if text or not is_whole:
        omissions.add(_DROPPED)
    return blocks
