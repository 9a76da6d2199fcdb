"""The Markdown twin of an operation's page, in the order of the document that this project is of.

That is: title, request line, description, reference, the specification of this operation alone,
samples.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.reference.operations import Operation
from modelgates_server.docsite.samples import Sample
from modelgates_server.docsite.schemas import Schema, resolved

SPECIFICATION, SAMPLES = "OpenAPI Specification", "SDK Code Examples"

_ORDER = ["schemas", "responses", "parameters", "headers", "examples", "securitySchemes"]
_WIDTH = 100


def twin(
    document: Schema, operation: Operation, description: str, samples: Iterable[Sample]
) -> str:
    """The page of an operation; `description` has its links in it."""
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
    for sample in samples:
        parts += [f"{sample.label}: {sample.note}", fenced(sample.highlight, sample.code)]
    return "\n\n".join(parts) + "\n"


def fenced(language: str, code: str) -> str:
    """A block of code, whatever is in it."""
    ticks = max((len(run) for run in re.findall(r"^ *(`{3,})", code, re.MULTILINE)), default=2)
    fence = "`" * (ticks + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"


def specification_of(document: Schema, operation: Operation) -> Schema:
    """An OpenAPI document of this operation alone, with all it refers to."""
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
        "paths": paths,
        "servers": document["servers"],
        "security": security,
        "components": {group: members for group, members in components.items() if members},
    }


def references(document: Schema, value: Any) -> list[str]:
    """All that a part of a document refers to, and what that refers to, in the order of reading."""
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
    """Writes YAML that every reader knows, with long texts as people write them."""

    def ignore_aliases(self, _: Any) -> bool:
        """What is shared is written out."""
        return True


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif " " in text and len(text) > _WIDTH * 3 // 5:
        style = ">"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
