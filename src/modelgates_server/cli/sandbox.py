"""`modelgates sandbox …`: the sandbox's models outside the gateway."""

from typing import Annotated

import typer

from modelgates_server.cli import wiring
from modelgates_server.cli.output import examples

app = typer.Typer(
    help="Serve models without a network, to try and test with.", no_args_is_help=True
)


@app.command(epilog=examples("modelgates sandbox serve", "modelgates sandbox serve --port 9000"))
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 8001,
) -> None:
    """Serve the sandbox's models over OpenAI's HTTP API until SIGTERM or Ctrl-C; any key will do.

    Clients use the models echo, lorem, chaos and embed below /v1.
    """
    wiring.serve_sandbox(host, port, lambda url: typer.echo(f"The sandbox listens on {url}"))
