"""`modelgates usage`: what accounts used and were charged."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from modelgates_server.cli.output import AsJson, examples, printable, say, text_output
from modelgates_server.cli.wiring import run_read_only
from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.money import format_pico
from modelgates_server.core.times import format_day, parse_day
from modelgates_server.service.export import TextFile, safe_for_spreadsheets
from modelgates_server.service.usage_report import (
    FIRST_DAY,
    LAST_DAY,
    Grouping,
    Sums,
    UsageRow,
    usage_rows,
)

app = typer.Typer(help="Report the usage of accounts.", no_args_is_help=True)

Record = dict[str, Any]
_STANDARD_OUTPUT = "-"
_GROUP_COLUMNS = {
    None: (),
    Grouping.KEY: ("key_hash", "key_name"),
    Grouping.MODEL: ("model",),
    Grouping.DAY: ("date",),
}
_WIDTHS = {"account_id": 27, "key_hash": 64, "key_name": 24, "model": 40, "date": 10}
_SUMS = (
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cached_tokens",
    "usage",
)


@app.command(
    epilog=examples(
        "modelgates usage report --from 2026-11-01 --to 2026-11-30",
        "modelgates usage report --account user_… --by model",
        "modelgates usage report --by key --csv",
    )
)
def report(
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="Report this account only.")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="First UTC day. By default, the very first."),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="DATE", help="Last UTC day. By default, today.")
    ] = None,
    by: Annotated[
        Grouping | None, typer.Option(help="One row for each key, model or day of an account.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")] = False,
    as_json: AsJson = False,
) -> None:
    """Report what accounts used and were charged. A call counts on the day of its charge."""
    if as_csv and as_json:
        raise InvalidInput("`--csv` and `--json` exclude each other. Give one of them.")
    from_day = FIRST_DAY if from_ is None else parse_day(from_)
    to_day = LAST_DAY if to is None else parse_day(to)
    if from_day > to_day:
        raise InvalidInput(f"`--from` {from_} is after `--to` {to}. Exchange them.")
    columns = ("account_id", *_GROUP_COLUMNS[by], *_SUMS)

    async def write_rows(gateway: Any) -> None:
        owner = None if account is None else await gateway.accounts.get(account)
        rows = usage_rows(
            gateway.store,
            account=owner,
            from_day=from_day,
            to_day=to_day,
            by=by,
        )
        total = Sums()
        layout = _csv if as_csv else _json if as_json else _table
        with layout(columns, {"from": from_, "to": to, "by": by}, total) as write:
            async for row in rows:
                total.add(row.sums)
                write(_record(row, by))

    run_read_only(write_rows)


def _record(row: UsageRow, by: Grouping | None) -> Record:
    group = format_day(row.group) if isinstance(row.group, int) else row.group
    named = dict(zip(_GROUP_COLUMNS[by], (group, row.key_name), strict=False))
    return {"account_id": row.account_id, **named, **_sums_record(row.sums)}


def _sums_record(sums: Sums) -> Record:
    counts = {name: getattr(sums, name) for name in _SUMS[:-1]}
    return {**counts, "usage": format_pico(sums.usage_pico)}


Layout = Iterator[Callable[[Record], object]]
"""Receives each record as it is read, so that a long report needs no memory."""


@contextmanager
def _table(columns: tuple[str, ...], _: Record, total: Sums) -> Layout:
    say(_line(columns, {name: name.replace("_", " ") for name in columns}))
    yield lambda record: say(_line(columns, record))
    say(_line(columns, {"account_id": "total", **_sums_record(total)}))


def _line(columns: tuple[str, ...], cells: Record) -> str:
    texts = [
        f"{printable(str(cells.get(name) or '')):{_WIDTHS[name]}}"
        if name in _WIDTHS
        else f"{cells[name]!s:>{21 if name == 'usage' else 17}}"
        for name in columns
    ]
    return "  ".join(texts).rstrip()


@contextmanager
def _csv(columns: tuple[str, ...], _: Record, __: Sums) -> Layout:
    with text_output(_STANDARD_OUTPUT) as write:
        lines = csv.DictWriter(TextFile(write), columns, lineterminator="\n")
        lines.writeheader()
        texts = ("key_name", "model")
        yield lambda record: lines.writerow(
            record | {name: safe_for_spreadsheets(record[name]) for name in texts if name in record}
        )


@contextmanager
def _json(_: tuple[str, ...], asked: Record, total: Sums) -> Layout:
    """One line of JSON, written piece by piece."""
    with text_output(_STANDARD_OUTPUT) as write:
        write(f'{_text(asked)[:-1]},"rows":[')
        separator = ""

        def write_record(record: Record) -> None:
            nonlocal separator
            write(f"{separator}{_text(record)}")
            separator = ","

        yield write_record
        write(f'],"total":{_text(_sums_record(total))}}}\n')


def _text(value: Record) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
