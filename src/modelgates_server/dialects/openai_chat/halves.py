r"""Joins characters of which a provider sent one half at the end of a chunk, the other in the next.

JSON writes a character such as an emoji as two escapes, `\\ud83d\\ude00`. Servers that cut their
text between tokens may cut it between these two. No parser accepts one half as text.
"""

import re

import msgspec

from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.json_repair import with_halves_as

_PATHS_MAX = 1000
_DEPTH_MAX = 8

_MARK = rb"\u0000half-"  # stands for a half while the JSON around it is read
_MARKED = re.compile(re.escape(_MARK) + rb"[0-9a-fA-F]{4}")
_HIGH_AT_END = re.compile(re.escape(_MARK) + rb'([dD][89abAB][0-9a-fA-F]{2})"$')
_LOW_AT_START = re.compile(rb'^"' + re.escape(_MARK) + rb"([dD][c-fC-F][0-9a-fA-F]{2})")
_REPLACED = rb"\ufffd"

_members = msgspec.json.Decoder(JsonObject)
_items = msgspec.json.Decoder(list[msgspec.Raw])

_Path = tuple[object, ...]


class HalfJoiner:
    """Holds back the first halves of one stream's characters until the second ones arrive.

    A half whose other half does not come becomes U+FFFD, or is dropped if no more text follows.
    """

    def __init__(self) -> None:
        self._held: dict[_Path, bytes] = {}

    @property
    def is_holding(self) -> bool:
        """Whether the next chunk must be joined, even if it is valid."""
        return bool(self._held)

    def join(self, payload: bytes) -> bytes:
        """The chunk with whole characters only; unchanged if it is not JSON for other reasons."""
        try:
            members = _members.decode(with_halves_as(_MARK, payload))
            if (choices := members.get("choices")) is not None:
                members["choices"] = self._walk(choices, ())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return payload
        return _MARKED.sub(re.escape(_REPLACED), msgspec.json.encode(members))

    def _walk(self, value: msgspec.Raw, path: _Path) -> msgspec.Raw:
        """The value with the texts in it joined to those that came before under the same path."""
        raw = bytes(value)
        if raw.startswith(b'"'):
            return msgspec.Raw(self._joined(raw, path))
        if len(path) > _DEPTH_MAX:
            return value
        if raw.startswith(b"["):
            items = enumerate(_items.decode(raw))
            return _raw([self._walk(item, (*path, _index(item, place))) for place, item in items])
        if raw.startswith(b"{"):
            members = _members.decode(raw).items()
            return _raw({name: self._walk(inner, (*path, name)) for name, inner in members})
        return value

    def _joined(self, raw: bytes, path: _Path) -> bytes:
        if raw != b'""' and (half := self._held.pop(path, None)):
            low = _LOW_AT_START.match(raw)
            begin = b"\\u%b\\u%b" % (half, low[1]) if low else _REPLACED
            raw = b'"' + begin + raw[low.end() if low else 1 :]
        if (high := _HIGH_AT_END.search(raw)) and len(self._held) < _PATHS_MAX:
            self._held[path] = high[1]
            raw = raw[: high.start()] + b'"'
        return raw


def _index(item: msgspec.Raw, place: int) -> object:
    """What identifies an item in all chunks: its `index`, otherwise its place."""
    raw = bytes(item)
    index = _members.decode(raw).get("index") if raw.startswith(b"{") else None
    return place if index is None else bytes(index)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
