"""Translates blocks of content into content parts of chat completions."""

from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.anthropic.chat_target import ChatTarget
from modelgates_server.dialects.anthropic.omissions import Omissions
from modelgates_server.dialects.anthropic.rules import BLOCKS_TO_CHAT, Action, by_member
from modelgates_server.dialects.json_object import JsonObject, says_nothing

_RULES = by_member(BLOCKS_TO_CHAT)
_NULL = msgspec.Raw(b"null")
_HEADED = ("source", "title", "context")

_members = msgspec.json.Decoder(JsonObject)
_objects = msgspec.json.Decoder(list[JsonObject])
_text = msgspec.json.Decoder(str)


def texts_of(block: JsonObject, name: str = "text") -> str:
    """A text of a block; empty if there is none."""
    raw = bytes(block.get(name, _NULL))
    return _text.decode(raw) if raw.startswith(b'"') else ""


class Parts:
    """The content parts of one message, translated block by block."""

    def __init__(self, target: ChatTarget, omissions: Omissions) -> None:
        self.target = target
        self.omissions = omissions
        self.parts: list[dict[str, Any]] = []

    def text(self, text: str, cached: msgspec.Raw = _NULL) -> None:
        """Add a text, unless it is empty."""
        if text:
            part: dict[str, Any] = {"type": "text", "text": text}
            if self.target.keeps_caches and not says_nothing(bytes(cached)):
                part["cache_control"] = cached
            self.parts.append(part)

    def extend(self, other: "Parts") -> None:
        """Add the parts of another message."""
        self.parts += other.parts

    @property
    def content(self) -> str | list[dict[str, Any]] | None:
        """The content of a message: a text if it is only one, and None if there is nothing."""
        if len(self.parts) == 1 and self.parts[0].keys() == {"type", "text"}:
            text: str = self.parts[0]["text"]
            return text
        return self.parts or None

    def joined(self, separator: str) -> str | list[dict[str, Any]]:
        """The content of a message that should be one text. Marks for a cache keep it in parts."""
        if all(part.keys() == {"type", "text"} for part in self.parts):
            return separator.join(part["text"] for part in self.parts)
        return self.parts

    def split(self) -> tuple[str, list[dict[str, Any]]]:
        """All texts, joined, and the other parts."""
        texts = [part["text"] for part in self.parts if part["type"] == "text"]
        return "\n".join(texts), [part for part in self.parts if part["type"] != "text"]

    def add(self, kind: str, block: JsonObject, path: str) -> None:
        """Add a block; raises `InvalidInput` if it has no counterpart."""
        rule = _RULES.get(kind)
        if rule is None or rule.action is Action.REJECTED:
            note = "it has no counterpart in chat completions. Remove the block."
            raise InvalidInput(f"`{path}` is of type `{kind:.80}`: {rule.note if rule else note}")
        cached = block.get("cache_control", _NULL)
        if not says_nothing(bytes(cached)) and not self.target.keeps_caches:
            self.omissions.add("cache_control")
        match kind:
            case "text":
                self.text(texts_of(block), cached)
            case "image":
                self._image(block, path)
            case "document":
                self._document(block, path)
            case "search_result":
                self._refuse_citations(block, path)
                self._headed(block, "\n".join(map(texts_of, _listed(block, "content"))))
            case "tool_reference":
                self.text(f"Loaded: {texts_of(block, 'tool_name')}")
            case _:
                raise InvalidInput(f"`{path}` is of type `{kind}`, which must not be there.")

    def _image(self, block: JsonObject, path: str) -> None:
        url = self._url(_members.decode(block["source"]), path)
        self.parts.append({"type": "image_url", "image_url": {"url": url}})
        if not says_nothing(bytes(block.get("transformations", _NULL))):
            self.omissions.add("image.transformations")

    def _url(self, source: JsonObject, path: str) -> str:
        kind = texts_of(source, "type")
        if kind == "base64":
            return f"data:{texts_of(source, 'media_type')};base64,{texts_of(source, 'data')}"
        if kind == "url":
            return texts_of(source, "url")
        raise InvalidInput(
            f"`{path}.source` is of type `{kind:.80}`, which this model's provider cannot read. "
            "Send the data in base64."
        )

    def _document(self, block: JsonObject, path: str) -> None:
        self._refuse_citations(block, path)
        source = _members.decode(block["source"])
        kind = texts_of(source, "type")
        if kind == "text":
            return self._headed(block, texts_of(source, "data"))
        if kind == "content":
            self._headed(block, "")
            if bytes(source["content"]).startswith(b'"'):
                return self.text(texts_of(source, "content"))
            for number, each in enumerate(_listed(source, "content")):
                self.add(texts_of(each, "type"), each, f"{path}.source.content[{number}]")
            return None
        if kind == "url" and not self.target.links_files:
            raise InvalidInput(
                f"`{path}.source` is a URL, which this model's provider does not open. Send the "
                "data in base64."
            )
        file = {
            "filename": texts_of(block, "title") or "document.pdf",
            "file_data": self._url(source, path),
        }
        if context := texts_of(block, "context"):
            self.text(context)
        self.parts.append({"type": "file", "file": file})
        return None

    def _headed(self, block: JsonObject, text: str) -> None:
        """Add a text below its source, title and context."""
        heads = [texts_of(block, name) for name in _HEADED]
        self.text("\n".join(each for each in (*heads, text) if each))

    def _refuse_citations(self, block: JsonObject, path: str) -> None:
        raw = bytes(block.get("citations", _NULL))
        is_on = raw.startswith(b"{") and bytes(_members.decode(raw).get("enabled", b"true"))
        if is_on and is_on != b"false":
            raise InvalidInput(
                f"`{path}.citations` has no counterpart in the API of this model's provider. "
                "Leave it out, or choose another model."
            )


def _listed(block: JsonObject, name: str) -> list[JsonObject]:
    raw = bytes(block.get(name, _NULL))
    return _objects.decode(raw) if raw.startswith(b"[") else []
