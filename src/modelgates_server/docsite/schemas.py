"""JSON schemas of our OpenAPI document as lists of members, for people."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

Schema = dict[str, Any]

_ANY = "any type"
_RANGES = [
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " members"),
]


class Shape(msgspec.Struct, frozen=True):
    """A value, or a member with its name, and what is known of it.

    `kind` is such as `array of strings or null`. `description` and `facts` are Markdown. `members`
    are those of an object, or of the objects in an array.
    """

    name: str
    kind: str
    description: str
    required: bool
    deprecated: bool
    facts: tuple[str, ...]
    members: tuple["Shape", ...]


def resolved(document: Schema, value: Schema) -> Schema:
    """What a `$ref` stands for, with its siblings (JSON Schema 2020-12, 8.2.3)."""
    while "$ref" in value:
        target: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        value = {**target, **{name: own for name, own in value.items() if name != "$ref"}}
    return value


def shape_of(document: Schema, schema: Schema, name: str = "", *, required: bool = True) -> Shape:
    """A schema for people. One that is within itself is not repeated there."""
    return _SchemaReader(document).shape(schema, name, (), required=required)


class _SchemaReader:
    """Reads schemas of a document. `within` are the references that led to where it is."""

    def __init__(self, document: Schema) -> None:
        self._document = document

    def shape(self, schema: Schema, name: str, within: tuple[str, ...], *, required: bool) -> Shape:
        whole, inner = self._entered(schema, within)
        facts = [*_facts(whole)]
        holder = whole
        while inner is not None and "items" in holder:
            holder, inner = self._entered(holder["items"], inner)
        if inner is None:
            facts.append(f"As `{holder.get('title', name)}` above")
        return Shape(
            name=name,
            kind=self._kind(whole),
            description=whole.get("description", ""),
            required=required,
            deprecated=whole.get("deprecated", False),
            facts=tuple(facts),
            members=() if inner is None else tuple(self._members(holder, inner)),
        )

    def _entered(
        self, schema: Schema, within: tuple[str, ...]
    ) -> tuple[Schema, tuple[str, ...] | None]:
        """A schema, and the references that led into it: None where one of them is there twice.

        `oneOf` with one alternative beside null is taken for that one, or null.
        """
        whole = resolved(self._document, schema)
        if "$ref" in schema:
            if schema["$ref"] in within:
                return whole, None
            within = (*within, schema["$ref"])
        others = [each for each in whole.get("oneOf", ()) if each.get("type") != "null"]
        if len(others) != 1:
            return whole, within
        alternative, inner = self._entered(others[0], within)
        siblings = {name: value for name, value in whole.items() if name != "oneOf"}
        return {**alternative, **siblings, "type": [*_types(alternative), "null"]}, inner

    def _members(self, whole: Schema, within: tuple[str, ...]) -> Iterator[Shape]:
        for number, alternative in enumerate(whole.get("oneOf", ()), start=1):
            title = resolved(self._document, alternative).get("title", f"{number}.")
            yield self.shape(alternative, title, within, required=True)
        needed = whole.get("required", ())
        for name, schema in whole.get("properties", {}).items():
            yield self.shape(schema, name, within, required=name in needed)
        others = whole.get("additionalProperties")
        if isinstance(others, dict) and not _is_free(others):
            yield self.shape(others, "*", within, required=False)

    def _kind(self, whole: Schema) -> str:
        if "oneOf" in whole:
            return either(self._kind(resolved(self._document, each)) for each in whole["oneOf"])
        items = resolved(self._document, whole.get("items", {}))
        many = either(f"{kind}s" for kind in _types(items))
        array = f"array of {many}" if many else "array"
        kinds = [array if kind == "array" else kind for kind in _types(whole)]
        shown = either(kinds) or _ANY
        return f"{shown} ({whole['format']})" if "format" in whole else shown


def either(kinds: Iterable[str]) -> str:
    """`a, b or c`."""
    *others, last = dict.fromkeys(kinds) or [""]
    return f"{', '.join(others)} or {last}" if others else last


def _types(whole: Schema) -> list[str]:
    kinds = whole.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds


def _is_free(schema: Schema | bool) -> bool:
    return schema is True or (isinstance(schema, dict) and schema.keys() <= {"description"})


def _facts(whole: Schema) -> Iterator[str]:
    if "const" in whole:
        yield f"Always {_code(whole['const'])}"
    if "enum" in whole:
        yield f"One of {', '.join(_code(value) for value in whole['enum'])}"
    yield from _limits(whole)
    if "default" in whole:
        yield f"{_code(whole['default'])} where it is left out"
    if (others := whole.get("additionalProperties")) and _is_free(others):
        yield "May have members of other names"


def _limits(whole: Schema) -> Iterator[str]:
    for least, most, unit in _RANGES:
        if text := _range(whole.get(least), whole.get(most)):
            yield text + unit
    if "pattern" in whole:
        yield f"Matches `{whole['pattern']}`"


def _range(least: int | None, most: int | None) -> str:
    if least is None:
        return "" if most is None else f"At most {most:,}"
    return f"At least {least:,}" if most is None else f"{least:,} to {most:,}"


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`"
