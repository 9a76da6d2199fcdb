"""Ids of tool calls. Anthropic accepts letters, digits, `-` and `_` alone; others are encoded."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

_VALID = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)
_ENCODED = "mgid_"


def to_messages(tool_id: str) -> str:
    """An id that Anthropic accepts. Different ids stay different."""
    if _VALID.fullmatch(tool_id) and not tool_id.startswith(_ENCODED):
        return tool_id
    return _ENCODED + urlsafe_b64encode(tool_id.encode()).decode().rstrip("=")


def from_messages(tool_id: str) -> str:
    """The id that `to_messages` was given."""
    if not tool_id.startswith(_ENCODED):
        return tool_id
    text = tool_id.removeprefix(_ENCODED)
    try:
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return tool_id
    return decoded if to_messages(decoded) == tool_id else tool_id  # a client made it up
