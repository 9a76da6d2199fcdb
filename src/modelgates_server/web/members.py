"""Rejects unknown and duplicate names in a request body and in a query.

A client that misspells a limit must not get a key without one. So an unknown name is rejected with
the nearest known one. A duplicate is rejected as well: two readers could obey different values.
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
"""Names of other gateways, as `folded` writes them, and the name of the same parameter here; None
if it does not exist here."""


class Opposite(str):
    """A known name with the opposite meaning: `true` there is `false` here."""

    __slots__ = ()


_SHOWN_CHARS = 64
_FILTERS_MAX = 50
"""The most parameters of a list that ignores unknown ones: each is compared with all known ones."""

_ALIKE = 0.6
_MISSPELLED = 0.8


class _Object(tuple[tuple[str, object], ...]):
    """The fields of a JSON object in their order, duplicates included."""

    __slots__ = ()


# Numbers stay text: they are read elsewhere, exactly.
_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_int=str, parse_float=str)


def check_members(
    body: bytes, shape: type[msgspec.Struct], words: Words, *, allow_unknown: bool
) -> None:
    """Raise `InvalidInput` for a field that `shape` does not have, and for a duplicate.

    `allow_unknown` allows unknown fields, except those that differ from a known name only in case,
    separators, accents or Unicode compatibility. Also raises `UnicodeDecodeError`, `RecursionError`
    and `json.JSONDecodeError`. A body that is not an object is left to the caller.
    """
    decoded = _DECODER.decode(body.decode())
    if isinstance(decoded, _Object):
        _check_object(decoded, shape, words, allow_unknown)


def check_query(query: QueryParams, known: Iterable[str] = ()) -> None:
    """Raise `InvalidInput` for an unknown or duplicate query parameter."""
    names = tuple(known)
    seen = set[str]()
    for name, _ in query.multi_items():
        if name not in names:
            near = _did_you_mean(name, names, {})
            supported = (
                f"Supported: {', '.join(names)}."
                if names
                else "This operation has no query parameters."
            )
            raise InvalidInput(f"Unknown query parameter {quoted(name)}.{near} {supported}")
        if name in seen:
            raise InvalidInput(f"Duplicate query parameter {quoted(name)}. Send it once.")
        seen.add(name)


def check_filters(query: QueryParams, known: Iterable[str], unavailable: Iterable[str]) -> None:
    """Raise `InvalidInput` for a filter that would have no effect, and for a duplicate.

    These are the `unavailable` parameters, and those that resemble a known one. Others are ignored:
    clients of many kinds read such a list, and add parameters that filter nothing.
    """
    names = tuple(known)
    if len(query.multi_items()) > _FILTERS_MAX:
        raise InvalidInput(
            f"The request has more than {_FILTERS_MAX} query parameters. Send fewer."
        )
    for name in query:
        if name in unavailable:
            raise InvalidInput(
                f"The query parameter {quoted(name)} is not supported. Leave it out, and choose "
                f"from the models in the response. Supported: {', '.join(names)}."
            )
    alike = {folded(name) for name in names}
    meant = [
        each
        for each in query.multi_items()
        if get_close_matches(folded(each[0][:_SHOWN_CHARS]), alike, n=1, cutoff=_MISSPELLED)
    ]
    check_query(QueryParams(meant), names)


def folded(name: str) -> str:
    """A name without case, separators, accents and compatibility forms.

    `Limit-Reset`, `limitReset` and `limit_reset` have the same folded form.
    """
    # Upper case first: it turns the dotless i into I.
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
                f"Unknown request parameter {quoted(name)}.{near} Supported: {', '.join(known)}."
            )
        if name in seen:
            raise InvalidInput(f"Duplicate request parameter {quoted(name)}. Send it once.")
        seen.add(name)
        inner = _struct_in(known.get(name))
        if inner is not None and isinstance(value, _Object):
            _check_object(value, inner, {}, allow_unknown)


def _struct_in(kind: object) -> type[msgspec.Struct] | None:
    """The struct in the type of a field such as `External | None`."""
    kinds = get_args(kind) or (kind,)
    structs = (k for k in kinds if isinstance(k, type) and issubclass(k, msgspec.Struct))
    return next(structs, None)


def _did_you_mean(name: str, known: Iterable[str], words: Words) -> str:
    near = _nearest(folded(name[:_SHOWN_CHARS]), {folded(each): each for each in known}, words)
    if near is None:
        return ""
    opposite = ", which has the opposite meaning" if isinstance(near, Opposite) else ""
    return f" Did you mean {quoted(near)}{opposite}?"


def _nearest(name: str, known: Mapping[str, str], words: Words) -> str | None:
    """The known name that is probably meant; `known` has names by their folded forms."""
    if name in known:
        return known[name]
    if name in words:
        word = words[name]
        return word if word in known.values() else None
    alike = get_close_matches(name, [*known, *words], n=1, cutoff=_ALIKE)
    if not alike:
        return None
    return known.get(alike[0]) or _nearest(alike[0], known, words)


def quoted(text: str) -> str:
    """A name or value of a request as messages show it: in backticks, cut, and escaped.

    The escapes reveal a foreign letter that looks like a Latin one.
    """
    return f"`{json.dumps(text[:_SHOWN_CHARS])[1:-1]}`" if text else '`""`'
