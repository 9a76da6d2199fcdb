"""JSON schemas of the OpenAPI document as lists of fields, for people."""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

Schema = dict[str, Any]

_ANY = "any type"
_RANGES = [
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " character"),
    ("minItems", "maxItems", " item"),
    ("minProperties", "maxProperties", " field"),
]


class Shape(msgspec.Struct, frozen=True):
    """A value, or a field with its name, and what is known of it.

    `kind` is such as `array of strings or null`. `description` and `facts` are Markdown. `members`
    are the fields of an object, or of the objects in an array, the required ones first. A field is
    `passed_on` if the gateway sends it to the provider without reading it.
    """

    name: str
    kind: str
    description: str
    required: bool
    deprecated: bool
    facts: tuple[str, ...]
    members: tuple["Shape", ...]
    passed_on: bool = False


def resolved(document: Schema, value: Schema) -> Schema:
    """The schema that a `$ref` names, with its siblings (JSON Schema 2020-12, 8.2.3)."""
    while "$ref" in value:
        target: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        value = {**target, **{name: own for name, own in value.items() if name != "$ref"}}
    return value


def shape_of(document: Schema, schema: Schema, name: str = "", *, required: bool = True) -> Shape:
    """A schema for people. A schema that contains itself is not repeated inside itself."""
    return _SchemaReader(document).shape(schema, name, (), required=required)


class _SchemaReader:
    """Reads schemas of a document. `within` are the references that led to a schema."""

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
        """A schema, and the references that led into it: None if one of them occurs twice.

        A `oneOf` of null and one alternative is read as that alternative, or null.
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
        yield from self._alternatives(whole.get("oneOf", ()), within)
        needed, checked = whole.get("required", ()), whole.get("properties", {})
        # The reference shows more of the fields that the schema leaves open to the provider.
        shown = {**checked, **whole.get("x-documented", {})}
        for name in sorted(shown, key=lambda name: name not in needed):
            shape = self.shape(shown[name], name, within, required=name in needed)
            yield msgspec.structs.replace(shape, passed_on=name not in checked)
        others = whole.get("additionalProperties")
        if isinstance(others, dict) and not _is_free(others):
            yield self.shape(others, "*", within, required=False)

    def _alternatives(self, schemas: Iterable[Schema], within: tuple[str, ...]) -> list[Shape]:
        """Those of which more is known than the kind; the fields of a nameless one alone."""
        shapes = []
        for schema in schemas:
            title = resolved(self._document, schema).get("title", "")
            shape = self.shape(schema, title, within, required=True)
            if title or shape.description or shape.members:
                shapes.append(msgspec.structs.replace(shape, name=title or shape.kind))
        alone = len(shapes) == 1 and shapes[0].name == shapes[0].kind
        return [*shapes[0].members] if alone else shapes

    def _kind(self, whole: Schema) -> str:
        if "oneOf" in whole:
            return either(self._kind(resolved(self._document, each)) for each in whole["oneOf"])
        items = resolved(self._document, whole.get("items", {}))
        many = either(f"{kind}s" for kind in _types(items))
        array = f"array of {many}" if many else "array"
        kinds = [array if kind == "array" else kind for kind in _types(whole)]
        shown = either(kinds) or _ANY
        return f"{shown} ({whole['format']})" if "format" in whole else shown


def plain_number(number: float) -> str:
    """A number as the API writes it: without an exponent, which `repr` uses for small numbers."""
    return f"{Decimal(repr(number)):f}"


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
        yield f"Default {_code(whole['default'])}"
    if (others := whole.get("additionalProperties")) and _is_free(others):
        yield "May have other fields"


def _limits(whole: Schema) -> Iterator[str]:
    for least, most, unit in _RANGES:
        if text := _range(whole.get(least), whole.get(most)):
            last = whole.get(most, whole.get(least))
            yield f"{text}{unit}s" if unit and last != 1 else text + unit
    if "pattern" in whole:
        yield f"Matches `{whole['pattern']}`"


def _range(least: int | None, most: int | None) -> str:
    if least is None:
        return "" if most is None else f"At most {most:,}"
    return f"At least {least:,}" if most is None else f"{least:,} to {most:,}"


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`"
