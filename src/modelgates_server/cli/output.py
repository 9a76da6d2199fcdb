"""The output of commands: JSON for scripts, tables for people; messages go to standard error.

In JSON, amounts are exact decimals of US dollars as text, and times are ISO 8601 in UTC.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.keys import without_keys
from modelgates_server.core.times import format_instant

Record = Mapping[str, Any]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")]

_TABLE_WIDTH = 10_000


def examples(*lines: str) -> str:
    """Returns the end of a command's help. The backspace keeps the lines from being wrapped."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def show(record: Record, as_json: bool) -> None:
    """Prints one record: one line of JSON, or one line for each field."""
    if as_json:
        print_json(record)
    else:
        _print_table((), [(_title(name), _cell(value)) for name, value in record.items()])


def show_all(records: Sequence[Record], columns: Sequence[str], as_json: bool) -> None:
    """Prints records of one kind: a JSON array on one line, or a table of the given columns."""
    if as_json:
        print_json(records)
    else:
        cells = [[_cell(record[name]) for name in columns] for record in records]
        _print_table([_title(name) for name in columns], cells)


def print_json(value: Record | Sequence[Record]) -> None:
    """Prints one line, always in UTF-8. Bytes of file names that are not UTF-8 are escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    typer.echo(text.encode("utf-8", "backslashreplace"))


@contextmanager
def text_output(file: str) -> Iterator[Callable[[str], object]]:
    """Writes UTF-8 text to standard output, for `-`, or to a new file that only its owner may read.

    It never overwrites a file, and deletes the new one if the output fails halfway.
    """
    if file == "-":
        stream = typer.get_binary_stream("stdout")
        yield lambda text: stream.write(text.encode())
        stream.flush()
        return
    path = Path(file)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
        try:
            yield opened.write
        except BaseException:
            path.unlink()
            raise


def printable(text: str) -> str:
    """Returns text with escapes for characters that terminals act on or that reorder others."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def say(text: str) -> None:
    """Prints text for people. Values in it must not contain line breaks."""
    typer.echo(_lines(text))


def note(text: str) -> None:
    """Prints a message for people on standard error: scripts read standard output."""
    typer.echo(_lines(text), err=True)


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def counted(count: int, noun: str) -> str:
    """Returns a number with its noun, in the singular or plural: `1 entry`, `2 entries`."""
    if count != 1:
        noun = f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun}"


def fail(reason: str) -> NoReturn:
    """Ends the command with exit code 1 and a one-line reason."""
    note(f"Error: {printable(without_keys(reason))}")
    sys.exit(1)


def instant(at_ms: int | None) -> str | None:
    """Returns an instant in the form that commands print; None stays None."""
    return None if at_ms is None else format_instant(at_ms)


def confirm(question: str, yes: bool) -> None:
    """Returns if a person confirms; raises `InvalidInput` if not, or if there is no terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(
            "This cannot be undone and needs a confirmation. Without a terminal, pass --yes."
        )
    typer.echo(f"{printable(question)} [y/N] ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise InvalidInput("Not confirmed. Nothing was changed.")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Shows the progress of long work in one line, only on a terminal, and clears it at the end."""
    is_terminal = sys.stderr.isatty()

    def report(text: str) -> None:
        if is_terminal:
            typer.echo(f"\r{text}\x1b[K", nl=False, err=True)

    try:
        yield report
    finally:
        report("")


def _title(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else printable(str(value))


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # Imported here so that commands with --json start faster.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(*titles, box=None, show_header=bool(titles), pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    # Wider than any screen and without markup, so that ids are never cut and names never changed.
    console = Console(width=_TABLE_WIDTH, markup=False, emoji=False, highlight=False)
    with console.capture() as printed:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))
