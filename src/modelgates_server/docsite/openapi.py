"""The description of our API. It is written by hand in openapi.yaml; tests hold us to it."""

import json
from importlib import resources
from typing import Any

import yaml

from modelgates_server.docsite.schemas import Schema, resolved

BASE_PATH = "/api/v1"

# Those in C are some ten times as fast; not every build of the package has them.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def document_at(url: str) -> dict[str, Any]:
    """The document for a server at an address, without a slash at its end."""
    text = resources.files(__package__).joinpath("openapi.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.load(text, _LOADER)  # noqa: S506 - both are safe
    document["servers"] = [{"url": f"{url}{BASE_PATH}"}]
    for path in document["paths"].values():
        if "servers" in path:  # operations outside the base path
            path["servers"] = [{"url": url}]
    return document


def document_for_generators(url: str) -> dict[str, Any]:
    """The same for programs that write clients.

    The seed fixes three things of its operation that generated clients are better off without:
    a parameter for the key, which `security` asks for already; an answer that does not name what
    a header adds to it; and a tag that is no name for people. Here they are as in the others.
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
    """To the schema of an answer itself; what `resolved` gives shares its members with it."""
    resolved(document, answer["content"]["application/json"]["schema"])["properties"].update(
        members
    )


def as_yaml(document: bytes) -> bytes:
    """JSON as YAML. Nothing is shared in JSON, and not every reader of YAML knows aliases."""
    written: str = yaml.dump(
        json.loads(document), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=100
    )
    return written.encode()
