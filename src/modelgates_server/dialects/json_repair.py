"""Repairs JSON of providers that strict parsers reject, as far as its meaning is clear.

Python writes `NaN` and `Infinity`, and half of a UTF-16 surrogate pair as an escape. Models write
half of a character, which servers pass on as bytes that are not UTF-8, or control characters.
"""

import re
from collections.abc import Callable

import msgspec

from modelgates_server.core.metering.repairs import Repair

DEPTH_MAX = 100
"""The most lists and objects around a value; Rust's serde_json reads 128."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_STRING = rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
"""Matches a string without an end too. Otherwise, each `\\"` in it would be tried as a start."""

_SOUND = rb"(?:[^\"\\\x00-\x1f]++|\\[\"\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|%b%b)" % (
    _HIGH,
    _LOW,
)
_NUMBERS = re.compile(_STRING + rb"|-?\bInfinity\b|\bNaN\b", re.DOTALL)
_STRINGS = re.compile(rb'(?P<sound>(?:[^"]++|"%b*+")++)|%b' % (_SOUND, _STRING), re.DOTALL)
_BRACKETS = re.compile(_STRING + rb"|[\[{]++|[\]}]++", re.DOTALL)
_ODD = re.compile(
    rb"(?P<sound>(?:%b|\")++)|(?P<half>%b|%b)|(?P<slash>\\)|(?P<control>[\x00-\x1f])"
    % (_SOUND, _HIGH, _LOW)
)
_READABLE = msgspec.json.Decoder(msgspec.Raw)


def repair_json(payload: bytes, number: bytes = b"null") -> tuple[bytes, set[Repair]]:
    """JSON that msgspec can read, and what was repaired; unchanged if that is impossible.

    Replaces numbers that JSON does not have with `number`, values that are nested too deeply with
    null, and text that is not valid Unicode with U+FFFD. Takes time in proportion to the bytes.
    """
    repairs = set()
    text = payload.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace").encode()
    text = _STRINGS.sub(lambda match: _changed(match, _valid_character), text)
    if text != payload:
        repairs.add(Repair.TEXT_REPLACED)
    if b"NaN" in text or b"Infinity" in text:
        numbers = _NUMBERS.sub(_except_strings(number), text)
        if numbers != text:
            text = numbers
            repairs.add(Repair.VALUE_REPLACED)
    try:
        _READABLE.decode(text)
    except RecursionError:
        text = flattened(text)
        repairs.add(Repair.VALUE_REPLACED)
    except msgspec.DecodeError:
        return payload, set()
    return text, repairs


def with_halves_as(mark: bytes, payload: bytes) -> bytes:
    """The same JSON with `mark` and four hex digits for each half of a surrogate pair."""

    def marked(match: re.Match[bytes]) -> bytes:
        return mark + match[0][2:] if match.lastgroup == "half" else match[0]

    return _STRINGS.sub(lambda match: _changed(match, marked), payload)


def flattened(text: bytes) -> bytes:
    """The same JSON without the values that are nested too deeply: null is in their place."""
    parts: list[bytes] = []
    depth = begin = 0
    for match in _BRACKETS.finditer(text):
        brackets = match[0]
        before = depth
        if brackets.startswith((b"{", b"[")):
            depth += len(brackets)
            if before <= DEPTH_MAX < depth:
                parts += (text[begin : match.start() + DEPTH_MAX - before], b"null")
        elif brackets.startswith((b"}", b"]")):
            depth -= len(brackets)
            if depth <= DEPTH_MAX < before:
                begin = match.start() + before - DEPTH_MAX
    return b"".join((*parts, text[begin:])) if depth == 0 else text


def _except_strings(number: bytes) -> Callable[[re.Match[bytes]], bytes]:
    return lambda match: match[0] if match[0].startswith(b'"') else number


def _changed(match: re.Match[bytes], change: Callable[[re.Match[bytes]], bytes]) -> bytes:
    """A string of which `change` replaces the odd characters, or JSON that has none."""
    return match[0] if match.lastgroup == "sound" else _ODD.sub(change, match[0])


def _valid_character(match: re.Match[bytes]) -> bytes:
    kind = match.lastgroup
    if kind == "half":
        return b"\\ufffd"
    if kind == "slash":
        return b"\\\\"
    if kind == "control":
        return b"\\u%04x" % match[0][0]
    return match[0]
