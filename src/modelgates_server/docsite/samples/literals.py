"""How programming languages write texts and JSON values."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

WIDTH = 88
_NAMED = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


class Quotes(msgspec.Struct, frozen=True):
    """A kind of string literal.

    `escapes` has what is written for characters beside the mark, the backslash, the line ends and
    the tab; `numbered` writes any other character that cannot be seen, by its code point.
    """

    mark: str
    numbered: Callable[[int], str]
    escapes: Mapping[str, str] = {}

    def quote(self, text: str) -> str:
        """The literal of a text, on one line."""
        written = {**_NAMED, self.mark: f"\\{self.mark}", **self.escapes}
        inner = [written.get(c) or (c if c.isprintable() else self.numbered(ord(c))) for c in text]
        return "".join([self.mark, *inner, self.mark])


def curly_and_square(value: Any) -> tuple[str, str]:
    """What most languages have around members and around items."""
    return ("{", "}") if isinstance(value, dict) else ("[", "]")


class Notation(msgspec.Struct, frozen=True):
    """How a language writes JSON values.

    `scalar` writes texts, numbers, truth values and null, `key` a member's name with what stands
    between it and the value, `brackets` what stands around an object or array. `step` is how far
    the items of a value of several lines are indented, `last` what ends the last of them.
    """

    scalar: Callable[[Any], str]
    key: Callable[[str], str]
    brackets: Callable[[Any], tuple[str, str]] = curly_and_square
    step: str = "  "
    last: str = ""

    def write(self, value: Any, indent: str = "", used: int = 0) -> str:
        """A value on one line if it fits behind `used` columns, else with a line for each item.

        `indent` is that of the line on which it starts.
        """
        if not isinstance(value, dict | list):
            return self.scalar(value)
        opening, closing = self.brackets(value)
        items = self._items(value)
        flat = opening + ", ".join(start + self.write(item) for start, item in items) + closing
        if "\n" not in flat and len(indent) + used + len(flat) <= WIDTH:
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
    """JSON without a character that cannot be seen: languages may take one for a line's end."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


JSON = Notation(scalar=json_scalar, key=lambda name: f"{json_scalar(name)}: ")
"""JSON itself. It never has three quotation marks in a row, which end a text in many languages."""
