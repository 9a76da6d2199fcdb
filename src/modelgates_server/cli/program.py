"""The command `modelgates`: its nouns, and how it ends.

Exit codes: 0 done, 1 refused or failed (one line on standard error says why), 2 misused, 130 stopped
with Ctrl-C.
"""

import io
import signal
import sys
from typing import Annotated, NoReturn

import typer

from modelgates_server import __version__
from modelgates_server.cli import account, credits, db, demo, key, ledger, serve
from modelgates_server.core.errors import GatewayError

app = typer.Typer(
    name="modelgates",
    add_completion=False,
    no_args_is_help=True,
    # A traceback with values would print secrets.
    pretty_exceptions_enable=False,
    # Plain help can be copied, searched and compared with the reference.
    rich_markup_mode=None,
)
app.add_typer(serve.app)
app.add_typer(account.app, name="account")
app.add_typer(key.app, name="key")
app.add_typer(credits.app, name="credits")
app.add_typer(ledger.app, name="ledger")
app.add_typer(db.app, name="db")
app.add_typer(demo.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"modelgates {__version__}")
        raise typer.Exit


@app.callback()
def modelgates(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A self-hosted LLM gateway with prepaid credits.

    MODELGATES_DATABASE_URL names the database; without it, modelgates.db in this folder.
    """


def main() -> NoReturn:
    """Run what the command line asks for and end the process."""
    # Not asyncio's own handler: it only asks tasks to end, which one busy reading never notices.
    signal.signal(signal.SIGINT, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except GatewayError as refusal:
        _fail(str(refusal))
    except OSError as trouble:
        _fail(f"{trouble.filename}: {trouble.strerror}" if trouble.filename else str(trouble))
    raise AssertionError("a command line ends the process")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _fail(reason: str) -> NoReturn:
    typer.echo(f"Error: {reason}", err=True)
    sys.exit(1)
