"""How programming languages write strings and JSON values."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

WIDTH = 56
"""Columns of a line of code. The samples are next to the text, in half the width of the page."""

_NAMED = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


class Quotes(msgspec.Struct, frozen=True):
    """A kind of string literal.

    The mark, the backslash, line ends and the tab are escaped in every language. `escapes` adds
    other characters; `numbered` writes any other invisible character by its code point.
    """

    mark: str
    numbered: Callable[[int], str]
    escapes: Mapping[str, str] = {}

    def quote(self, text: str) -> str:
        """The literal of a string, on one line."""
        written = {**_NAMED, self.mark: f"\\{self.mark}", **self.escapes}
        inner = [written.get(c) or (c if c.isprintable() else self.numbered(ord(c))) for c in text]
        return "".join([self.mark, *inner, self.mark])


def curly_and_square(value: Any) -> tuple[str, str]:
    """The brackets that most languages put around objects and arrays."""
    return ("{", "}") if isinstance(value, dict) else ("[", "]")


class Notation(msgspec.Struct, frozen=True):
    """How a language writes JSON values.

    `scalar` writes strings, numbers, booleans and null, `key` a field's name with the separator
    after it, and `brackets` returns the brackets around an object or array. A value of several
    lines has its items indented by `step`, and `last` follows the last of them.
    """

    scalar: Callable[[Any], str]
    key: Callable[[str], str]
    brackets: Callable[[Any], tuple[str, str]] = curly_and_square
    step: str = "  "
    last: str = ""

    def write(self, value: Any, indent: str = "", used: int = 0) -> str:
        """A value on one line if it fits after `used` columns, otherwise with a line for each item.

        `indent` is that of the line on which the value starts.
        """
        if not isinstance(value, dict | list):
            return self.scalar(value)
        opening, closing = self.brackets(value)
        items = self._items(value)
        flat = opening + ", ".join(start + self.write(item) for start, item in items) + closing
        fits = "\n" not in flat and len(indent) + used + len(flat) <= WIDTH
        if fits or not items:
            return flat
        inner = indent + self.step
        lines = ",\n".join(
            inner + start + self.write(item, inner, len(start)) for start, item in items
        )
        return f"{opening.rstrip()}\n{lines}{self.last}\n{indent}{closing.lstrip()}"

    def _items(self, value: dict[str, Any] | list[Any]) -> list[tuple[str, Any]]:
        if isinstance(value, dict):
            return [(self.key(name), item) for name, item in value.items()]
        return [("", item) for item in value]


def json_scalar(value: Any) -> str:
    """JSON without invisible characters: some languages read one as the end of a line."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


JSON = Notation(scalar=json_scalar, key=lambda name: f"{json_scalar(name)}: ")
"""JSON itself. It never has three quotation marks in a row, which end a string in Java or Swift."""
