"""`modelgates db`: the database file."""

from pathlib import Path
from typing import Annotated

import typer

from modelgates_server.cli.output import AsJson, counted, examples, progress, say, show
from modelgates_server.cli.wiring import database

app = typer.Typer(help="Migrate, inspect and back up the database.", no_args_is_help=True)


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
