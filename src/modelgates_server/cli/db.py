"""`modelgates db`: the database file."""

from pathlib import Path
from typing import Annotated

import typer

from modelgates_server.cli.output import AsJson, examples, progress, show
from modelgates_server.cli.wiring import database

app = typer.Typer(help="Migrate, inspect and back up the database.", no_args_is_help=True)


@app.command(epilog=examples("modelgates db migrate"))
def migrate(as_json: AsJson = False) -> None:
    """Create the database, or bring one of an older version to this program's schema."""
    applied = database().migrate()
    if as_json:
        show({"applied": applied}, as_json)
    else:
        typer.echo(f"applied {', '.join(map(str, applied))}" if applied else "nothing to migrate")


@app.command(epilog=examples("modelgates db status", "modelgates db status --json"))
def status(as_json: AsJson = False) -> None:
    """Show where the database is, its size, its schema and its counts."""
    show(database().status(), as_json)


@app.command(epilog=examples("modelgates db backup /backups/modelgates-2026-11-23.db"))
def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The copy to write; it must not exist yet.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write a consistent copy of the database, also while the server runs."""
    with progress() as say:
        database().backup(file, lambda done, total: say(f"{done} of {total} pages"))
    show({"path": str(file.resolve()), "bytes": file.stat().st_size}, as_json)
