"""The structs that go over the wire, each with the name of its schema."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import msgspec

from modelgates_server.web import api
from tests.web.document import our_document

SCHEMAS: dict[str, Any] = our_document()["components"]["schemas"]
ENDINGS = ("Response", "Description", "Item")
"""What a class's name may have after its schema's: `KeyResponse` is `Key`."""


def structs() -> Iterator[type[msgspec.Struct]]:
    """Those of `web.api`, but for the ones that only others inherit."""
    for module in pkgutil.iter_modules(api.__path__):
        found = vars(importlib.import_module(f"{api.__name__}.{module.name}"))
        for value in found.values():
            is_struct = isinstance(value, type) and issubclass(value, msgspec.Struct)
            if is_struct and value.__module__.startswith(api.__name__) and value.__name__[0] != "_":
                yield value


def schema_of(struct: type[msgspec.Struct]) -> str | None:
    """The name of its schema, None where it stands within those of others."""
    name = struct.__name__
    names = [name, *(name.removesuffix(end) for end in ENDINGS if name.endswith(end))]
    return next((each for each in names if each in SCHEMAS), None)


STRUCTS = {struct.__name__: struct for struct in structs()}
