"""`modelgates archive`: moves the records of old calls out of the database."""

from pathlib import Path
from typing import Annotated, Any

import typer

from modelgates_server.cli.output import AsJson, counted, examples, instant, progress, say, show
from modelgates_server.cli.wiring import database, now_ms
from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.archives import Archive

app = typer.Typer()


@app.command(
    epilog=examples(
        "modelgates archive --before 2026-09-01 --to /archives --dry-run",
        "modelgates archive --before 2026-09-01 --to /archives",
        "modelgates archive --compact",
    )
)
def archive(
    before: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Archive calls that ended before this day, in UTC."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Existing folder for the archive and its manifest."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the records; change nothing.")
    ] = False,
    compact: Annotated[
        bool,
        typer.Option("--compact", help="Give free space back to the disk. Stop the server first."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Move the records of old calls to an archive. Their costs, keys and times stay."""
    if compact:
        if before or to or dry_run:
            raise InvalidInput("`--compact` works alone. Archive first, then run it by itself.")
        _compact(as_json)
    elif before is None or to is None:
        raise InvalidInput("Give a day in `--before` and a folder in `--to`, or `--compact`.")
    elif dry_run:
        with progress() as report:
            count = database().count_old_records(before, now_ms(), report)
        if as_json:
            show({"generations": count}, as_json)
        else:
            say(f"{counted(count, 'record')} would be archived. Nothing was changed.")
    else:
        _archive(before, to, as_json)


def _archive(before: str, folder: Path, as_json: bool) -> None:
    with progress() as report:
        run = database().archive(folder, before, now_ms(), report)
    archives = [*run.completed, *filter(None, [run.archive])]
    if as_json:
        show(
            {
                "archives": [_record(each) for each in archives],
                "unreadable": run.unreadable,
                "ignored": run.ignored,
            },
            as_json,
        )
        return
    for each in archives:
        say(
            f"Archived {counted(each.generations, 'record')} that cost {each.cost} in "
            f"{folder / each.name}.jsonl.zst."
        )
    if run.archive is None:
        say("No other call ended before that day and still has its record.")
    if run.unreadable:
        say(
            f"{counted(run.unreadable, 'record')} cannot be read, and stayed in the database. Run "
            "modelgates ledger verify."
        )
    for name in run.ignored:
        say(f"{name} in this folder does not match the database, and was left alone.")


def _record(archive: Archive) -> dict[str, Any]:
    return {
        "name": archive.name,
        "sha256": archive.sha256,
        "generations": archive.generations,
        "cost": archive.cost,
        "first_ended_at": instant(archive.first_ended_ms),
        "last_ended_at": instant(archive.last_ended_ms),
    }


def _compact(as_json: bool) -> None:
    before, after = database().compact()
    show({"bytes_before": before, "bytes_after": after}, as_json)
