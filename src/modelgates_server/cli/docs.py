"""`modelgates docs`: the documentation as static files."""

from pathlib import Path
from typing import Annotated

import typer

from modelgates_server.cli import wiring
from modelgates_server.cli.output import AsJson, examples, show

app = typer.Typer(help="Export the documentation as static files.", no_args_is_help=True)


@app.command(
    epilog=examples("modelgates docs build --output site --base-url https://gateway.example")
)
def build(
    output: Annotated[
        Path,
        typer.Option(help="Folder to write: a new one, an empty one, or that of an earlier build."),
    ],
    base_url: Annotated[
        str, typer.Option(help="Public URL of the pages and the API, without /docs.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write the documentation as static files. Serve them below the base URL."""
    show(wiring.build_docs(output, base_url), as_json)
