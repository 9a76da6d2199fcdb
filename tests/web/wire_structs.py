"""The structs of responses and requests, each with the name of its schema."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import msgspec

from modelgates_server.web import api
from tests.web.document import our_document

SCHEMAS: dict[str, Any] = our_document()["components"]["schemas"]
ENDINGS = ("Response", "Description", "Item")
"""Suffixes of class names that schema names do not have: `KeyResponse` is `Key`."""


def structs() -> Iterator[type[msgspec.Struct]]:
    """The structs of `web.api`, except private base classes."""
    for module in pkgutil.iter_modules(api.__path__):
        names = vars(importlib.import_module(f"{api.__name__}.{module.name}"))
        for value in names.values():
            is_struct = isinstance(value, type) and issubclass(value, msgspec.Struct)
            if is_struct and value.__module__.startswith(api.__name__) and value.__name__[0] != "_":
                yield value


def schema_of(struct: type[msgspec.Struct]) -> str | None:
    """The name of the struct's schema; None if it is inlined in other schemas."""
    name = struct.__name__
    names = [name, *(name.removesuffix(end) for end in ENDINGS if name.endswith(end))]
    return next((each for each in names if each in SCHEMAS), None)


STRUCTS = {struct.__name__: struct for struct in structs()}
