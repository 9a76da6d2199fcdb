"""`modelgates sandbox`: the sandbox models as a separate server."""

from typing import Annotated

import typer

from modelgates_server.cli import wiring
from modelgates_server.cli.output import examples, say

app = typer.Typer(help="Run test models that need no network.", no_args_is_help=True)


@app.command(epilog=examples("modelgates sandbox serve", "modelgates sandbox serve --port 9000"))
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 picks a free one.", min=0, max=65535)
    ] = 8001,
) -> None:
    """Serve the sandbox models over OpenAI's API until SIGTERM or Ctrl-C. Any key is accepted.

    The models are echo, lorem, chaos and embed. The base URL for clients ends in /v1.
    """
    wiring.serve_sandbox(host, port, lambda url: say(f"The sandbox listens on {url}"))
