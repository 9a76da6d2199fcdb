"""Reads a request's JSON objects: no name is given twice, or under another spelling.

Servers disagree about both. Python and JavaScript take the last of two members of one name, others
the first. Go's encoding/json matches names without case and by Unicode's simple folding
(`Max_Tokens`, U+017F for s, U+212A for k), protobuf's JSON takes `maxTokens` as well. What a
provider reads and the gateway does not would not be held for.

This guards objects whose grammar is known here. What is inside of schemas, `metadata` and
`logit_bias` is the client's own and is not looked into.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from modelgates_server.core.errors import InvalidInput

JsonObject = dict[str, msgspec.Raw]

NAMES_MAX = 1000
"""How many names an object, or the objects of a list, may have: each that is new is looked at."""

_SPELLING_MAX_CHARS = 128
"""No other spelling of one of our names is longer; what is longer need not be folded."""

_LARGE_BYTES = 1000
"""An object of so many bytes has few names for its size."""

STRINGS_MAX = 250_000
GROUPS_MAX = 50_000
"""How many strings, and objects and lists together, a body may have.

Each costs time and memory beyond its bytes: 20 MiB of `{}` would be seven million objects, which
hold up all other requests for seconds. The longest conversations have some thousands.
"""

_MANY_BYTES = 1024 * 1024
"""A body that is no longer cannot have so many that it takes long."""

_QUOTED_CHARS = 200
_HIGH_HALF = re.compile(rb"(\\u[dD][89abAB][0-9a-fA-F]{2})(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_LOW_HALF = re.compile(rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})(\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_FLAT_LIST = re.compile(rb"\[,*\]")
_NUMERIC = b"0123456789+-.eE \t\r\n"
_OF_HALVES = ("end of hex escape", "surrogate pair", "Input data was truncated")
"""What msgspec says of a surrogate alone; of one at the end of a string, that it was truncated."""

_NOTHING = (b"null", b"false", b"[]", b"{}", b'""')

_COMBINING_DOT = "\u0307"  # what is left of a dotted capital I in small letters


class _Occurrence:
    """A name where it stands. Two of the same text are two keys of a dict."""

    __slots__ = ("text",)

    def __init__(self, _type: type, text: str) -> None:
        self.text = text


_objects = msgspec.json.Decoder(list[JsonObject])
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_Whole = dict[_Occurrence, msgspec.Raw]

_whole_object = msgspec.json.Decoder(_Whole, dec_hook=_Occurrence)


class Grammar:
    """The names that matter in one kind of object; `aliases` are names that others read so.

    Names that are like none of them pass: providers invent new ones.
    """

    def __init__(self, names: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self.names = frozenset(names)
        self._by_spelling = {spelling(name): name for name in self.names}
        self._by_spelling |= {spelling(alias): name for alias, name in (aliases or {}).items()}

    def meant(self, name: str) -> str | None:
        """The name that some server would read this one as; None if it is like none here."""
        if name in self.names or len(name) > _SPELLING_MAX_CHARS:
            return None
        return self._by_spelling.get(spelling(name))


@lru_cache(maxsize=4096)
def spelling(name: str) -> str:
    """What all spellings of a name have in common: no case, no look-alikes, no separators."""
    if not name.isascii():
        # Upper case first: it makes an I of a dotless i, as the comparison of Java's strings does.
        name = unicodedata.normalize("NFKC", name).upper().casefold().replace(_COMBINING_DOT, "")
    return name.lower().replace("_", "").replace("-", "")


def refuse_too_many_values(body: bytes) -> None:
    """Raises `InvalidInput` for a body with more values than can be read in a fraction of a second.

    Counts what stands outside of strings, by passes over the bytes that make no object for a value.
    """
    if len(body) <= _MANY_BYTES or _are_few(body.count(b'"'), body):
        return
    outside, strings = _outside_of_strings(body)
    if strings > STRINGS_MAX or not _are_few(2 * strings, outside):
        raise InvalidInput(
            f"the body has more than {STRINGS_MAX} strings, or more than {GROUPS_MAX} objects and "
            "lists; send less at once"
        )


def refuse_too_long(raw: bytes, name: str, most: int) -> None:
    """The same for a list of texts and of lists of numbers, of which there may be so many."""
    if len(raw) > _MANY_BYTES:
        outside, _ = _outside_of_strings(raw)
        flat = _FLAT_LIST.sub(b"", outside.translate(None, _NUMERIC)[1:-1])
        if flat.count(b",") >= most:
            raise InvalidInput(f"{name} must have {most} texts at most")


def _outside_of_strings(raw: bytes) -> tuple[bytes, int]:
    """JSON without its strings, as far as there are few, and how many there are."""
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    strings = plain.count(b'"') // 2
    return (b"".join(plain.split(b'"')[::2]) if strings <= STRINGS_MAX else b""), strings


def says_nothing(raw: bytes) -> bool:
    """Whether a member asks for nothing: null, false, or what is empty."""
    return raw in _NOTHING or (raw[:1] in (b"[", b"{") and raw[1:-1].isspace())


def _are_few(quotes: int, text: bytes) -> bool:
    return quotes <= 2 * STRINGS_MAX and text.count(b"{") + text.count(b"[") <= GROUPS_MAX


def misfit(error: msgspec.DecodeError, path: str = "", body: bytes = b"") -> InvalidInput:
    """A refusal that says what does not fit, and where: below `path`, decoded apart from the rest.

    What msgspec says may quote a value of any length, so it is cut.
    """
    reason, _, inner = str(error).partition(" - at `$")
    half = None
    if any(words in reason for words in _OF_HALVES):
        half = _HIGH_HALF.search(body) or _LOW_HALF.search(body)
    if half:
        reason = f"half a character ({half[1].decode()}): a surrogate needs the other of its pair"
    where = f".{path}{inner}" if path else inner
    location = f" - at `${where.removesuffix('`')[:_QUOTED_CHARS]}`" if where else ""
    return InvalidInput(f"the body does not fit: {cut(reason)}{location}")


def cut(text: str) -> str:
    """A text that may have been quoted from a request, as long as a message can bear."""
    return text if len(text) <= _QUOTED_CHARS else f"{text[:_QUOTED_CHARS]}…"


def read_object(raw: bytes, path: str, grammar: Grammar) -> JsonObject:
    """The members of an object, each as it was sent; `path` says where it is, in refusals.

    Raises `InvalidInput` that names the member, and `msgspec.DecodeError` where it is no object.
    """
    members = _single(_whole_object.decode(raw), path)
    _refuse_other_spellings(members, path, grammar)
    return members


def read_objects(raw: bytes, path: str, grammar: Grammar) -> list[JsonObject]:
    """The same for a list of objects of one kind, without a look at each name of each."""
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
    """Look at the names of those objects alone that are not all that was sent."""
    for members, raw_object in zip(objects, _raws.decode(raw), strict=True):
        sent = bytes(raw_object)
        if not _is_all(members, sent):
            _single(_whole_object.decode(sent), path)


def _single(whole: _Whole, path: str) -> JsonObject:
    """The members of an object by their names, none of which comes twice."""
    _refuse_too_many(len(whole), path)
    members = {name.text: raw for name, raw in whole.items()}
    if len(members) < len(whole):
        ((name, _),) = Counter(name.text for name in whole).most_common(1)
        raise InvalidInput(f"{name:.80} is given twice{_in(path)}; send it once")
    return members


def _is_all(read: list[JsonObject] | JsonObject, raw: bytes) -> bool:
    """Whether what was read is all that was sent; if not, a name came twice or with escapes.

    Values are kept as they were sent and names are written as short as they can be, so what is
    written anew is as long as what was sent only if nothing is missing. White space aside, that is;
    most clients put none around members.
    """
    anew = msgspec.json.encode(read)
    if anew == raw:
        return True
    if len(raw) > (len(read) if isinstance(read, list) else 1) * _LARGE_BYTES:
        return False  # few names: to look at each is cheaper than to leave out white space
    return compact(anew) == compact(raw)


def compact(raw: bytes) -> bytes:
    """JSON without the white space around its values."""
    return msgspec.json.format(raw, indent=-1)


def _refuse_too_many(count: int, path: str) -> None:
    if count > NAMES_MAX:
        raise InvalidInput(f"there are more than {NAMES_MAX} members{_in(path)}")


def _refuse_other_spellings(names: Iterable[str], path: str, grammar: Grammar) -> None:
    if grammar.names.issuperset(names):
        return
    for name in names:
        if known := grammar.meant(name):
            raise InvalidInput(f"write {known} instead of {name:.80}{_in(path)}")


def _in(path: str) -> str:
    return f" in {path}" if path else ""
