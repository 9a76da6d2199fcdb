"""Refuses names that a request does not have: members of its body, parameters of its query.

Whoever misspells a limit must not get a key without one. So an unknown name is refused with the
nearest right one, and so is a name that comes twice: of two values somebody would obey the other.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import get_args

import msgspec
from starlette.datastructures import QueryParams

from modelgates_server.core.errors import InvalidInput

Words = Mapping[str, str | None]
"""Names that other gateways have for something, and ours for it; None where we have no such thing.
They are written as `folded` writes them."""


class Opposite(str):
    """The name of ours that says the opposite of a word: what is true there is false here."""

    __slots__ = ()


_SHOWN_CHARS = 64
_ALIKE = 0.6


class _Object(tuple[tuple[str, object], ...]):
    """The members of a JSON object in their order, those that come twice as well."""

    __slots__ = ()


# Numbers stay text: those of the body are read elsewhere, exactly.
_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_int=str, parse_float=str)


def check_members(
    body: bytes, shape: type[msgspec.Struct], words: Words, *, allow_unknown: bool
) -> None:
    """Raise `InvalidInput` for a member that `shape` does not have, or that comes twice.

    With `allow_unknown` only for those that come twice, or that are a member's name but for case,
    separators, accents or Unicode compatibility. Also raises `UnicodeDecodeError`, `RecursionError`
    and `json.JSONDecodeError`; a body that is no object is left to whoever decodes it.
    """
    decoded = _DECODER.decode(body.decode())
    if isinstance(decoded, _Object):
        _check_object(decoded, shape, words, allow_unknown)


def check_query(query: QueryParams, known: Iterable[str] = ()) -> None:
    """Raise `InvalidInput` for a parameter that is not known, or that comes twice."""
    names = tuple(known)
    seen = set[str]()
    for name, _ in query.multi_items():
        if name not in names:
            taken = (
                f"This request takes: {', '.join(names)}." if names else "This request takes none."
            )
            near = _did_you_mean(name, names, {})
            raise InvalidInput(f"Unknown query parameter {_shown(name)}.{near} {taken}")
        if name in seen:
            raise InvalidInput(f"The query parameter {_shown(name)} came twice; send it once.")
        seen.add(name)


def folded(name: str) -> str:
    """A name without case, separators, accents and compatibility forms.

    `Limit-Reset`, `limitReset` and `limit_reset` are alike.
    """
    # Upper case first, which takes the dotless i to I.
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).upper().casefold())
    return "".join(filter(str.isalnum, text))


def _check_object(
    members: _Object, shape: type[msgspec.Struct], words: Words, allow_unknown: bool
) -> None:
    known = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
    alike = {folded(name) for name in known}
    seen = set[str]()
    for name, value in members:
        if name not in known and not (allow_unknown and folded(name) not in alike):
            near = _did_you_mean(name, known, words)
            raise InvalidInput(
                f"Unknown member {_shown(name)}.{near} The members are: {', '.join(known)}."
            )
        if name in seen:
            raise InvalidInput(f"The member {_shown(name)} came twice; send it once.")
        seen.add(name)
        inner = _struct_in(known.get(name))
        if inner is not None and isinstance(value, _Object):
            _check_object(value, inner, {}, allow_unknown)


def _struct_in(kind: object) -> type[msgspec.Struct] | None:
    """The struct of a field such as `External | None`."""
    kinds = get_args(kind) or (kind,)
    structs = (k for k in kinds if isinstance(k, type) and issubclass(k, msgspec.Struct))
    return next(structs, None)


def _did_you_mean(name: str, known: Iterable[str], words: Words) -> str:
    near = _nearest(folded(name[:_SHOWN_CHARS]), {folded(each): each for each in known}, words)
    if near is None:
        return ""
    turned = ", which says the opposite" if isinstance(near, Opposite) else ""
    return f" Did you mean {_shown(near)}{turned}?"


def _nearest(name: str, known: Mapping[str, str], words: Words) -> str | None:
    """The known name that is meant, of those that `known` has by their folded forms."""
    if name in known:
        return known[name]
    if name in words:
        word = words[name]
        return word if word in known.values() else None
    alike = get_close_matches(name, [*known, *words], n=1, cutoff=_ALIKE)
    if not alike:
        return None
    return known.get(alike[0]) or _nearest(alike[0], known, words)


def _shown(name: str) -> str:
    """In quotes, cut, and with escapes, so that a foreign letter that looks like ours shows."""
    return json.dumps(name[:_SHOWN_CHARS])
