"""Measures a model's output: text in UTF-8 bytes, images and audio by the piece.

Text counts under any name that a provider uses for it; the same text under several names counts
once. The bytes of images and audio say nothing about tokens, even as data URLs within a text.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from modelgates_server.core.metering.meter import Output
from modelgates_server.dialects.json_object import JsonObject

_EMPTY = (b"null", b'""', b"[]", b"{}")

_REASONING = frozenset(
    {
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "reasoning_text",
        "reasoning_text_blocks",
        "thinking",
        "thinking_blocks",
    }
)
"""Names for the same text: if a delta has more than one of them, the longest counts."""

_CALLS = ("tool_calls", "function_call")
_SILENT = frozenset(
    {
        *("role", "index", "id", "object", "type", "name", "channel", "status", "phase", "context"),
        "logprobs",
        *("annotations", "citations", "search_results", "reasoning_id", "extra_content"),
        "provider_specific_fields",
    }
)
"""Fields of a delta that are not the model's output."""

_LABELS = frozenset({"id", "type", "format", "index", "mime_type", "media_type", "extra_content"})
_SIGNATURE = "signature"
_SILENT_ENDS = (_SIGNATURE, "_id", "_name")
_TEXTS = frozenset({"content", "refusal", "text"})
_LABEL_MAX_BYTES = 256
_PIECES_MAX = 4096
"""No real response has more pieces; each costs time and memory."""

_PICTURES = frozenset(
    {"image_url", "image", "images", "b64_json", "inline_data", "video", "video_url", "file_data"}
)
_SOUNDS = frozenset({"audio", "input_audio", "output_audio", "audio_url"})
_MEDIA_KINDS = ("image", "video", "file")
_PAYLOADS = frozenset({"data", "url"})

_ESCAPES = re.compile(rb"\\u([0-9a-fA-F]{4})|\\.")
_DATA_URL = re.compile(r"data:(image|audio|video)/[\w.+-]{1,64}(?:;[\w=.+-]{1,64}){0,4};base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]*")


class OutputMeter(Output):
    """Adds up the output of one response.

    `makes_media`: the model generates images or audio. Only then does a data URL within a text
    count as a piece and not as text, because any model can be asked to write one. `callers` are
    the choices in which the model has called tools.
    """

    makes_media: bool = False
    callers: set[int] = msgspec.field(default_factory=set)
    _calls: set[tuple[int, Any]] = msgspec.field(default_factory=set)
    _labels: dict[tuple[int, str], bytes] = msgspec.field(default_factory=dict)
    _in_data_url: set[int] = msgspec.field(default_factory=set)

    def add_text(self, raw: bytes, choice: int, *, is_encrypted: bool = False) -> None:
        """Measure a JSON string, a bare value, or all strings within a list or an object."""
        if raw.startswith(b'"'):
            if self.makes_media and (b";base64," in raw or choice in self._in_data_url):
                self._add_mixed(msgspec.json.decode(raw), choice)
            else:
                self.text_bytes += _utf8_bytes(raw)
        elif raw.startswith((b"[", b"{")) and raw not in _EMPTY:
            self._walk(msgspec.json.decode(raw), "", choice, is_encrypted=is_encrypted)
        elif is_bare(raw):  # clients get it as a text
            self.text_bytes += len(raw)

    def add_part(self, members: JsonObject, choice: int) -> None:
        """Measure a delta or a message."""
        if not _REASONING.isdisjoint(members):
            self._add_reasoning(members, choice)
        for name, raw in members.items():
            if name in _TEXTS:
                self.add_text(bytes(raw), choice)
                continue
            if bytes(raw) in _EMPTY or name in _SILENT or name in _REASONING:
                continue
            if name in _CALLS:
                self._add_calls(msgspec.json.decode(raw), choice)
            elif name in _SOUNDS or name in _PICTURES:
                self._walk({name: msgspec.json.decode(raw)}, "", choice)
            elif not name.endswith(_SILENT_ENDS) and self._is_new(name, bytes(raw), choice):
                self.add_text(bytes(raw), choice)

    def _add_reasoning(self, members: JsonObject, choice: int) -> None:
        before, longest = self.text_bytes, 0
        for name in _REASONING.intersection(members):
            self.add_text(bytes(members[name]), choice, is_encrypted=True)
            longest = max(longest, self.text_bytes - before)
            self.text_bytes = before
        self.text_bytes += longest

    def _is_new(self, name: str, raw: bytes, choice: int) -> bool:
        """Whether a field is more than a label that each delta repeats."""
        key = (choice, name)
        if self._labels.get(key) == raw:
            return False
        if len(raw) <= _LABEL_MAX_BYTES and len(self._labels) < _PIECES_MAX:
            self._labels[key] = raw
        return True

    def _add_calls(self, calls: Any, choice: int) -> None:
        """Arguments count each time; a name counts once, because some servers repeat it."""
        for position, call in enumerate(calls if isinstance(calls, list) else [calls]):
            index = call.get("index", position) if isinstance(call, dict) else position
            key = (choice, index if isinstance(index, int | str) else position)
            is_new = key not in self._calls and len(self._calls) < _PIECES_MAX
            if is_new:
                self._calls.add(key)
            before = self.text_bytes
            for text in _texts(_with_text(call), is_new=is_new):
                self.text_bytes += len(text.encode())
            if self.text_bytes > before:
                self.callers.add(choice)
            if is_new and self.text_bytes == before:
                self.text_bytes += 1  # even an empty call is output

    def _walk(
        self, value: Any, name: str, choice: int, *, kind: str = "", is_encrypted: bool = False
    ) -> None:
        """Measure all texts within a value, and count its images and audio.

        `kind` is the type of the media that contain the value.
        """
        if isinstance(value, str):
            if name not in _LABELS and not name.endswith(_SIGNATURE):
                self._add_mixed(value, choice)
        elif isinstance(value, list):
            for inner in value:
                self._walk(inner, name, choice, kind=kind, is_encrypted=is_encrypted)
        elif isinstance(value, dict):
            self._walk_members(value, choice, kind, is_encrypted=is_encrypted)

    def _walk_members(
        self, members: dict[str, Any], choice: int, kind: str, *, is_encrypted: bool
    ) -> None:
        kind = "" if is_encrypted else f"{kind} {members.get('type', '')}"
        speaks = "audio" in kind
        is_media = speaks or any(word in kind for word in _MEDIA_KINDS)
        pictures = members.keys() & _PICTURES
        payloads = members.keys() & _PAYLOADS if is_media else set()
        if (speaks and payloads) or members.keys() & _SOUNDS:
            self.sounds.add(choice)
        elif pictures or payloads:
            self._add_pictures([members[name] for name in pictures] or [members], choice)
        for name, inner in members.items():
            if name in pictures or name in payloads:
                self.media_bytes += sum(len(text) for text in _texts(inner, is_new=True))
            elif name in _SOUNDS:
                self._walk_sound(inner, choice)
            else:
                inherited = kind if is_media else ""
                self._walk(inner, name, choice, kind=inherited, is_encrypted=is_encrypted)

    def _walk_sound(self, sound: Any, choice: int) -> None:
        """Measure audio: its bytes are media, its transcript is text."""
        for name, inner in sound.items() if isinstance(sound, dict) else (("data", sound),):
            if name in _PAYLOADS and isinstance(inner, str):
                self.media_bytes += len(inner)
            else:
                self._walk(inner, name, choice)

    def _add_pictures(self, values: list[Any], choice: int) -> None:
        for value in values:
            for position, piece in enumerate(value if isinstance(value, list) else [value]):
                index = piece.get("index") if isinstance(piece, dict) else None
                if not isinstance(index, int):
                    index = f"{len(self.pictures)}.{position}"
                if len(self.pictures) < _PIECES_MAX:
                    self.pictures.add((choice, index))

    def _add_mixed(self, text: str, choice: int) -> None:
        """Measure a text that may contain data URLs, which may continue in the next text."""
        start = 0
        if choice in self._in_data_url and not text.startswith("data:"):
            start = self._skip_base64(text, 0, choice)
        if self.makes_media:
            for url in _DATA_URL.finditer(text, start):
                if url.start() < start:
                    continue
                self.text_bytes += len(text[start : url.start()].encode())
                if url[1] == "audio":
                    self.sounds.add(choice)
                else:
                    self._add_pictures([url[0]], choice)
                start = self._skip_base64(text, url.end(), choice)
        self.text_bytes += len(text[start:].encode())

    def _skip_base64(self, text: str, start: int, choice: int) -> int:
        """The index where a piece's bytes end; the next text may continue them."""
        match = _BASE64.match(text, start)
        assert match is not None, "the pattern also matches the empty string"
        self.media_bytes += match.end() - start
        if match.end() == len(text):
            self._in_data_url.add(choice)
        else:
            self._in_data_url.discard(choice)
        return match.end()


def is_bare(raw: bytes) -> bool:
    """Whether JSON is a number or a boolean, which clients get as a text where a text belongs."""
    return not raw.startswith((b'"', b"[", b"{", b"null"))


def _with_text(call: Any) -> Any:
    """The call with its arguments as a text, as clients get them, if they are anything else."""
    if not isinstance(call, dict):
        return call
    if isinstance(call.get("function"), dict):
        return {**call, "function": _with_text(call["function"])}
    arguments = call.get("arguments")
    if arguments is None or isinstance(arguments, str):
        return call
    return {**call, "arguments": msgspec.json.encode(arguments).decode()}


def _texts(value: Any, *, is_new: bool) -> Iterator[str]:
    """All texts within a value, without labels; names only if the call is new."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, is_new=is_new)
    elif isinstance(value, dict):
        for name, inner in value.items():
            is_label = name in _LABELS or name.endswith(_SIGNATURE)
            if not is_label and (is_new or name != "name"):
                yield from _texts(inner, is_new=is_new)


def _utf8_bytes(raw: bytes) -> int:
    """The UTF-8 size of a JSON string, without decoding: it may contain a lone surrogate."""
    size = len(raw) - 2
    if b"\\" in raw:
        size -= sum(len(match[0]) - _escaped_bytes(match[1]) for match in _ESCAPES.finditer(raw))
    return size


def _escaped_bytes(digits: bytes | None) -> int:
    """The UTF-8 size of an escaped character: a code point in hex digits, or one letter."""
    point = 0 if digits is None else int(digits, 16)
    if 0xD800 <= point <= 0xDFFF:  # noqa: PLR2004 - one surrogate of a pair that takes four bytes
        return 2
    return len(chr(point).encode())
