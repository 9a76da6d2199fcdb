"""`modelgates healthcheck`: whether the server that the settings describe is ready."""

from typing import Annotated

import typer

from modelgates_server.cli.output import examples, fail, say
from modelgates_server.cli.wiring import check_health

app = typer.Typer()


@app.command(
    epilog=examples("modelgates healthcheck", "modelgates healthcheck --live --timeout 2"),
)
def healthcheck(
    live: Annotated[
        bool, typer.Option("--live", help="Check only that the server responds, not its parts.")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1, max=3600, metavar="SECONDS", help="Time that the server has to respond."
        ),
    ] = 5,
) -> None:
    """Check that the server is ready. If it is not, print the reason and exit with code 1.

    The command uses the settings of the server: its address, port and certificate. It needs no
    database and no key.
    """
    health = check_health(live=live, timeout_s=timeout)
    if not health.ok:
        fail(health.message)
    say(health.message)
