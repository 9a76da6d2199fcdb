"""Named statements: `.sql` files stay reviewable as SQL and are read once.

A statement starts at a line `-- name: it` and ends at the next such line. The columns of a struct
stand in it as `{hold}`; as `{hold:h}` they are those of the table's alias `h`, and as
`{hold:values}` the parameters of the same names, `:account_id, :id, …`.
"""

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple

import msgspec

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![\w:]):([a-z]\w*)")


def load_statements(
    package: str, file: str, structs: Mapping[str, type[msgspec.Struct]]
) -> dict[str, str]:
    """The statements of one file of a package, by name, without comments and semicolons.

    `structs` has the structs whose columns a statement may name.
    """
    columns = {name: _Columns(struct.__struct_fields__) for name, struct in structs.items()}
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    bodies = (re.sub(r"--.*", "", body).strip().rstrip(";") for body in parts[1::2])
    return {name: body.format_map(columns) for name, body in zip(parts[0::2], bodies, strict=True)}


class _Columns:
    """The names of a struct's fields, as `str.format` puts them into a statement."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __format__(self, form: str) -> str:
        match form:
            case "":
                before = ""
            case "values":
                before = ":"
            case alias:
                before = f"{alias}."
        return ", ".join(f"{before}{name}" for name in self._names)


class BoundStatement(NamedTuple):
    """A statement with `?` for its parameters, and their names in the order of the marks."""

    sql: str
    names: tuple[str, ...]


def bind(statement: str) -> BoundStatement:
    """Give the named parameters of a statement an order: rows then need no look-up by name."""
    names = tuple(_PARAMETER.findall(statement))
    return BoundStatement(_PARAMETER.sub("?", statement), names)
