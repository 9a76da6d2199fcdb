"""The command `modelgates`: its nouns, and how it ends.

Exit codes: 0 done, 1 refused or failed (one line on standard error says why), 2 misused,
130 stopped with Ctrl-C.
"""

import io
import signal
import sys
from typing import Annotated, NoReturn

import typer

from modelgates_server import __version__
from modelgates_server.cli import (
    account,
    config,
    db,
    demo,
    docs,
    generation,
    key,
    ledger,
    models,
    prices,
    sandbox,
    serve,
)
from modelgates_server.cli import credits as credits_noun
from modelgates_server.cli.output import fail
from modelgates_server.core.errors import GatewayError

app = typer.Typer(
    name="modelgates",
    add_completion=False,
    # A traceback with values would print secrets.
    pretty_exceptions_enable=False,
    # Plain help can be copied, searched and compared with the reference.
    rich_markup_mode=None,
)
app.add_typer(serve.app)
app.add_typer(account.app, name="account")
app.add_typer(key.app, name="key")
app.add_typer(credits_noun.app, name="credits")
app.add_typer(ledger.app, name="ledger")
app.add_typer(generation.app, name="generation")
app.add_typer(models.app, name="models")
app.add_typer(prices.app, name="prices")
app.add_typer(config.app, name="config")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(db.app, name="db")
app.add_typer(docs.app, name="docs")
app.add_typer(demo.app)


def _print_version(flag: bool) -> None:
    if flag:
        typer.echo(f"modelgates {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def modelgates(
    context: typer.Context,
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """A self-hosted LLM gateway with prepaid credits.

    MODELGATES_DATABASE_URL names the database; without it, modelgates.db in this folder.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> NoReturn:
    """Run what the command line asks for and end the process."""
    if not __debug__:
        fail("ModelGates checks its own money with assertions: run Python without -O")
    # Not asyncio's own handler: it only asks tasks to end, which one busy reading never notices.
    signal.signal(signal.SIGINT, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except GatewayError as refusal:
        fail(str(refusal))
    except OSError as trouble:
        # Where output cannot be written, Python would complain again on its way out.
        sys.stdout = sys.stderr
        reason = trouble.strerror or str(trouble)
        fail(f"{trouble.filename}: {reason}" if trouble.filename else reason)
    raise AssertionError("a command line ends the process")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
