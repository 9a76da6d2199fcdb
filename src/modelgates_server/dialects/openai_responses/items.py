"""The input items of a request, typed, for the translation to chat completions."""

from typing import Any, TypeVar

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import JsonObject, compact, misfit

_NULL = msgspec.Raw(b"null")


class ContentPart(msgspec.Struct):
    """A part of a message's content, or of a tool's output."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    input_audio: msgspec.Raw = _NULL


class Item(msgspec.Struct):
    """An item of any type. `content` and `output` are decoded where they are used."""

    type: str | None = None
    role: str | None = None
    content: msgspec.Raw = _NULL
    id: str | None = None
    summary: list[ContentPart] | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: msgspec.Raw = _NULL
    input: str | None = None
    output: msgspec.Raw = _NULL
    encrypted_content: str | None = None
    execution: str | None = None
    tools: msgspec.Raw = _NULL

    @property
    def kind(self) -> str:
        """The type; a message may lack it."""
        return self.type or "message"


_items = msgspec.json.Decoder(list[Item])
_content = msgspec.json.Decoder(str | list[ContentPart])
_text = msgspec.json.Decoder(str)
_T = TypeVar("_T")


def typed_items(wire: JsonObject) -> list[Item]:
    """The items of `input`; raises `InvalidInput` that names a field of a wrong type."""
    raw = bytes(wire["input"])
    if raw.startswith(b'"'):
        return [Item(role="user", content=msgspec.Raw(raw))]
    return _decode(_items, raw, "input", list[Item])


def content_of(raw: msgspec.Raw, path: str) -> list[ContentPart]:
    """The parts of a content or an output; a text is one part."""
    content = _decode(_content, bytes(raw), path, str | list[ContentPart])
    return [ContentPart("text", content)] if isinstance(content, str) else content


def arguments_of(item: Item, path: str) -> str:
    """The arguments of a call as text: those of a search for tools are an object."""
    raw = bytes(item.arguments)
    if raw.startswith(b'"'):
        return _decode(_text, raw, path, str)
    return "{}" if raw == b"null" else compact(raw).decode()


def needed(value: str | None, path: str) -> str:
    """A text that has to be there; raises `InvalidInput` that names it."""
    if not value:
        raise InvalidInput(f"`{path}` is missing.")
    return value


def _decode(decoder: "msgspec.json.Decoder[_T]", raw: bytes, path: str, shape: Any) -> _T:
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, path, raw, shape) from None
