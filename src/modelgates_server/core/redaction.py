r"""Removes the secrets of a provider from what it sends: its key, and other credentials.

A server may quote a request's headers in an error, in any encoding: plain, escaped (`\u0073k-…`,
`%73k-…`), in base64 or hexadecimal, masked (`sk-abc***wxyz`) or in part. Wherever it does, all that
belongs to the secret is replaced.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

REDACTED = "[redacted]"

SECRET_MIN_CHARS = 8
"""Shorter values, such as `none` and `ollama`, are the keys of servers that need none."""

_PIECE = 8
"""A part of a secret that is found at its beginning; elsewhere, one of twice the length is."""

_SOUND_PIECE = 16
"""The same in a response without an error, whose text may well be about keys (`sk-ant-api03-…`)."""

_BASE64_CHARS_PER_3_BYTES = 4

_ESCAPE = re.compile(
    rb"\\+u(?:0000)?00([2-7][0-9a-f])|\\+u\{0*([2-7][0-9a-f])\}|\\+x([2-7][0-9a-f])"
    rb"|%([2-7][0-9a-f])|&#x0*([2-7][0-9a-f]);|&#0*([0-9]{2,3});|\\+(/)|&(amp;)"
    rb"|(\\+u202[26]|\xe2\x80[\xa2\xa6])"
    rb"|(\0+|(?<=[0-9a-f]{2})[:\x20](?=[0-9a-f]{2}(?:[^0-9a-z]|$)))",
    re.IGNORECASE,
)
_ESCAPE_SIGNS = (b"\\", b"%", b"&")
_DECIMAL, _SLASH, _AMPERSAND, _DOTS, _NOTHING = 6, 7, 8, 9, 10
"""Groups of the pattern. Dots are an ellipsis or a bullet, which count as a mask. Without meaning
are zero bytes, which are every second one of a text in UTF-16, and what separates bytes in
hexadecimal (`73:6b`)."""

_FIXED = {_SLASH: b"/", _AMPERSAND: b"&", _DOTS: b"**", _NOTHING: b""}

_LAYERS_MAX = 8
"""How often escapes of escapes (`\\u0025\\u0037\\u0033`, which is `%73`) are followed."""

_ESCAPED_WORD = re.compile(
    rb"\\u00(?:2d|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9a])", re.IGNORECASE
)
"""Escapes of letters, digits, `-` and `_`. JSON needs none of them."""

_MASK = rb"[*.x#]{2,}"
_MASKED_REST = re.compile(_MASK + rb"[0-9a-z_-]{0,8}")
_MASK_CHARS = b"*.x#"
_MASK_MAX_CHARS = 256
_SHOWN_END = 4
_TEXT_MAX_CHARS = 16 * 1024
"""No text of an error is shown or stored beyond a small part of this."""


class Redactor:
    """Knows the secrets of one provider. Without secrets, it changes nothing."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({each.encode() for each in secrets if len(each) >= SECRET_MIN_CHARS})
        long = [secret for secret in known if len(secret) >= _SOUND_PIECE]
        self._plain_signs = tuple(secret[:_SOUND_PIECE] for secret in long)
        signs = sorted({form[:_PIECE] for each in long for form in _forms(each)})
        self._all_signs = (*_ESCAPE_SIGNS, *signs) if long else ()
        forms = {form for secret in known for form in _forms(secret)}
        self._pieces = tuple(sorted({piece for form in forms for piece in _pieces(form)}))
        self._masked = tuple(
            (re.compile(re.escape(lower[:3]) + rb"[0-9a-z_-]{0,16}" + _MASKED_REST.pattern), lower)
            for lower in (secret.lower() for secret in known)
        )

    def __repr__(self) -> str:
        return "Redactor(…)"

    def clean(self, payload: bytes) -> bytes:
        """Redact JSON that may be sound; without a sign of a secret, that costs next to nothing.

        Signs are the beginning of the secret, and escapes that JSON does not need.
        """
        for sign in self._plain_signs:
            if sign in payload:
                return self._redacted(payload, is_error=False)
        if self._plain_signs and b"\\u00" in payload and _ESCAPED_WORD.search(payload):
            return self._redacted(payload, is_error=False)
        return payload

    def clean_words(self, words: bytes) -> bytes:
        """Redact the short texts of a sound response, as JSON; finds base64 and escapes too."""
        for sign in self._all_signs:
            if sign in words:
                return self._redacted(words, is_error=False)
        return words

    def data(self, data: bytes) -> bytes:
        """Redact an error, whatever the encoding of the secret in it."""
        return self._redacted(data, is_error=True) if self._pieces else data

    def _redacted(self, data: bytes, *, is_error: bool) -> bytes:
        plain, starts = _unescaped(data)
        pieces, at = [], 0
        for start, end in _joined(self._spans(plain.lower(), is_error=is_error)):
            pieces += [data[at : starts[start]], REDACTED.encode()]
            at = starts[end]
        return b"".join([*pieces, data[at:]]) if pieces else data

    def text(self, text: str) -> str:
        """Redact a text."""
        data = text.encode("utf-8", "surrogatepass")
        cleaned = self.data(data)
        return text if cleaned is data else cleaned.decode("utf-8", "surrogatepass")

    def value(self, value: Any) -> Any:
        """Redact the texts of an error that was decoded from JSON; cuts very long ones."""
        if not self._pieces:
            return value
        if isinstance(value, str):
            return self.text(value[:_TEXT_MAX_CHARS])
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, dict):
            return {self.value(name): self.value(each) for name, each in value.items()}
        return value

    def _spans(self, lower: bytes, *, is_error: bool) -> Iterator[tuple[int, int]]:
        """The places of secrets in lower-case text; in errors, of masked ones too."""
        least = _PIECE if is_error else _SOUND_PIECE
        for form, offset, piece in self._pieces:
            at = lower.find(piece)
            while at >= 0:
                start, end = _extended(lower, form, at, offset)
                if end - start >= least:
                    rest = _MASKED_REST.match(lower, end) if is_error else None
                    yield start, rest.end() if rest else end
                at = lower.find(piece, max(end, at + 1))
        for masked, secret in self._masked if is_error else ():
            for match in masked.finditer(lower):
                yield match.span()
            yield from _masked_ends(lower, secret[-_SHOWN_END:])


NO_SECRETS = Redactor()


def _forms(secret: bytes) -> Iterator[bytes]:
    """A secret as it is, as it is read where it has the form of escapes (`%41`), and encoded."""
    yield secret
    yield _unescaped(secret)[0]
    yield secret.hex().encode()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret)
        first = -(-before * _BASE64_CHARS_PER_3_BYTES // 3)
        open_end = (before + len(secret)) % 3
        last = len(encoded) - (0, 3, 2)[open_end]
        yield encoded[first:last]
        yield encoded[first:last].translate(bytes.maketrans(b"+/", b"-_"))


def _pieces(form: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """A form, and pieces of it that are searched for, with their offsets. All in lower case."""
    lower = form.lower()
    for offset in range(0, len(lower) - _PIECE + 1, _PIECE):
        yield lower, offset, lower[offset : offset + _PIECE]


def _masked_ends(text: bytes, end: bytes) -> Iterator[tuple[int, int]]:
    """The places where only the end of a secret is shown, behind a mask."""
    at = text.find(end)
    while at >= 0:
        before = text[max(0, at - _MASK_MAX_CHARS) : at]
        start = at - len(before) + len(before.rstrip(_MASK_CHARS))
        if at - start > 1:
            yield start, at + len(end)
        at = text.find(end, at + 1)


def _extended(text: bytes, form: bytes, at: int, offset: int) -> tuple[int, int]:
    """The longest part of a form around the place where one of its pieces was found."""
    start, first = at, offset
    while start > 0 and first > 0 and text[start - 1] == form[first - 1]:
        start, first = start - 1, first - 1
    end, last = at, offset
    while end < len(text) and last < len(form) and text[end] == form[last]:
        end, last = end + 1, last + 1
    return start, end


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans in their order; those that overlap or touch as one."""
    start = end = -1
    for next_start, next_end in sorted(spans):
        if next_start > end:
            if end >= 0:
                yield start, end
            start = next_start
        end = max(end, next_end)
    if end >= 0:
        yield start, end


def _unescaped(data: bytes) -> tuple[bytes, Sequence[int]]:
    """The text without escapes, and the place in `data` of each of its bytes and of its end."""
    starts: Sequence[int] = range(len(data) + 1)
    for _ in range(_LAYERS_MAX):
        plain, inner = _without_a_layer(data)
        if inner is None:
            break
        data, starts = plain, [starts[each] for each in inner]
    return data, starts


def _without_a_layer(data: bytes) -> tuple[bytes, list[int] | None]:
    """The same for escapes that stand in the text itself; without places if there are none."""
    plain, starts, at = bytearray(), list[int](), 0
    for match in _ESCAPE.finditer(data):
        text = _meaning(match)
        plain += data[at : match.start()] + text
        starts.extend(range(at, match.start()))
        starts.extend([match.start()] * len(text))
        at = match.end()
    if not at:
        return data, None
    plain += data[at:]
    starts.extend(range(at, len(data) + 1))
    return bytes(plain), starts


def _meaning(match: re.Match[bytes]) -> bytes:
    group = match.lastindex
    assert group is not None, "each alternative has a group"
    if group in _FIXED:
        return _FIXED[group]
    return bytes([int(match[group], 10 if group == _DECIMAL else 16) & 0x7F])
