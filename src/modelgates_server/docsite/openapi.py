"""The description of our API. It is written by hand in openapi.yaml; tests hold us to it."""

import json
from importlib import resources
from typing import Any

import yaml

BASE_PATH = "/api/v1"

# Those in C are some ten times as fast; not every build of the package has them.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def document_at(public_url: str) -> dict[str, Any]:
    """The document for a server at an address, without a slash at its end; empty for none."""
    text = resources.files(__package__).joinpath("openapi.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.load(text, _LOADER)  # noqa: S506 - both are safe
    document["servers"] = [{"url": f"{public_url}{BASE_PATH}"}]
    for path in document["paths"].values():
        if "servers" in path:  # operations outside the base path
            path["servers"] = [{"url": public_url or "/"}]
    return document


def as_yaml(document: bytes) -> bytes:
    """JSON as YAML. Nothing is shared in JSON, and not every reader of YAML knows aliases."""
    written: str = yaml.dump(
        json.loads(document), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=100
    )
    return written.encode()
