"""`modelgates models`: the models that clients can call."""

from typing import Any

import typer

from modelgates_server.cli import catalog
from modelgates_server.cli.output import AsJson, examples, show_all
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.core.pricing.prices import Price, shown_tiers
from modelgates_server.core.pricing.usage import Meter

app = typer.Typer(help="List models.", no_args_is_help=True)

_COLUMNS = ("id", "provider", "context_length", "input_per_million", "output_per_million")


@app.command("list", epilog=examples("modelgates models list", "modelgates models list --json"))
def list_all(as_json: AsJson = False) -> None:
    """List the models that clients can call. Prices are per million tokens, markup included.

    The prices of short prompts are shown. `prices show` lists all prices of a model.
    """
    offered = catalog.plan([], catalog.valid())[1]
    records = [
        _record(model, catalog.price_in_force(offered, model)) for model in offered.models.values()
    ]
    show_all(records, _COLUMNS, as_json)


def _record(model: Model, price: Price | None) -> dict[str, Any]:
    tier = shown_tiers(price, model.markup_bp)[0] if price else None
    return {
        "id": model.id,
        "name": model.name,
        "provider": model.endpoint.provider,
        "upstream_model": model.endpoint.upstream_model,
        "context_length": model.context_tokens,
        "max_output_tokens": model.output_tokens,
        "input_modalities": model.input_modalities,
        "output_modalities": model.output_modalities,
        "input_per_million": tier and catalog.per_million(tier, Meter.INPUT),
        "output_per_million": tier and catalog.per_million(tier, Meter.OUTPUT),
        "markup_bp": model.markup_bp,
    }
