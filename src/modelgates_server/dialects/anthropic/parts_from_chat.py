"""Translates content parts of chat completions into blocks."""

from collections.abc import Callable
from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.anthropic.rules import PARTS_FROM_CHAT, Action, by_member
from modelgates_server.dialects.json_object import JsonObject, says_nothing

_RULES = by_member(PARTS_FROM_CHAT)
_NULL = msgspec.Raw(b"null")
_PDF = "application/pdf"
_STARTS = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
}
"""How images begin in base64. The type in a URL is often wrong."""

_members = msgspec.json.Decoder(JsonObject)
_objects = msgspec.json.Decoder(list[JsonObject])
_text = msgspec.json.Decoder(str)


def blocks_of(raw: bytes, path: str) -> str | list[dict[str, Any]]:
    """The content of a message: its text, or its blocks without empty texts."""
    if raw == b"null":
        return ""
    if raw.startswith(b'"'):
        return _text.decode(raw)
    if not raw.startswith(b"["):
        raise InvalidInput(f"`{path}` must be a string or a list of parts.")
    blocks = list[dict[str, Any]]()
    for number, part in enumerate(_objects.decode(raw)):
        blocks += _block(part, f"{path}[{number}]")
    return blocks


def _block(part: JsonObject, path: str) -> list[dict[str, Any]]:
    kind = _text.decode(part.get("type", b'""'))
    rule = _RULES.get(kind)
    if rule is None or rule.action is Action.REJECTED:
        note = rule.note if rule else "it has no counterpart for this model. Remove the part."
        raise InvalidInput(f"`{path}` is of type `{kind:.80}`: {note}")
    block = _BLOCKS[kind](part, path)
    if block is None:
        return []
    if not says_nothing(bytes(part.get("cache_control", _NULL))):
        block["cache_control"] = part["cache_control"]
    return [block]


def _of_text(part: JsonObject, path: str) -> dict[str, Any] | None:
    name = "text" if "text" in part else "refusal"
    if name not in part:
        raise InvalidInput(f"`{path}.text` is missing.")
    text = _text.decode(part[name])
    return {"type": "text", "text": text} if text else None


def _of_image(part: JsonObject, path: str) -> dict[str, Any] | None:
    raw = bytes(part.get("image_url", _NULL))
    given = raw if raw.startswith(b'"') else bytes(_members.decode(raw).get("url", b'""'))
    url = _text.decode(given)
    if url.startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    _, data = _data_url(url, f"{path}.image_url")
    media_type = next((kind for start, kind in _STARTS.items() if data.startswith(start)), None)
    if media_type is None:
        raise InvalidInput(
            f"`{path}.image_url` is not an image that this model reads. Send JPEG, PNG, GIF or "
            "WebP."
        )
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _of_file(part: JsonObject, path: str) -> dict[str, Any] | None:
    file = _members.decode(part.get("file", b"{}"))
    url = _text.decode(file.get("file_data", b'""'))
    if url.startswith("https://"):
        source = {"type": "url", "url": url}
    else:
        media_type, data = _data_url(url, f"{path}.file.file_data")
        if media_type != _PDF:
            raise InvalidInput(f"`{path}.file` must be a PDF file for this model.")
        source = {"type": "base64", "media_type": _PDF, "data": data}
    block: dict[str, Any] = {"type": "document", "source": source}
    if bytes(file.get("filename", _NULL)).startswith(b'"'):
        block["title"] = file["filename"]
    return block


_BLOCKS: dict[str, Callable[[JsonObject, str], dict[str, Any] | None]] = {
    "text": _of_text,
    "refusal": _of_text,
    "image_url": _of_image,
    "file": _of_file,
}


def _data_url(url: str, path: str) -> tuple[str, str]:
    """The media type and the base64 of a `data:` URL."""
    head, comma, data = url.partition(",")
    kind, _, encoding = head.removeprefix("data:").rpartition(";")
    if not (url.startswith("data:") and comma and encoding == "base64"):
        raise InvalidInput(f"`{path}` must be a URL that begins with `https:`, or data in base64.")
    return kind.partition(";")[0].lower(), data
