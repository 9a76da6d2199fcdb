"""What commands print: JSON for scripts, tables for people, everything else on standard error.

In JSON, amounts are exact decimals of dollars as text, instants are ISO 8601 in UTC.
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
from modelgates_server.core.times import format_instant

Record = Mapping[str, Any]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]

_TABLE_WIDTH = 10_000


def examples(*lines: str) -> str:
    """The end of a command's help. The backspace keeps the lines as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def show(record: Record, as_json: bool) -> None:
    """One thing: one line of JSON, or its members below each other."""
    if as_json:
        print_json(record)
    else:
        _print_table((), [(_title(name), _cell(value)) for name, value in record.items()])


def show_all(records: Sequence[Record], columns: Sequence[str], as_json: bool) -> None:
    """Things of a kind: one JSON array on one line, or a table with some of their members."""
    if as_json:
        print_json(records)
    else:
        cells = [[_cell(record[name]) for name in columns] for record in records]
        _print_table([_title(name) for name in columns], cells)


def print_json(value: Record | Sequence[Record]) -> None:
    """One line, in UTF-8 whatever the terminal speaks; file names of other bytes are escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    typer.echo(text.encode("utf-8", "backslashreplace"))


@contextmanager
def text_output(file: str) -> Iterator[Callable[[str], object]]:
    """Write much text, in UTF-8, to standard output for `-` or to a new file.

    An existing file is never overwritten, and none is left that is not whole. Only its owner may
    read it.
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


def note(text: str) -> None:
    """Something for the person in front of the terminal; scripts read standard output."""
    typer.echo(text, err=True)


def fail(reason: str) -> NoReturn:
    """End the command with exit code 1 and one line that says why."""
    note(f"Error: {reason}")
    sys.exit(1)


def instant(at_ms: int | None) -> str | None:
    """An instant as it is shown; None stays None."""
    return None if at_ms is None else format_instant(at_ms)


def confirm(question: str, yes: bool) -> None:
    """Go on only if a person says yes; raises `InvalidInput` when not, or without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput("this cannot be undone: pass --yes to confirm it without a terminal")
    typer.echo(f"{question} [y/N] ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise InvalidInput("not confirmed; nothing was changed")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line that says how far long work has come; only on terminals, and gone when it ends."""
    is_terminal = sys.stderr.isatty()

    def say(text: str) -> None:
        if is_terminal:
            typer.echo(f"\r{text}\x1b[K", nl=False, err=True)

    try:
        yield say
    finally:
        say("")


def _title(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # Scripts that ask for JSON do not wait for these.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(*titles, box=None, show_header=bool(titles), pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    # Wider than any screen and without markup: ids are never cut, names are shown as they are.
    console = Console(width=_TABLE_WIDTH, markup=False, emoji=False, highlight=False)
    with console.capture() as printed:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))
