"""Rules of the document for client generators; `make test-generators` runs seven of them.

Each rule exists because one of them left a type out, rejected the document or wrote code that does
not compile: see docs/decisions/0021.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import document_at, document_for_generators
from tests.web.document import SEED, operations_of, referenced

Schema = dict[str, Any]
DOCUMENTS = {"plain": document_at(ORIGIN), "generators": document_for_generators(ORIGIN)}
both = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)


def schemas_in(value: Any, place: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema below a value of the document, with its path; examples contain none."""
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from schemas_in(inner, f"{place}/{number}")
    if not isinstance(value, dict):
        return
    if "type" in value or "$ref" in value or "oneOf" in value:
        yield place, value
    for name, inner in value.items():
        if name not in {"example", "examples", "enum", "const", "discriminator"}:
            yield from schemas_in(inner, f"{place}/{name}")


def all_schemas(document: Schema) -> Iterator[tuple[str, Schema]]:
    yield from schemas_in(document["paths"], "paths")
    yield from schemas_in(document["components"], "components")


def types_of(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def properties_of(document: Schema) -> Iterator[tuple[str, str, Schema, Schema]]:
    """Path, name, schema and parent of every property of an object."""
    for place, schema in all_schemas(document):
        for name, member in schema.get("properties", {}).items():
            yield f"{place}.{name}", name, member, schema


@both
def test_document_is_valid_openapi_3_1(document: Schema) -> None:
    jsonschema_rs.validator_for(OPENAPI_31).validate(document)


@both
def test_no_property_has_type_null_alone(document: Schema) -> None:
    members = [*properties_of(document)]
    assert len(members) > 300
    assert not [place for place, _, member, _ in members if types_of(member) == ["null"]]


@both
def test_every_array_describes_its_items(document: Schema) -> None:
    arrays = [(place, s) for place, s in all_schemas(document) if "array" in types_of(s)]
    assert len(arrays) > 30
    assert not [place for place, schema in arrays if not schema.get("items")]


@both
def test_object_and_array_schemas_have_no_other_type_than_null(
    document: Schema,
) -> None:
    # OpenAPI Generator reads several types as alternatives, but not if these are among them.
    for place, schema in all_schemas(document):
        types = {*types_of(schema)} - {"null"}
        assert len(types) <= 1 or not types & {"object", "array"}, place


@both
def test_referenced_schema_is_not_an_object_or_null(document: Schema) -> None:
    # openapi-python-client makes no class of it, and leaves out all schemas that refer to it.
    for name, schema in document["components"]["schemas"].items():
        assert not {"object", "null"} <= {*types_of(schema)}, name


@both
def test_boolean_has_no_const_or_enum(document: Schema) -> None:
    # OpenAPI Generator writes it into Java as a string; openapi-python-client rejects an enum.
    for place, schema in all_schemas(document):
        assert "boolean" not in types_of(schema) or not {"const", "enum"} & schema.keys(), place


@both
def test_properties_have_no_default_and_parameters_with_default_are_optional(
    document: Schema,
) -> None:
    for place, name, member, holder in properties_of(document):
        # openapi-typescript requires every property with a default: descriptions name it instead.
        assert "default" not in member, place
        assert name not in holder.get("required", ()) or "default" not in member, place
    for method, path, operation in operations_of(document):
        for parameter in operation.get("parameters", ()):
            described = referenced(document, parameter)
            assert not (described.get("required") and "default" in described["schema"]), (
                f"{method} {path} {described['name']}"
            )


@both
def test_server_urls_are_absolute(document: Schema) -> None:
    items = [document, *(item for item in document["paths"].values() if "servers" in item)]
    assert len(items) > 4
    for item in items:
        for server in item["servers"]:
            assert urlsplit(server["url"]).scheme == "https"


@both
def test_no_schema_has_the_name_of_a_go_constructor(document: Schema) -> None:
    # In Go, the constructor of Key is NewKey.
    names = document["components"]["schemas"].keys()
    assert not {f"New{name}" for name in names} & names


@both
def test_shortfall_metadata_is_discriminated_by_reason(document: Schema) -> None:
    schemas = document["components"]["schemas"]
    shortfall = schemas["ShortfallMetadata"]
    alternatives = [one["$ref"] for one in shortfall["oneOf"]]
    discriminator = shortfall["discriminator"]
    assert discriminator["propertyName"] == "reason"
    assert {*discriminator["mapping"].values()} == {*alternatives}
    mapping = {
        reason: alternative
        for alternative in alternatives
        for reason in reasons_of(document, schemas[alternative.rpartition("/")[2]])
    }
    assert mapping == discriminator["mapping"]
    assert schemas["KeyLimitMetadata"]["properties"]["reason"]["const"] == "key_limit_exceeded"


def reasons_of(document: Schema, schema: Schema) -> list[str]:
    """The values of `reason`, which the schema requires."""
    assert "reason" in schema["required"]
    reason = schema["properties"]["reason"]
    # Go code checks only the values of a named schema, and so distinguishes the alternatives.
    assert "$ref" in reason
    return list(referenced(document, reason)["enum"])


@both
def test_tags_have_readable_names(document: Schema) -> None:
    used = {tag for *_, operation in operations_of(document) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}
    for tag in document["tags"]:
        name = tag.get("x-displayName", tag["name"])
        assert name[0].isupper()
        assert "_" not in name
        assert tag["description"]


def test_only_tag_of_the_seed_has_an_unreadable_name() -> None:
    (tag,) = [tag for tag in DOCUMENTS["plain"]["tags"] if "_" in tag["name"]]
    assert [tag["name"]] == SEED["paths"]["/credits"]["get"]["tags"]
    assert not [tag for tag in DOCUMENTS["generators"]["tags"] if "_" in tag["name"]]


def test_key_is_requested_by_security_alone() -> None:
    names = {
        referenced(DOCUMENTS["generators"], parameter)["name"]
        for item in DOCUMENTS["generators"]["paths"].values()
        for operation in [item, *item.values()]
        if isinstance(operation, dict)
        for parameter in operation.get("parameters", ())
    }
    assert "Idempotency-Key" in names
    assert "Authorization" not in names
    for document in DOCUMENTS.values():
        assert document["security"] == [{"apiKey": []}]
        assert "security" not in document["paths"]["/credits"]["get"]


def test_credits_response_describes_the_fields_that_a_header_adds() -> None:
    (schema,) = {
        content["schema"]["$ref"].rpartition("/")[2]
        for content in DOCUMENTS["generators"]["paths"]["/credits"]["get"]["responses"]["200"][
            "content"
        ].values()
    }
    answer = DOCUMENTS["generators"]["components"]["schemas"][schema]
    assert answer["required"] == ["data"]
    assert answer["properties"]["modelgates_metadata"] == {
        "$ref": "#/components/schemas/CreditsMetadata"
    }


def test_generators_document_differs_only_where_the_seed_is_fixed() -> None:
    plain, ours = deepcopy(DOCUMENTS["plain"]), deepcopy(DOCUMENTS["generators"])
    for document in (plain, ours):
        operation = document["paths"]["/credits"]["get"]
        for member in ("parameters", "tags"):
            del operation[member]
        for tag in document["tags"]:
            tag["name"] = tag.get("x-displayName", tag["name"])
        del document["components"]["schemas"]["Credits_getCredits_Response_200"]
    assert ours == plain
