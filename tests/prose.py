"""The prose of the project: documents, docstrings, comments and messages, with their lines."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

NumberedLine = tuple[int, str]

_CODE_SPAN = re.compile(r"`[^`]*`|\]\([^)\s]*\)|https?://\S+")
_FENCE = re.compile(r"^\s*(```|~~~)")


def prose_in(path: Path, *, messages: bool) -> Iterator[NumberedLine]:
    """The lines of a file that people read as English, without code spans and addresses.

    `messages` includes the strings of Python code that contain a space; in tests those are input
    and expected output.
    """
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        lines = _python(text, messages=messages)
    elif path.suffix == ".md":
        lines = _markdown(text)
    else:
        lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        yield number, _CODE_SPAN.sub("CODE", line)


def _markdown(text: str) -> Iterator[NumberedLine]:
    is_code = False
    for number, line in enumerate(text.splitlines(), start=1):
        if _FENCE.match(line):
            is_code = not is_code
        elif not is_code:
            yield number, line


def _python(text: str, *, messages: bool) -> Iterator[NumberedLine]:
    docstrings = _docstring_lines(text)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "COMMENT":
            yield token.start[0], token.string
        elif kind in ("STRING", "FSTRING_MIDDLE") and " " in token.string:
            for number, line in enumerate(token.string.splitlines(), start=token.start[0]):
                if messages or number in docstrings:
                    yield number, line.strip(' "')


def _docstring_lines(text: str) -> set[int]:
    """The lines of all strings that are statements: docstrings, also those of constants."""
    return {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
