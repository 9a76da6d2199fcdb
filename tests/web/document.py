"""The OpenAPI document, read as a client reads it, and checks of responses against it."""

from functools import cache
from http import HTTPMethod
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import document_at

SEED: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_name("seed_get_credits.openapi.yaml").read_text("utf-8")
)
# The seed fixes the responses of /credits, so the document names this one in `info.description`.
_ANYWHERE = {503: "ServiceUnavailable"}
_VERBS = {verb.lower() for verb in HTTPMethod}


@cache
def our_document() -> dict[str, Any]:
    return document_at(ORIGIN)


def operations_of(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path from the root of the server, and definition of every operation."""
    base = urlsplit(document["servers"][0]["url"]).path
    return [
        (verb.upper(), path if "servers" in item else base + path, operation)
        for path, item in document["paths"].items()
        for verb, operation in item.items()
        if verb in _VERBS
    ]


def referenced(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """The value with its `$ref` resolved; its siblings override the target (as in `docsite`)."""
    while "$ref" in value:
        target: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        value = {**target, **{name: own for name, own in value.items() if name != "$ref"}}
    return value


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Validator:
    """Validates values against one schema of a document, formats included."""
    registry = Registry().with_resource(
        "urn:document", Resource.from_contents(document, default_specification=DRAFT202012)
    )
    return Draft202012Validator(
        _absolute(schema), registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def check_answer(operation: dict[str, Any], answer: httpx.Response) -> None:
    """Asserts that the document describes a response: its status, headers and body."""
    document = our_document()
    described = operation["responses"].get(str(answer.status_code))
    if described is None:
        assert answer.status_code in _ANYWHERE, f"{answer.status_code} is not described"
        described = document["components"]["responses"][_ANYWHERE[answer.status_code]]
    described = referenced(document, described)
    for name, referring in described.get("headers", {}).items():
        header = referenced(document, referring)
        if name not in answer.headers:
            assert not header.get("required"), f"{name} is promised"
            continue
        schema, value = referenced(document, header["schema"]), answer.headers[name]
        validator(document, schema).validate(int(value) if schema["type"] == "integer" else value)
    media_type = answer.headers["content-type"].partition(";")[0]
    schema = described["content"][media_type]["schema"]
    if media_type == "application/json":
        validator(document, schema).validate(answer.json())


def _absolute(value: Any) -> Any:
    """Makes the references of a schema absolute, so that they resolve outside of the document."""
    if isinstance(value, dict):
        return {
            name: f"urn:document{inner}" if name == "$ref" else _absolute(inner)
            for name, inner in value.items()
        }
    return [_absolute(inner) for inner in value] if isinstance(value, list) else value
