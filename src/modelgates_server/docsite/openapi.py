"""The description of the API. It is written by hand in openapi.yaml, and tests verify it."""

import json
from importlib import resources
from typing import Any

import yaml

from modelgates_server.docsite.schemas import Schema, resolved

BASE_PATH = "/api/v1"

# The C versions are about ten times as fast, but not every build of the package has them.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def document_at(url: str) -> dict[str, Any]:
    """The document for a server at an address without a trailing slash."""
    text = resources.files(__package__).joinpath("openapi.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.load(text, _LOADER)  # noqa: S506 - both are safe
    document["servers"] = [{"url": f"{url}{BASE_PATH}"}]
    for path in document["paths"].values():
        if "servers" in path:  # operations outside the base path
            path["servers"] = [{"url": url}]
    return document


def document_for_generators(url: str) -> dict[str, Any]:
    """The document for programs that generate clients.

    The seed's operation has three details that make generated clients worse: a parameter for the
    key, although `security` already asks for it; a response without the fields that a header adds;
    and a tag that is an identifier. This document treats the operation like all others.
    """
    document = document_at(url)
    names = {tag["name"]: tag.get("x-displayName", tag["name"]) for tag in document["tags"]}
    for tag in document["tags"]:
        tag["name"] = names[tag["name"]]
    for item in document["paths"].values():
        for operation in (each for each in item.values() if isinstance(each, dict)):
            operation["tags"] = [names[tag] for tag in operation["tags"]]
            if "parameters" in operation:
                operation["parameters"] = [
                    parameter
                    for parameter in operation["parameters"]
                    if parameter.get("name") != "Authorization"
                ]
        for parameter in item.get("parameters", ()):
            if "x-adds" in parameter:
                _add_members(document, item["get"]["responses"]["200"], parameter["x-adds"])
    return document


def _add_members(document: dict[str, Any], answer: Schema, members: Schema) -> None:
    """Add fields to the schema of a response in place: `resolved` returns shared dictionaries."""
    resolved(document, answer["content"]["application/json"]["schema"])["properties"].update(
        members
    )


def as_yaml(document: bytes) -> bytes:
    """JSON as YAML, without aliases, which some readers of YAML do not support."""
    written: str = yaml.dump(
        json.loads(document), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=100
    )
    return written.encode()
