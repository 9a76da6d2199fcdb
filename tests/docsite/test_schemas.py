"""Schemas as the reference shows them: complete, and finite if they are recursive."""

from collections.abc import Iterator
from typing import Any

import pytest

from modelgates_server.docsite.schemas import Shape, either, shape_of
from tests.docsite.test_openapi import nodes
from tests.web.document import our_document

SUPPORTED = {"type", "title", "description", "properties", "required", "items", "enum", "const"}
SUPPORTED |= {"default", "format", "pattern", "minimum", "maximum", "minLength", "maxLength"}
SUPPORTED |= {"minItems", "maxItems", "minProperties", "maxProperties", "deprecated"}
SUPPORTED |= {"oneOf", "$ref"}
SUPPORTED |= {"additionalProperties", "discriminator", "x-documented"}
MONEY = {"title": "Money", "description": "An amount", "type": "string", "pattern": "^[0-9]+$"}
DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Money": MONEY,
            "Tree": {
                "title": "Tree",
                "type": "object",
                "properties": {
                    "left": {"$ref": "#/components/schemas/Tree"},
                    "right": {
                        "oneOf": [{"$ref": "#/components/schemas/Tree"}, {"type": "null"}],
                    },
                    "leaves": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
                    "named": {
                        "type": "object",
                        "additionalProperties": {"$ref": "#/components/schemas/Tree"},
                    },
                },
            },
        }
    }
}


def shape(**schema: Any) -> Shape:
    return shape_of(DOCUMENT, schema)


def nested_shapes(one: Shape) -> Iterator[Shape]:
    yield one
    for member in one.members:
        yield from nested_shapes(member)


def test_siblings_of_a_reference_override_the_schema() -> None:
    result = shape(**{"$ref": "#/components/schemas/Money", "description": "What it costs"})
    assert (result.description, result.kind) == ("What it costs", "string")
    assert result.facts == ("Matches `^[0-9]+$`",)
    assert shape(**{"$ref": "#/components/schemas/Money"}).description == "An amount"


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({}, "any type"),
        ({"type": "string"}, "string"),
        ({"type": ["string", "null"], "format": "date-time"}, "string or null (date-time)"),
        ({"type": "array"}, "array"),
        ({"type": "array", "items": {}}, "array"),
        ({"type": "array", "items": {"type": "object"}}, "array of objects"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Money"}}, "array of strings"),
        (
            {"type": ["string", "array", "null"], "items": {"type": ["string", "integer"]}},
            "string, array of strings or integers or null",
        ),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "string or integer"),
        ({"oneOf": [{"type": "null"}, {"type": "object"}]}, "object or null"),
    ],
)
def test_kind_names_all_types_of_a_value(schema: dict[str, Any], kind: str) -> None:
    assert shape(**schema).kind == kind


@pytest.mark.parametrize(
    ("schema", "fact"),
    [
        ({"const": False}, "Always `false`"),
        ({"enum": ["a", None, 1]}, "One of `a`, `null`, `1`"),
        ({"default": "x"}, "Default `x`"),
        ({"default": False}, "Default `false`"),
        ({"minimum": 0}, "At least 0"),
        ({"maximum": 9_223_372}, "At most 9,223,372"),
        ({"minimum": 1, "maximum": 1000}, "1 to 1,000"),
        ({"minLength": 1, "maxLength": 255}, "1 to 255 characters"),
        ({"maxItems": 100}, "At most 100 items"),
        ({"minItems": 1}, "At least 1 item"),
        ({"maxProperties": 0}, "At most 0 fields"),
        ({"pattern": "^a$"}, "Matches `^a$`"),
        ({"additionalProperties": True}, "May have other fields"),
        ({"additionalProperties": {"description": "x"}}, "May have other fields"),
    ],
)
def test_constraint_of_a_value_is_a_fact(schema: dict[str, Any], fact: str) -> None:
    assert shape(**schema).facts == (fact,)


def test_closed_object_has_no_fact_about_other_members() -> None:
    assert shape(type="object", additionalProperties=False).facts == ()
    assert shape(type="object").facts == ()


def test_members_are_required_optional_or_deprecated_as_in_the_object() -> None:
    result = shape(
        type="object",
        required=["id"],
        properties={
            "id": {"type": "string"},
            "old": {"type": "string", "deprecated": True},
            "lines": {
                "type": "array",
                "items": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"what": {"type": "string"}}},
                },
            },
        },
    )
    by_name = {member.name: member for member in result.members}
    assert [*by_name] == ["id", "old", "lines"]
    assert [member.required for member in result.members] == [True, False, False]
    assert [member.deprecated for member in result.members] == [False, True, False]
    assert [member.name for member in by_name["lines"].members] == ["what"]


def test_additional_properties_are_a_member_with_any_name() -> None:
    [member] = shape(type="object", additionalProperties={"type": "integer"}).members
    assert (member.name, member.kind, member.required) == ("*", "integer", False)


def test_alternatives_are_listed_one_by_one() -> None:
    money = {"$ref": "#/components/schemas/Money"}
    other = {"type": "object", "properties": {"a": {"type": "string"}}}
    result = shape(oneOf=[money, other, {"type": "null"}])
    assert result.kind == "string, object or null"
    assert [member.name for member in result.members] == ["Money", "object"]
    assert [member.name for member in result.members[1].members] == ["a"]


def test_recursive_schema_ends_at_its_repetition() -> None:
    result = shape(**{"$ref": "#/components/schemas/Tree"})
    members = {member.name: member for member in result.members}
    assert [*members] == ["left", "right", "leaves", "named"]
    for name in ("left", "right", "leaves"):
        assert members[name].members == ()
        assert members[name].facts == ("As `Tree` above",)
    [named] = members["named"].members
    assert (named.members, named.facts) == ((), ("As `Tree` above",))
    assert members["right"].kind == "object or null"


def test_schema_used_by_two_members_is_described_twice() -> None:
    money = {"$ref": "#/components/schemas/Money"}
    result = shape(type="object", properties={"a": money, "b": money})
    assert [member.facts for member in result.members] == [("Matches `^[0-9]+$`",)] * 2


def test_list_of_kinds_reads_like_a_sentence() -> None:
    assert either(["a"]) == "a"
    assert either(["a", "b", "a"]) == "a or b"
    assert either(["a", "b", "c"]) == "a, b or c"


def test_schemas_of_the_document_use_only_supported_keywords(subtests: pytest.Subtests) -> None:
    document = our_document()
    for name, schema in document["components"]["schemas"].items():
        with subtests.test(name):
            result = shape_of(document, schema)
            assert len([*nested_shapes(result)]) > 0
            used = {
                keyword
                for place, node in nodes(schema)
                # The keys below these are names of members, or values.
                if not place.endswith(("/properties", "/x-documented", "/default", "/const"))
                # The alternatives themselves contain what a discriminator says.
                and "/discriminator" not in place
                and isinstance(node, dict)
                for keyword in node
            }
            assert used <= SUPPORTED


def test_required_fields_come_first_and_undeclared_ones_are_shown_as_passed_on() -> None:
    text = {"type": "string"}
    fields = shape(
        type="object",
        required=["b"],
        properties={"a": text, "b": text, "c": text},
        **{"x-documented": {"c": {"type": "string", "enum": ["x"]}, "d": text}},
    ).members
    assert [field.name for field in fields] == ["b", "a", "c", "d"]
    assert [field.passed_on for field in fields] == [False, False, False, True]
    assert fields[2].facts == ("One of `x`",)
