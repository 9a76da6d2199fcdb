"""Every struct that goes over the wire, compared with its schema: names, order and nullability."""

from types import NoneType
from typing import Any, get_args, get_origin

import msgspec
import pytest

from tests.web.document import our_document, referenced
from tests.web.wire_structs import SCHEMAS, STRUCTS, schema_of

DOCUMENT = our_document()
REQUESTS = {"CreateKeyRequest", "UpdateKeyRequest"}


def alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of `oneOf`, or the schema itself."""
    schema = referenced(DOCUMENT, schema)
    several = schema.get("oneOf") or schema.get("anyOf")
    if several is None and len(schema.get("allOf", ())) == 1:
        several = schema["allOf"]
    return [schema] if several is None else [x for each in several for x in alternatives(each)]


def is_nullable(schema: dict[str, Any]) -> bool:
    types = [each.get("type", []) for each in alternatives(schema)]
    return any("null" in ([each] if isinstance(each, str) else each) for each in types)


def may_be_null(kind: Any) -> bool:
    return kind in (None, NoneType) or NoneType in get_args(kind)


def within(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a field is, or has in its list."""
    for each in (kind, *get_args(kind)):
        inner = get_args(each)[0] if get_origin(each) in (list, tuple) else each
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            return inner
    return None


def compare(
    struct: type[msgspec.Struct], schema: dict[str, Any], seen: set[str], *, is_request: bool
) -> None:
    """Compares a struct, and those within it, with a schema."""
    seen.add(struct.__name__)
    [described] = [each for each in alternatives(schema) if "properties" in each]
    fields = msgspec.structs.fields(struct)
    assert list(described["properties"]) == [field.encode_name for field in fields]
    may_lack = is_request or struct.__struct_config__.omit_defaults
    required = [
        field.encode_name
        for field in fields
        if field.required or not (may_lack or field.default is msgspec.UNSET)
    ]
    assert described.get("required", []) == required
    for field in fields:
        member = described["properties"][field.encode_name]
        # Numbers of a request are parsed by hand: their type shows neither null nor number.
        if not (is_request and msgspec.Raw in (field.type, *get_args(field.type))):
            omitted = struct.__struct_config__.omit_defaults and not field.required
            expected = may_be_null(field.type) and not omitted
            assert is_nullable(member) == expected, f"{struct.__name__}.{field.name}"
        if inner := within(field.type):
            [listed] = alternatives(member) if "items" in member else [member]
            compare(inner, listed.get("items", listed), seen, is_request=is_request)


@pytest.mark.parametrize("name", [name for name, each in STRUCTS.items() if schema_of(each)])
def test_struct_has_the_fields_of_its_schema_in_order(name: str) -> None:
    schema = SCHEMAS[schema_of(STRUCTS[name]) or ""]
    compare(STRUCTS[name], schema, set(), is_request=name in REQUESTS)


def test_struct_without_schema_is_within_a_struct_with_one() -> None:
    seen = set[str]()
    for struct in STRUCTS.values():
        if name := schema_of(struct):
            compare(struct, SCHEMAS[name], seen, is_request=name in REQUESTS)
    assert STRUCTS.keys() <= seen
