"""The members of a request's objects: none is given twice, none under another spelling of its name.

Servers disagree about both. Python and JavaScript take the last of two members of one name, others
the first. Go's encoding/json matches names without case and by Unicode's simple folding
(`Max_Tokens`, U+017F for s, U+212A for k), protobuf's JSON takes `maxTokens` as well. What a
provider reads and the gateway does not would not be held for.

This guards objects whose grammar is known here. What is inside of schemas, `metadata` and
`logit_bias` is the client's own and is not looked into.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from modelgates_server.core.errors import InvalidInput

Members = dict[str, msgspec.Raw]

NAMES_MAX = 1000
"""How many names an object, or the objects of a list, may have: each that is new is looked at."""

_SPELLING_MAX_CHARS = 128
"""No other spelling of one of our names is longer; what is longer need not be folded."""

_LARGE_BYTES = 1000
"""An object of so many bytes has few names for its size."""

_COMBINING_DOT = "\u0307"  # what is left of a dotted capital I in small letters


class _Occurrence:
    """A name where it stands. Two of the same text are two keys of a dict."""

    __slots__ = ("text",)

    def __init__(self, _type: type, text: str) -> None:
        self.text = text


_objects = msgspec.json.Decoder(list[Members])
_Whole = dict[_Occurrence, msgspec.Raw]

_whole_object = msgspec.json.Decoder(_Whole, dec_hook=_Occurrence)
_whole_objects = msgspec.json.Decoder(list[_Whole], dec_hook=_Occurrence)


class Grammar:
    """The names that matter in one kind of object; `aliases` are names that others read so.

    Names that are like none of them pass: providers invent new ones.
    """

    def __init__(self, names: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self.names = frozenset(names)
        self._by_spelling = {spelling(name): name for name in self.names}
        self._by_spelling |= {spelling(alias): name for alias, name in (aliases or {}).items()}

    def meant(self, name: str) -> str | None:
        """The name that some server would read this one as; None if it is like none of ours."""
        if name in self.names or len(name) > _SPELLING_MAX_CHARS:
            return None
        return self._by_spelling.get(spelling(name))


def spelling(name: str) -> str:
    """What all spellings of a name have in common: no case, no look-alikes, no separators."""
    if not name.isascii():
        # Upper case first: it makes an I of a dotless i, as the comparison of Java's strings does.
        name = unicodedata.normalize("NFKC", name).upper().casefold().replace(_COMBINING_DOT, "")
    return name.lower().replace("_", "").replace("-", "")


def read_object(raw: bytes, place: str, grammar: Grammar) -> Members:
    """The members of an object, each as it was sent; `place` says where it is, in refusals.

    Raises `InvalidInput` that names the member, and `msgspec.DecodeError` where it is no object.
    """
    members = _single(_whole_object.decode(raw), place)
    _refuse_other_spellings(members, place, grammar)
    return members


def read_objects(raw: bytes, place: str, grammar: Grammar) -> list[Members]:
    """The same for a list of objects of one kind: a few large ones."""
    objects = [_single(whole, place) for whole in _whole_objects.decode(raw)]
    for members in objects:
        _refuse_other_spellings(members, place, grammar)
    return objects


def read_many_objects(raw: bytes, place: str, grammar: Grammar) -> list[Members]:
    """The same for a list that may have thousands, without a look at each name of each."""
    objects = _objects.decode(raw)
    names: set[str] = set().union(*objects)
    _refuse_too_many(len(names), place)
    if not _is_all(objects, raw):
        for whole in _whole_objects.decode(raw):
            _single(whole, place)
    _refuse_other_spellings(names, place, grammar)
    return objects


def _single(whole: _Whole, place: str) -> Members:
    """The members of an object by their names, none of which comes twice."""
    _refuse_too_many(len(whole), place)
    members = {name.text: raw for name, raw in whole.items()}
    if len(members) < len(whole):
        ((name, _),) = Counter(name.text for name in whole).most_common(1)
        raise InvalidInput(f"{name:.80} is given twice{_in(place)}; send it once")
    return members


def _is_all(objects: list[Members], raw: bytes) -> bool:
    """Whether the objects are all that was sent; if not, a name came twice or with escapes.

    Values are kept as they were sent and names are written as short as they can be, so what is
    written anew is as long as what was sent only if nothing is missing. White space aside, that is;
    most clients put none around members.
    """
    anew = msgspec.json.encode(objects)
    if anew == raw:
        return True
    if len(raw) > len(objects) * _LARGE_BYTES:
        return False  # few names: to look at each is cheaper than to leave out white space
    return _compact(anew) == _compact(raw)


def _compact(raw: bytes) -> bytes:
    return msgspec.json.format(raw, indent=-1)


def _refuse_too_many(count: int, place: str) -> None:
    if count > NAMES_MAX:
        raise InvalidInput(f"there are more than {NAMES_MAX} members{_in(place)}")


def _refuse_other_spellings(names: Iterable[str], place: str, grammar: Grammar) -> None:
    if grammar.names.issuperset(names):
        return
    for name in names:
        if ours := grammar.meant(name):
            raise InvalidInput(f"write {ours} instead of {name:.80}{_in(place)}")


def _in(place: str) -> str:
    return f" in {place}" if place else ""
