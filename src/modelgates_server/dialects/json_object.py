"""Reads a request's JSON objects and rejects duplicate names and alternative spellings.

Servers disagree about both. Of two fields with one name, Python and JavaScript read the last one,
others the first. Go's encoding/json ignores case and applies Unicode's simple folding
(`Max_Tokens`, U+017F for s, U+212A for k); protobuf's JSON also accepts `maxTokens`. A hold would
not cover a parameter that the provider reads and the gateway does not.

Only objects whose grammar is known here are checked. The contents of schemas, `metadata` and
`logit_bias` belong to the client and are not checked.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.expected import allowed, shown, steps_of

JsonObject = dict[str, msgspec.Raw]

NAMES_MAX = 1000
"""The most names that an object, or all objects of a list, may have: each new one is checked."""

_SPELLING_MAX_CHARS = 128
"""Longer names need no folding: no spelling of a known name is that long."""

_LARGE_BYTES = 1000
"""From this size on, an object has few names for its size."""

STRINGS_MAX = 250_000
GROUPS_MAX = 50_000
"""The most strings, and the most objects and lists together, that a body may have.

Each value costs time and memory beyond its bytes: 20 MiB of `{}` are seven million objects, which
delay all other requests for seconds. The longest conversations have a few thousand.
"""

_MANY_BYTES = 1024 * 1024
"""A body of at most this size cannot have enough values to take long."""

_QUOTED_CHARS = 200
_HIGH_HALF = re.compile(rb"(\\u[dD][89abAB][0-9a-fA-F]{2})(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_LOW_HALF = re.compile(rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})(\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_FLAT_LIST = re.compile(rb"\[,*\]")
_NUMERIC = b"0123456789+-.eE \t\r\n"
_OF_HALVES = ("end of hex escape", "surrogate pair", "Input data was truncated")
"""How msgspec reports a lone surrogate; at the end of a string, as truncated input."""

_ABOUT_FIELDS = {
    "Object missing required field": "`{}` is missing.",
    "Object contains unknown field": "Unknown field `{}`.",
}

_NOTHING = (b"null", b"false", b"[]", b"{}", b'""')

_COMBINING_DOT = "\u0307"  # remains when a dotted capital I is lowercased


class _Occurrence:
    """One occurrence of a name. Two occurrences of the same text are two keys of a dict."""

    __slots__ = ("text",)

    def __init__(self, _type: type, text: str) -> None:
        self.text = text


_objects = msgspec.json.Decoder(list[JsonObject])
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_Whole = dict[_Occurrence, msgspec.Raw]

_whole_object = msgspec.json.Decoder(_Whole, dec_hook=_Occurrence)


class Grammar:
    """The names that matter in one kind of object.

    `aliases` maps names that other servers use to the known ones. Names that resemble no known
    name are accepted: providers invent new ones.
    """

    def __init__(self, names: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self.names = frozenset(names)
        self._by_spelling = {spelling(name): name for name in self.names}
        self._by_spelling |= {spelling(alias): name for alias, name in (aliases or {}).items()}

    def meant(self, name: str) -> str | None:
        """The known name that some server would read this one as; None if there is none."""
        if name in self.names or len(name) > _SPELLING_MAX_CHARS:
            return None
        return self._by_spelling.get(spelling(name))


@lru_cache(maxsize=4096)
def spelling(name: str) -> str:
    """The common form of all spellings of a name: without case, look-alikes and separators."""
    if not name.isascii():
        # Upper case first: it turns a dotless i into I, as Java's string comparison does.
        name = unicodedata.normalize("NFKC", name).upper().casefold().replace(_COMBINING_DOT, "")
    return name.lower().replace("_", "").replace("-", "")


def refuse_too_many_values(body: bytes) -> None:
    """Raises `InvalidInput` for a body with too many values to read in a fraction of a second.

    Counts the values outside of strings in passes over the bytes that create no objects.
    """
    if len(body) <= _MANY_BYTES or _are_few(body.count(b'"'), body):
        return
    outside, strings = _outside_of_strings(body)
    if strings > STRINGS_MAX or not _are_few(2 * strings, outside):
        raise InvalidInput(
            f"The request body has more than {STRINGS_MAX:,} strings, or more than {GROUPS_MAX:,} "
            "objects and lists. Send a smaller request."
        )


def refuse_too_long(raw: bytes, name: str, most: int) -> None:
    """The same for a list of texts, or of lists of numbers, with at most `most` items."""
    if len(raw) > _MANY_BYTES:
        outside, _ = _outside_of_strings(raw)
        flat = _FLAT_LIST.sub(b"", outside.translate(None, _NUMERIC)[1:-1])
        if flat.count(b",") >= most:
            raise InvalidInput(f"`{name}` has more than {most:,} texts. Send 1 to {most:,}.")


def _outside_of_strings(raw: bytes) -> tuple[bytes, int]:
    """JSON without its strings (empty if it has more than STRINGS_MAX), and how many it has."""
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    strings = plain.count(b'"') // 2
    return (b"".join(plain.split(b'"')[::2]) if strings <= STRINGS_MAX else b""), strings


def says_nothing(raw: bytes) -> bool:
    """Whether a value requests nothing: null, false, or an empty list, object or text."""
    return raw in _NOTHING or (raw[:1] in (b"[", b"{") and raw[1:-1].isspace())


def _are_few(quotes: int, text: bytes) -> bool:
    return quotes <= 2 * STRINGS_MAX and text.count(b"{") + text.count(b"[") <= GROUPS_MAX


def misfit(
    error: msgspec.DecodeError, path: str = "", body: bytes = b"", shape: Any = None
) -> InvalidInput:
    """An error that names the invalid value, its location, and the values that are allowed there.

    `path` is the location of a value that was decoded separately, `body` that value as it was sent,
    and `shape` the type that it was decoded as.
    """
    reason, _, inner = str(error).partition(" - at `$")
    if any(words in reason for words in _OF_HALVES):
        half = _HIGH_HALF.search(body) or _LOW_HALF.search(body)
        if half:
            return InvalidInput(
                f"The request body contains `{half[1].decode()}`, which is half of a surrogate "
                "pair. Send both halves, or neither."
            )
    inner = inner.removesuffix("`")
    where = f"{path}{inner}".removeprefix(".")
    name = f"`{cut(where)}`" if where else "The request body"
    if not isinstance(error, msgspec.ValidationError):
        return InvalidInput(f"{name} is not valid JSON: {_in_sentence(cut(reason))}.")
    for start, text in _ABOUT_FIELDS.items():
        if reason.startswith(start):
            field = cut(reason.removeprefix(start).strip("` "))
            return InvalidInput(text.format(f"{where}.{field}".removeprefix(".")))
    steps = steps_of(inner)
    values, value = allowed(shape, steps, reason), shown(body, steps, reason)
    if not values:
        return InvalidInput(f"{name} has an invalid value{value and f': {value}'}.")
    return InvalidInput(f"{name} must be {values}{value and f', not {value}'}.")


def _in_sentence(reason: str) -> str:
    """A message of msgspec about JSON as the end of a sentence."""
    reason = reason.removeprefix("JSON is malformed: ")
    return "it ends too early" if "truncated" in reason else reason[:1].lower() + reason[1:]


def cut(text: str) -> str:
    """A text that may be quoted from a request, shortened for use in a message."""
    return text if len(text) <= _QUOTED_CHARS else f"{text[:_QUOTED_CHARS]}…"


def read_object(raw: bytes, path: str, grammar: Grammar) -> JsonObject:
    """The fields of an object, each as it was sent; error messages give `path` as its location.

    Raises `InvalidInput` that names the field, and `msgspec.DecodeError` if it is not an object.
    """
    members = _single(_whole_object.decode(raw), path)
    _refuse_other_spellings(members, path, grammar)
    return members


def read_objects(raw: bytes, path: str, grammar: Grammar) -> list[JsonObject]:
    """The same for a list of objects of one kind, without checking every name of every object."""
    if raw == b"[]":
        return []
    objects = _objects.decode(raw)
    names: set[str] = set().union(*objects)
    _refuse_too_many(len(names), path)
    if not _is_all(objects, raw):
        _refuse_doubled(objects, raw, path)
    _refuse_other_spellings(names, path, grammar)
    return objects


def _refuse_doubled(objects: list[JsonObject], raw: bytes, path: str) -> None:
    """Check the names of only those objects that lost a field when they were decoded."""
    for members, raw_object in zip(objects, _raws.decode(raw), strict=True):
        sent = bytes(raw_object)
        if not _is_all(members, sent):
            _single(_whole_object.decode(sent), path)


def _single(whole: _Whole, path: str) -> JsonObject:
    """The fields of an object by name; raises `InvalidInput` if a name is given twice."""
    _refuse_too_many(len(whole), path)
    members = {name.text: raw for name, raw in whole.items()}
    if len(members) < len(whole):
        ((name, _),) = Counter(name.text for name in whole).most_common(1)
        raise InvalidInput(f"`{name:.80}` is given twice{_in(path)}. Send it once.")
    return members


def _is_all(read: list[JsonObject] | JsonObject, raw: bytes) -> bool:
    """Whether nothing that was sent was lost; otherwise a name was given twice or has escapes.

    Values stay as they were sent and names are written in their shortest form. So apart from white
    space, the JSON written anew is as long as the original only if nothing is missing. Most clients
    send no white space around fields.
    """
    anew = msgspec.json.encode(read)
    if anew == raw:
        return True
    if len(raw) > (len(read) if isinstance(read, list) else 1) * _LARGE_BYTES:
        return False  # few names: checking each is cheaper than removing white space
    return compact(anew) == compact(raw)


def compact(raw: bytes) -> bytes:
    """JSON without the white space around its values."""
    return msgspec.json.format(raw, indent=-1)


def _refuse_too_many(count: int, path: str) -> None:
    if count > NAMES_MAX:
        where = _in(path) or " in the request body"
        raise InvalidInput(f"There are more than {NAMES_MAX:,} field names{where}. Send fewer.")


def _refuse_other_spellings(names: Iterable[str], path: str, grammar: Grammar) -> None:
    if grammar.names.issuperset(names):
        return
    for name in names:
        if known := grammar.meant(name):
            raise InvalidInput(f"Use `{known}` instead of `{name:.80}`{_in(path)}.")


def _in(path: str) -> str:
    """Where a field is; a description, unlike a field's path, has spaces and no backticks."""
    if " " in path:
        return f" in {path}"
    return f" in `{path}`" if path else ""
