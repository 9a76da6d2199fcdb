"""Writes the choices of ordinary chunks, of which each differs from the one before in one text."""

import re

import msgspec

ROLE = b'"role":"assistant",'
_STRING = rb'\s*:\s*"((?:[^"\\]++|\\.)*+)"'
_TEXT = re.compile(rb'"(content|arguments)"' + _STRING, re.DOTALL)
_REASONING = re.compile(rb'"(reasoning|reasoning_content)"' + _STRING, re.DOTALL)
_OTHER_NAME = {b"reasoning": b"reasoning_content", b"reasoning_content": b"reasoning"}
_DETAILS = b'","reasoning_details":[{"type":"reasoning.text","text":"'
_DETAILS_END = b'","index":0,"format":"unknown"}]'


class Frame(msgspec.Struct):
    """The JSON around the text of a chunk's only choice, as it was sent and as it is written.

    Reasoning is written under each name that clients know, other texts once.
    """

    before: bytes
    after: bytes
    written: tuple[bytes, ...]

    @classmethod
    def of_text(cls, raw: bytes) -> "Frame | None":
        """The frame of choices that need no change, apart from a role."""
        if (match := _TEXT.search(raw)) is None:
            return None
        before, after = raw[: match.start(2)], raw[match.end(2) :]
        return cls(before, after, (before.replace(ROLE, b""), after.replace(ROLE, b"")))

    @classmethod
    def of_reasoning(cls, raw: bytes) -> "Frame | None":
        """The same if the text is reasoning under one name."""
        if (match := _REASONING.search(raw)) is None:
            return None
        before, after = raw[: match.start(2)], raw[match.end(2) :]
        start, end = before.replace(ROLE, b""), after.replace(ROLE, b"")[1:]
        other = b'","%b":"' % _OTHER_NAME[match[1]]
        return cls(before, after, (start, other, _DETAILS, _DETAILS_END + end))

    def write(self, raw: bytes) -> bytes | None:
        """The choices for the client; None if they differ in more than a text, or it is empty."""
        before, after = self.before, self.after
        if not (raw.startswith(before) and raw.endswith(after)):
            return None
        text = raw[len(before) : -len(after)]
        if not text or len(text) + len(before) + len(after) != len(raw) or not _is_text(text):
            return None
        return text.join(self.written)


def _is_text(text: bytes) -> bool:
    """Whether these bytes of valid JSON are within one string: no quote ends it."""
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    return b'"' not in text and not text.endswith(b"\\")
