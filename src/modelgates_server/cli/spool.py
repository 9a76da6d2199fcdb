"""`modelgates spool`: the ends of calls that wait for the database."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from modelgates_server.cli.output import (
    AsJson,
    Record,
    counted,
    examples,
    fail,
    progress,
    say,
    show_all,
)
from modelgates_server.cli.wiring import now_ms, run, spool_folders
from modelgates_server.core.money import format_pico

if TYPE_CHECKING:
    from modelgates_server.service.calls.replays import WaitingEnd

app = typer.Typer(
    help="Show and replay ends of calls that wait for the database.", no_args_is_help=True
)

_STANDARD_INPUT = "-"


@app.command(epilog=examples("modelgates spool show", "modelgates spool show --json"))
def show(as_json: AsJson = False) -> None:
    """Show the ends of calls that wait in the spool and in the emergency folder."""
    import asyncio  # noqa: PLC0415 - see `wiring`

    at_ms = now_ms()
    ends = asyncio.run(_all(_in_folders()))
    columns = ("source", "id", "account_id", "state", "cost", "age_s", "problem")
    _show([_record(end, at_ms) for end in ends], columns, as_json)


@app.command(
    epilog=examples(
        "modelgates spool replay",
        "modelgates spool replay server.log",
        "modelgates spool replay -",
    )
)
def replay(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="Log with records of ends among its lines; - reads standard input. Without it, "
            "the spool and the emergency folder are replayed.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Charge the ends of calls that wait. An end that is replayed twice is charged once."""
    with progress() as report:
        records = run(lambda gateway: _replayed(gateway, file, report))
    if file is not None and not records:
        fail(f"There is no record in `{file}`. Give a log that has lines with `mg-end-`.")
    counts = Counter(record["outcome"] for record in records)
    columns = ("source", "id", "account_id", "cost", "outcome", "problem")
    _show(records, columns, as_json)
    from modelgates_server.service.calls.replays import PROBLEMS  # noqa: PLC0415 - see `wiring`

    if problems := sum(counts[outcome] for outcome in PROBLEMS):
        fail(f"{counted(problems, 'end')} not replayed. The column `problem` says why.")


def _show(records: list[Record], columns: tuple[str, ...], as_json: bool) -> None:
    if records or as_json:
        show_all(records, columns, as_json)
    else:
        say("No end of a call waits.")


async def _replayed(gateway: Any, file: str | None, report: Callable[[str], None]) -> list[Record]:
    from modelgates_server.service.calls.replays import EndReplay  # noqa: PLC0415 - see `wiring`

    folders = spool_folders()
    replays = EndReplay(gateway.store, folders.by_name().values(), folders.disk, now_ms)
    at_ms = now_ms()
    records = list[Record]()
    async for end in _in_folders() if file is None else _in_file(file):
        outcome, problem = await replays.replay(end)
        records.append({**_record(end, at_ms), "outcome": outcome, "problem": problem})
        report(f"{counted(len(records), 'end')} replayed")
    return records


async def _in_folders() -> AsyncIterator["WaitingEnd"]:
    from modelgates_server.service.calls.replays import waiting_in  # noqa: PLC0415 - see `wiring`

    async for end in waiting_in(spool_folders().by_name()):
        yield end


async def _in_file(file: str) -> AsyncIterator["WaitingEnd"]:
    from modelgates_server.bootstrap.spools import ends_in  # noqa: PLC0415 - see `wiring`

    with _opened(file) as lines:
        for end in ends_in(lines):
            yield end


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == _STANDARD_INPUT:
        yield typer.get_binary_stream("stdin")
    else:
        with Path(file).open("rb") as opened:
            yield opened


async def _all(ends: AsyncIterator["WaitingEnd"]) -> list["WaitingEnd"]:
    return [end async for end in ends]


def _record(end: "WaitingEnd", at_ms: int) -> dict[str, Any]:
    generation = None if end.settlement is None else end.settlement.generation
    return {
        "source": end.source,
        "id": end.generation_id,
        "account_id": generation and generation.account_id,
        "state": generation and generation.state,
        "cost": generation and format_pico(generation.cost_pico),
        "age_s": generation and (at_ms - (generation.ended_at_ms or at_ms)) // 1000,
        "problem": end.problem,
    }
