"""What people are told of a schema: everything that is in it, and an end of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from modelgates_server.docsite.schemas import Shape, either, shape_of
from tests.docsite.test_openapi import nodes
from tests.web.document import our_document

TOLD = {"type", "title", "description", "properties", "required", "items", "enum", "const"}
TOLD |= {"default", "format", "pattern", "minimum", "maximum", "minLength", "maxLength"}
TOLD |= {"minItems", "maxItems", "minProperties", "maxProperties", "deprecated", "oneOf", "$ref"}
TOLD |= {"additionalProperties", "discriminator", "x-documented"}
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


def all_of(one: Shape) -> Iterator[Shape]:
    yield one
    for member in one.members:
        yield from all_of(member)


def test_what_stands_beside_a_reference_holds_and_the_rest_is_that_of_the_schema() -> None:
    told = shape(**{"$ref": "#/components/schemas/Money", "description": "What it costs"})
    assert (told.description, told.kind) == ("What it costs", "string")
    assert told.facts == ("Matches `^[0-9]+$`",)
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
def test_the_kind_of_a_value_says_all_it_can_be(schema: dict[str, Any], kind: str) -> None:
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
        ({"maxProperties": 0}, "At most 0 fields"),
        ({"pattern": "^a$"}, "Matches `^a$`"),
        ({"additionalProperties": True}, "May have other fields"),
        ({"additionalProperties": {"description": "x"}}, "May have other fields"),
    ],
)
def test_a_rule_for_a_value_is_told(schema: dict[str, Any], fact: str) -> None:
    assert shape(**schema).facts == (fact,)


def test_an_object_without_other_members_says_nothing_of_them() -> None:
    assert shape(type="object", additionalProperties=False).facts == ()
    assert shape(type="object").facts == ()


def test_members_are_those_of_the_object_and_know_whether_they_are_needed() -> None:
    told = shape(
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
    by_name = {member.name: member for member in told.members}
    assert [*by_name] == ["id", "old", "lines"]
    assert [member.required for member in told.members] == [True, False, False]
    assert [member.deprecated for member in told.members] == [False, True, False]
    assert [member.name for member in by_name["lines"].members] == ["what"]


def test_members_of_any_name_are_told_with_what_they_are() -> None:
    [member] = shape(type="object", additionalProperties={"type": "integer"}).members
    assert (member.name, member.kind, member.required) == ("*", "integer", False)


def test_alternatives_are_told_one_by_one() -> None:
    money = {"$ref": "#/components/schemas/Money"}
    other = {"type": "object", "properties": {"a": {"type": "string"}}}
    told = shape(oneOf=[money, other, {"type": "null"}])
    assert told.kind == "string, object or null"
    assert [member.name for member in told.members] == ["Money", "object"]
    assert [member.name for member in told.members[1].members] == ["a"]


def test_what_is_within_itself_ends() -> None:
    told = shape(**{"$ref": "#/components/schemas/Tree"})
    members = {member.name: member for member in told.members}
    assert [*members] == ["left", "right", "leaves", "named"]
    for name in ("left", "right", "leaves"):
        assert members[name].members == ()
        assert members[name].facts == ("As `Tree` above",)
    [named] = members["named"].members
    assert (named.members, named.facts) == ((), ("As `Tree` above",))
    assert members["right"].kind == "object or null"


def test_a_schema_beside_itself_is_told_twice() -> None:
    money = {"$ref": "#/components/schemas/Money"}
    told = shape(type="object", properties={"a": money, "b": money})
    assert [member.facts for member in told.members] == [("Matches `^[0-9]+$`",)] * 2


def test_a_list_of_kinds_reads_like_a_sentence() -> None:
    assert either(["a"]) == "a"
    assert either(["a", "b", "a"]) == "a or b"
    assert either(["a", "b", "c"]) == "a, b or c"


def test_no_schema_of_ours_says_what_is_not_told(subtests: pytest.Subtests) -> None:
    document = our_document()
    for name, schema in document["components"]["schemas"].items():
        with subtests.test(name):
            told = shape_of(document, schema)
            assert len([*all_of(told)]) > 0
            used = {
                keyword
                for place, node in nodes(schema)
                # Under these stand names of members, and values.
                if not place.endswith(("/properties", "/x-documented", "/default", "/const"))
                # What it says of the alternatives is in each of them as well.
                and "/discriminator" not in place
                and isinstance(node, dict)
                for keyword in node
            }
            assert used <= TOLD


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
