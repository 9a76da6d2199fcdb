"""`modelgates prices`: the past, present and future prices of models."""

from typing import Annotated, Any

import typer

from modelgates_server.cli import catalog
from modelgates_server.cli.output import AsJson, examples, print_json, say, show_all
from modelgates_server.cli.wiring import run_read_only
from modelgates_server.core.errors import ModelNotFound
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.core.pricing.prices import Price, Tier, plain
from modelgates_server.core.pricing.usage import Meter

app = typer.Typer(help="Show prices.", no_args_is_help=True)


@app.command(
    epilog=examples(
        "modelgates prices show sandbox/echo", "modelgates prices show openai/gpt-4o-mini --json"
    )
)
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="ID of the model, author/slug.")],
    as_json: AsJson = False,
) -> None:
    """Show all prices of a model, oldest first, and which one is in force.

    Prices that are new in the configuration are stored when the server starts the next time.
    """
    configuration = catalog.valid()

    async def all_prices(gateway: Any) -> list[Price]:
        prices: list[Price] = await gateway.store.prices()
        return prices

    book = run_read_only(all_prices)
    added, offered = catalog.plan(book, configuration)
    priced_model = offered.models.get(model)
    if priced_model is None:
        raise ModelNotFound(
            f"Model `{model}` was not found. `modelgates models list` lists all models."
        )
    in_force = catalog.price_in_force(offered, priced_model)
    endpoint_id = priced_model.endpoint.id
    by_id = {price.id: price for price in (*added, *book) if price.endpoint_id == endpoint_id}
    prices = sorted(by_id.values(), key=lambda price: price.from_ms)
    now_id = None if in_force is None else in_force.id
    if as_json:
        print_json(_record(priced_model, prices, now_id, {price.id for price in book}))
    else:
        _print_table(priced_model, prices, now_id)


def _record(
    model: Model, prices: list[Price], now_id: str | None, book_ids: set[str]
) -> dict[str, Any]:
    return {
        "model": model.id,
        "endpoint_id": model.endpoint.id,
        "markup_bp": model.markup_bp,
        "prices": [
            {
                "id": price.id,
                "from": catalog.since(price.from_ms),
                "source": price.source,
                "in_force": price.id == now_id,
                "in_book": price.id in book_ids,
                "tiers": _tier_records(price.tiers_of(None)),
                "service_tiers": {
                    name: _tier_records(price.tiers_of(name)) for name in price.service_tiers
                },
            }
            for price in prices
        ],
    }


def _tier_records(tiers: list[Tier]) -> list[dict[str, Any]]:
    return [
        {"above": tier.above, **{str(meter): plain(rate) for meter, rate in tier.rates.items()}}
        for tier in tiers
    ]


def _print_table(model: Model, prices: list[Price], now_id: str | None) -> None:
    tiers = [(price, tier) for price in prices for tier in price.tiers]
    stated = {meter for _, tier in tiers for meter in tier.rates}
    meters = [meter for meter in Meter if meter in stated]
    named = any(tier.service_tier for _, tier in tiers)
    say(
        f"Model {model.id}: {model.endpoint.upstream_model} at {model.endpoint.provider}, markup "
        f"{catalog.percent(model.markup_bp)}.\nRates are US dollars per million tokens, or per "
        "request, before the markup.\n"
    )
    records = [
        {
            "in_force": price.id == now_id,
            "from": catalog.since(price.from_ms) or "always",
            **({"service_tier": tier.service_tier or "standard"} if named else {}),
            "prompts_above": tier.above,
            **{str(meter): _shown(tier, meter) for meter in meters},
            "source": price.source,
            "price": price.id,
        }
        for price, tier in tiers
    ]
    show_all(records, list(records[0]), as_json=False)


def _shown(tier: Tier, meter: Meter) -> str | None:
    if meter not in tier.rates:
        return None
    if meter is Meter.REQUEST:
        return plain(tier.rates[meter])
    return catalog.per_million(tier, meter)
