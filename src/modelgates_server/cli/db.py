"""`modelgates db`: the database file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelgates_server.cli.output import AsJson, counted, examples, note, progress, say, show
from modelgates_server.cli.wiring import database, now_ms

if TYPE_CHECKING:
    from modelgates_server.bootstrap.restoring import Restored

app = typer.Typer(help="Migrate, inspect, back up and restore the database.", no_args_is_help=True)


@app.command(epilog=examples("modelgates db migrate"))
def migrate(as_json: AsJson = False) -> None:
    """Create the database, or upgrade an older one. Back it up first."""
    with progress() as report:
        applied = database().migrate(report)
    if as_json:
        show({"applied": applied}, as_json)
    elif applied:
        say(f"Applied {counted(len(applied), 'migration')}: {', '.join(map(str, applied))}.")
    else:
        say("Nothing to migrate: the schema is up to date.")


@app.command(epilog=examples("modelgates db status", "modelgates db status --json"))
def status(as_json: AsJson = False) -> None:
    """Show the path, size, schema and counts of the database."""
    show(database().status(), as_json)


@app.command(epilog=examples("modelgates db backup /backups/modelgates-2026-11-23.db"))
def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write. It must not exist yet.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write a consistent copy of the database. This works while the server runs."""
    with progress() as report:
        database().backup(file, lambda done, total: report(f"{done} of {total} pages copied"))
    show({"path": str(file.resolve()), "bytes": file.stat().st_size}, as_json)


@app.command(epilog=examples("modelgates db restore /backups/modelgates-2026-11-23.db"))
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Backup to restore.")],
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the database. Stop the server first.

    The backup is checked, copied and verified before anything changes. The database that was there
    is kept under another name.
    """
    with progress() as report:
        restored = database().restore(file, now_ms(), report)
    record = _restored_record(restored)
    if not as_json:
        record["set_aside_in"] = ", ".join(record["set_aside_in"]) or None
    show(record, as_json)
    for advice in _advice(restored):
        note(advice)


def _restored_record(restored: "Restored") -> dict[str, Any]:
    verified = restored.verified
    return {
        "path": str(restored.path),
        "kept": restored.kept and str(restored.kept),
        "bytes": restored.path.stat().st_size,
        "schema": restored.schema,
        "verified": verified is not None,
        "accounts": verified and verified.accounts,
        "entries": verified and verified.entries,
        "spooled": len(restored.spooled),
        "set_aside": len(restored.unknown),
        "set_aside_in": [str(folder) for folder in restored.set_aside],
    }


def _advice(restored: "Restored") -> Iterator[str]:
    if restored.verified is None:
        yield (
            f"The backup has the older schema {restored.schema}. Run `modelgates db migrate`, then "
            "`modelgates ledger verify`."
        )
    if restored.spooled:
        yield (
            f"{counted(len(restored.spooled), 'waiting call')} of the backup will be charged when "
            "the server starts."
        )
    if restored.unknown:
        yield (
            f"{counted(len(restored.unknown), 'waiting call')} began after the backup and cannot "
            "be charged; see set_aside_in."
        )
