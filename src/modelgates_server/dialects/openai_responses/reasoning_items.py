"""Packs reasoning for `encrypted_content`, so that it survives a round trip through a client.

Chat completions carry reasoning as `reasoning_details`: texts with signatures, and encrypted data.
A client of the Responses API returns only what is in a reasoning item. So this server puts the
details into `encrypted_content`, which clients return unread. Content without the prefix belongs to
a provider of the Responses API and means something only to that provider.
"""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

_OURS = "modelgates.reasoning."
PREFIX = f"{_OURS}1."
"""The 1 is the version of the form. No provider can read any version."""

RESPONSES_FORMAT = "openai-responses-v1"
"""The `format` of reasoning details whose data is `encrypted_content` of a Responses provider."""

_details = msgspec.json.Decoder(list[dict[str, Any]])


def pack(details: Sequence[dict[str, Any]]) -> str:
    """The details as the `encrypted_content` of a reasoning item, each value as it is."""
    written = base64.urlsafe_b64encode(msgspec.json.encode(details)).rstrip(b"=")
    return PREFIX + written.decode()


def unpack(text: str) -> list[dict[str, Any]] | None:
    """The details that `pack` was given; None if the text is not from `pack`."""
    if not text.startswith(PREFIX):
        return None
    packed = text.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        return _details.decode(raw)
    except (ValueError, RecursionError):
        return None


def is_packed(text: str) -> bool:
    """Whether this server wrote the text, so that no provider can read it."""
    return text.startswith(_OURS)
