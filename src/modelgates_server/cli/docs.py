"""`modelgates docs`: the documentation as files."""

from pathlib import Path
from typing import Annotated

import typer

from modelgates_server.cli import wiring
from modelgates_server.cli.output import AsJson, examples, show

app = typer.Typer(help="Write the documentation that the server serves.", no_args_is_help=True)


@app.command(
    epilog=examples("modelgates docs build --output site --base-url https://gateway.example")
)
def build(
    output: Annotated[
        Path, typer.Option(help="The folder to write; new, empty, or of an earlier build.")
    ],
    base_url: Annotated[
        str, typer.Option(help="Where readers find the pages and the API, without /docs.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write the documentation as files, for a server of files to serve below the base URL."""
    show(wiring.build_docs(output, base_url), as_json)
