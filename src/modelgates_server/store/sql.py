"""Named statements in `.sql` files, which can be reviewed as SQL and are read once.

A statement starts at a line `-- name: it` and ends at the next such line. `{hold}` inserts the
columns of a struct, `{hold:h}` the columns of the table alias `h`, and `{hold:values}` the
parameters with the same names, `:account_id, :id, …`.
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

    `structs` are the structs whose columns statements may insert.
    """
    columns = {name: _Columns(struct.__struct_fields__) for name, struct in structs.items()}
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    bodies = (re.sub(r"--.*", "", body).strip().rstrip(";") for body in parts[1::2])
    return {name: body.format_map(columns) for name, body in zip(parts[0::2], bodies, strict=True)}


class _Columns:
    """The names of a struct's fields, in the form that `str.format` inserts into a statement."""

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
    """A statement with `?` for its parameters, and their names in the same order."""

    sql: str
    names: tuple[str, ...]


def bind(statement: str) -> BoundStatement:
    """Turn named parameters into positional ones, so that rows need no lookup by name."""
    names = tuple(_PARAMETER.findall(statement))
    return BoundStatement(_PARAMETER.sub("?", statement), names)
