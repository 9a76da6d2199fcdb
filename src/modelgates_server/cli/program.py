"""The command `modelgates`: its nouns and its exit codes.

Exit codes: 0 success, 1 failure (with a one-line reason on standard error), 2 usage error, 130
stopped with Ctrl-C.
"""

import io
import signal
import sys
from typing import Annotated, NoReturn

import typer

from modelgates_server import __version__
from modelgates_server.cli import (
    account,
    archive,
    config,
    db,
    demo,
    docs,
    generation,
    healthcheck,
    key,
    ledger,
    models,
    prices,
    sandbox,
    serve,
    spool,
    usage,
)
from modelgates_server.cli import credits as credits_noun
from modelgates_server.cli.output import fail
from modelgates_server.core.errors import GatewayError

app = typer.Typer(
    name="modelgates",
    add_completion=False,
    # Tracebacks with values would print secrets.
    pretty_exceptions_enable=False,
    # Plain help can be copied, searched, and compared with the reference.
    rich_markup_mode=None,
)
app.add_typer(serve.app)
app.add_typer(healthcheck.app)
app.add_typer(account.app, name="account")
app.add_typer(key.app, name="key")
app.add_typer(credits_noun.app, name="credits")
app.add_typer(ledger.app, name="ledger")
app.add_typer(usage.app, name="usage")
app.add_typer(generation.app, name="generation")
app.add_typer(models.app, name="models")
app.add_typer(prices.app, name="prices")
app.add_typer(config.app, name="config")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(db.app, name="db")
app.add_typer(archive.app)
app.add_typer(spool.app, name="spool")
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

    Commands use the database in MODELGATES_DATABASE_URL, by default modelgates.db in this folder.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> NoReturn:
    """Runs the command and ends the process."""
    if not __debug__:
        fail("ModelGates checks its ledger with assertions. Run Python without -O.")
    # Replaces asyncio's handler, which only cancels tasks: a task that is busy reading never stops.
    signal.signal(signal.SIGINT, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except GatewayError as error:
        fail(str(error))
    except OSError as error:
        # Python flushes standard output at exit and would report the same error once more.
        sys.stdout = sys.stderr
        reason = error.strerror or str(error)
        fail(f"{error.filename}: {reason}." if error.filename else f"{reason}.")
    raise AssertionError("the command line ends the process")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
