"""`modelgates serve`: the HTTP server."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from modelgates_server.cli import wiring
from modelgates_server.cli.output import examples, say

app = typer.Typer()


@app.command(
    epilog=examples(
        "modelgates serve",
        "modelgates serve --host :: --port 8443 --tls-cert cert.pem --tls-key key.pem",
        "modelgates serve --host unix:/run/modelgates/modelgates.sock",
    )
)
def serve(
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on, or unix:PATH; :: is all of IPv4 and IPv6.",
            show_default="127.0.0.1",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 picks a free one.", show_default="8000")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of server processes.", show_default="1")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate file (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Private key file (PEM).")] = None,
) -> None:
    """Run the server until SIGTERM or Ctrl-C. Requests in progress then get a grace period.

    Each option overrides its setting: --host overrides MODELGATES_HOST, and so on. SIGUSR2 restarts
    the server with the installed version and the current settings, without a failed call.
    """
    for number in (signal.SIGHUP, signal.SIGUSR2):
        # By default, they kill a process. The server has handlers when it is up.
        signal.signal(number, signal.SIG_IGN)
    wiring.serve(
        lambda url: say(f"ModelGates listens on {url}"),
        host=host,
        port=port,
        workers=workers,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
