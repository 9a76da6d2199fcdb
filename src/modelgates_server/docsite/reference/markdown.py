"""The Markdown twin of an operation's page.

Its order is that of the page from which this project started: title, request line, description,
reference, the specification of this operation alone, samples.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.reference.operations import Operation
from modelgates_server.docsite.samples import Sample
from modelgates_server.docsite.samples.request import request_of
from modelgates_server.docsite.schemas import Schema, plain_number, resolved

SPECIFICATION, SAMPLES = "OpenAPI Specification", "SDK Code Examples"

_ORDER = ["schemas", "responses", "parameters", "headers", "examples", "securitySchemes"]
_WIDTH = 100


def twin(
    document: Schema, operation: Operation, description: str, samples: Iterable[Sample]
) -> str:
    """The page of an operation; `description` already contains its links."""
    specification = yaml.dump(
        specification_of(document, operation),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=_WIDTH,
    )
    parts = [
        f"# {operation.title}",
        f"{operation.method} {operation.url}",
        description,
        f"Reference: {ORIGIN}/docs/{operation.page}",
        f"## {SPECIFICATION}",
        fenced("yaml", specification),
        f"## {SAMPLES}",
    ]
    if operation.credential:
        token = request_of(document, operation.path, operation.method).token
        parts.append(f"Set `{token}` to {operation.credential}.")
    for sample in samples:
        parts += [f"{sample.label}: {sample.note}", fenced(sample.highlight, sample.code)]
    return "\n\n".join(parts) + "\n"


def fenced(language: str, code: str) -> str:
    """A block of code, with a fence longer than any inside it."""
    ticks = max((len(run) for run in re.findall(r"^ *(`{3,})", code, re.MULTILINE)), default=2)
    fence = "`" * (ticks + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"


def specification_of(document: Schema, operation: Operation) -> Schema:
    """An OpenAPI document of this operation alone, with everything that it refers to.

    Required parameters and fields come first.
    """
    item = document["paths"][operation.path]
    verb = operation.method.lower()
    shared = {name: item[name] for name in ("parameters", "servers") if name in item}
    paths = {operation.path: {verb: item[verb], **shared}}
    info = {name: document["info"][name] for name in ("title", "version")}
    security = item[verb].get("security", document["security"])
    components: dict[str, dict[str, Any]] = {group: {} for group in _ORDER}
    for reference in references(document, paths):
        group, name = reference.split("/")[-2:]
        components[group][name] = document["components"][group][name]
    for scheme in {name for requirement in security for name in requirement}:
        schemes = document["components"]["securitySchemes"]
        components["securitySchemes"][scheme] = schemes[scheme]
    return {
        "openapi": document["openapi"],
        "info": info,
        "paths": _required_first(paths),
        "servers": document["servers"],
        "security": security,
        "components": {
            group: _required_first(members) for group, members in components.items() if members
        },
    }


def _required_first(value: Any) -> Any:
    """The same part of a document, with required parameters and fields before the others."""
    if isinstance(value, list):
        return [_required_first(item) for item in value]
    if not isinstance(value, dict):
        return value
    ordered = {name: _required_first(item) for name, item in value.items()}
    fields, parameters = ordered.get("properties"), ordered.get("parameters")
    if isinstance(fields, dict) and isinstance(required := value.get("required"), list):
        names = sorted(fields, key=lambda name: name not in required)
        ordered["properties"] = {name: fields[name] for name in names}
    if isinstance(parameters, list):
        ordered["parameters"] = sorted(parameters, key=lambda each: not each.get("required", False))
    return ordered


def references(document: Schema, value: Any) -> list[str]:
    """Everything that a part of a document refers to, directly or not, in the order of reading."""
    seen = dict[str, None]()
    waiting = [*_direct(value)]
    while waiting:
        reference = waiting.pop(0)
        if reference not in seen:
            seen[reference] = None
            waiting += _direct(resolved(document, {"$ref": reference}))
    return [*seen]


def _direct(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _direct(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == "$ref":
                yield item
            else:
                yield from _direct(item)


class _Dumper(yaml.SafeDumper):
    """Writes YAML without aliases, and long texts as blocks."""

    def ignore_aliases(self, _: Any) -> bool:
        """Shared values are written out."""
        return True


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif " " in text and len(text) > _WIDTH * 3 // 5:
        style = ">"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _write_number(dumper: _Dumper, number: float) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", plain_number(number))


_Dumper.add_representer(str, _write_text)
_Dumper.add_representer(float, _write_number)
