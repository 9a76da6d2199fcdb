"""Writes content parts of the Responses API as those of chat completions."""

from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import cut
from modelgates_server.dialects.openai_responses.items import ContentPart
from modelgates_server.dialects.openai_responses.rules import PARTS_TO_CHAT

TEXTUAL = ("input_text", "output_text", "text")


def chat_content(parts: list[ContentPart], path: str) -> str | list[dict[str, Any]]:
    """A user's or a system's content: a text if it is only one."""
    if not parts:
        return ""
    if len(parts) == 1 and parts[0].type in TEXTUAL:
        return parts[0].text
    return [chat_part(part, f"{path}[{number}]") for number, part in enumerate(parts)]


def chat_part(part: ContentPart, path: str) -> dict[str, Any]:
    """One part; raises `InvalidInput` for a type without a counterpart, which it names."""
    if part.type in TEXTUAL:
        return {"type": "text", "text": part.text}
    write = _WRITERS.get(part.type)
    if write is None:
        known = ", ".join(f"`{name}`" for name in PARTS_TO_CHAT)
        raise InvalidInput(
            f"`{path}.type` is not supported here: `{cut(part.type)}`. Known types: {known}."
        )
    return write(part, path)


def _image(part: ContentPart, path: str) -> dict[str, Any]:
    if part.image_url is None:
        raise InvalidInput(
            f"`{path}.image_url` is missing: the provider of this model cannot read images by "
            "`file_id`. Send the image's URL, or a `data:` URL."
        )
    image = {"url": part.image_url}
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _file(part: ContentPart, path: str) -> dict[str, Any]:
    sources = {
        "file_data": part.file_data if part.file_data is not None else part.file_url,
        "file_id": part.file_id,
        "filename": part.filename,
    }
    file = {name: value for name, value in sources.items() if value is not None}
    if file.keys() <= {"filename"}:
        raise InvalidInput(f"`{path}` needs `file_data`, `file_url` or `file_id`.")
    return {"type": "file", "file": file}


def _audio(part: ContentPart, path: str) -> dict[str, Any]:
    if bytes(part.input_audio) == b"null":
        raise InvalidInput(f"`{path}.input_audio` is missing.")
    return {"type": "input_audio", "input_audio": msgspec.Raw(bytes(part.input_audio))}


_WRITERS = {"input_image": _image, "input_file": _file, "input_audio": _audio}
