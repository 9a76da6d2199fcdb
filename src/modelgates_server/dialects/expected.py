"""Says in words which values a field may have, and which one it has.

msgspec names types as Python does and leaves out what a field accepts. This module looks both up,
only after a request was found to be invalid.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect

Steps = list[str | int]
"""The way from a value to a value in it: names of fields, and positions in lists."""

_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]")
_SHOWN_CHARS = 64
_QUOTED_CHARS = 6 * _SHOWN_CHARS + 2
"""A character of a string takes up to six in JSON."""
_READ_MAX_BYTES = 1024 * 1024
_UNKNOWN = object()

_NULL = "`null`"
_TYPES = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "`true` or `false`",
    "array": "a list",
    "object": "an object",
    "null": _NULL,
}
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (str, "str"),
    (list, "array"),
    (dict, "object"),
)
_EXPECTED = re.compile(r"Expected `([^`]+)`(?: (of length )?([<>]=?) ([\d.-]+))?")
_GOT = re.compile(r"got `(\w+)`")
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def steps_of(path: str) -> Steps:
    """The steps of a path as msgspec writes it, such as `.models[0]`."""
    return [name or int(position) for name, position in _STEP.findall(path)]


def allowed(shape: Any, steps: Steps, reason: str) -> str:
    """The values that are allowed at a place, such as `an integer from 1 to 20, or null`.

    Without a `shape`, or where it says nothing, they are those in msgspec's `reason`.
    """
    found = None if shape is None else _type_at(inspect.type_info(shape), steps)
    words = [] if found is None else _alternatives(found)
    return _joined(words or _from_reason(reason))


def shown(body: bytes, steps: Steps, reason: str) -> str:
    """The value at a place, quoted and cut; only its type if it is long or not known."""
    value = _value_at(body, steps)
    if value is _UNKNOWN:
        got = _GOT.search(reason)
        return _TYPES.get(got[1], "") if got else ""
    if isinstance(value, str) and len(value) > _SHOWN_CHARS:
        return f"`{json.dumps(value[:_SHOWN_CHARS])[:-1]}…`, which has {len(value):,} characters"
    if value is None or isinstance(value, str | int | float):
        return f"`{json.dumps(value)[:_QUOTED_CHARS]}`"
    return next(_TYPES[name] for kind, name in _KINDS if isinstance(value, kind))


def _type_at(found: inspect.Type, steps: Steps) -> inspect.Type | None:
    for step in steps:
        inner = [_inside(each, step) for each in _members(found)]
        known = [each for each in inner if each is not None]
        if not known:
            return None
        found = known[0]
    return found


def _inside(found: inspect.Type, step: str | int) -> inspect.Type | None:
    if isinstance(found, inspect.StructType):
        return next((each.type for each in found.fields if each.encode_name == step), None)
    if isinstance(found, inspect.ListType | inspect.VarTupleType) and isinstance(step, int):
        return found.item_type
    return None


def _members(found: inspect.Type) -> tuple[inspect.Type, ...]:
    return found.types if isinstance(found, inspect.UnionType) else (found,)


def _alternatives(found: inspect.Type) -> list[str]:
    """The alternatives of a type, `null` last; empty if one of them can be anything."""
    words = list[str]()
    for each in _members(found):
        say = _SAID.get(type(each))
        if say is None:
            return []
        words += say(each)
    return sorted(words, key=_NULL.__eq__)


def _number(found: inspect.IntType | inspect.FloatType) -> str:
    name = "an integer" if isinstance(found, inspect.IntType) else "a number"
    if found.ge is not None and found.le is not None:
        return f"{name} from {found.ge:,} to {found.le:,}"
    bounds = ((found.ge, "at least"), (found.le, "at most"))
    return name + "".join(f" of {words} {bound:,}" for bound, words in bounds if bound is not None)


def _sized(name: str, unit: str, least: int | None, most: int | None) -> str:
    if most is None:
        return name if least is None else f"{name} of at least {least:,} {unit}{'s' * (least != 1)}"
    return f"{name} of {f'{least:,} to' if least else 'at most'} {most:,} {unit}s"


_SAID: dict[type, Callable[[Any], list[str]]] = {
    inspect.NoneType: lambda _: [_NULL],
    inspect.BoolType: lambda _: ["`true`", "`false`"],
    inspect.LiteralType: lambda found: [f"`{value}`" for value in found.values],
    inspect.EnumType: lambda found: [f"`{value.value}`" for value in found.cls],
    inspect.IntType: lambda found: [_number(found)],
    inspect.FloatType: lambda found: [_number(found)],
    inspect.StrType: lambda found: [
        _sized("a string", "character", found.min_length, found.max_length)
    ],
    **dict.fromkeys(
        (inspect.ListType, inspect.VarTupleType),
        lambda found: [_sized("a list", "item", found.min_length, found.max_length)],
    ),
    **dict.fromkeys((inspect.StructType, inspect.DictType), lambda _: ["an object"]),
}
"""The words for a type. One that is not listed can be anything."""


def _from_reason(reason: str) -> list[str]:
    expected = _EXPECTED.match(reason)
    if expected is None:
        return []
    types, of_length, sign, bound = expected.groups()
    names = types.split(" | ")
    words = [_TYPES.get(name, name) for name in sorted(names, key="null".__eq__)]
    if bound is not None:
        unit = ("characters" if types == "str" else "items") if of_length else ""
        words = [f"{words[0]} of {_BOUNDS[sign]} {bound} {unit}".rstrip()]
    return words


def _joined(words: list[str]) -> str:
    *first, last = words or [""]
    return f"{', '.join(first)} or {last}" if first else last


def _value_at(body: bytes, steps: Steps) -> Any:
    if not body or len(body) > _READ_MAX_BYTES:
        return _UNKNOWN
    try:
        value = msgspec.json.decode(body)
        for step in steps:
            value = value[step]
    except (msgspec.DecodeError, RecursionError, LookupError, TypeError):
        return _UNKNOWN
    return value
