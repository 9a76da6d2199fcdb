"""`modelgates config`: the file with providers, models and prices."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelgates_server.cli import catalog
from modelgates_server.cli.output import AsJson, examples, fail, instant, print_json
from modelgates_server.cli.wiring import now_ms
from modelgates_server.core.money import format_pico
from modelgates_server.core.pricing.catalog import Api, Catalog, Model
from modelgates_server.core.pricing.prices import (
    BASIS_POINTS,
    Bounds,
    Price,
    Tier,
    plain,
    shown_tiers,
    worst_case_pico,
)
from modelgates_server.core.pricing.usage import Meter

if TYPE_CHECKING:
    from modelgates_server.bootstrap.configuration import Configuration
    from modelgates_server.providers.http import ProviderSettings

app = typer.Typer(help="Check the configuration file.", no_args_is_help=True)


@app.command(
    epilog=examples(
        "modelgates config check", "modelgates config check modelgates.example.toml --json"
    )
)
def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The file; without it, the one that serve would take."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a configuration file means, or all that is wrong with it; then exit with 1.

    Keys are looked for in the environment and never shown. No provider is called.
    """
    configuration, problems = catalog.read(file)
    offered = catalog.plan([], configuration)[1]
    warnings = _warnings(configuration, offered)
    if as_json:
        print_json(_record(configuration, offered, problems, warnings))
    else:
        typer.echo("\n".join(problems or _explained(configuration, offered, warnings)))
    if problems:
        count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        fail(f"{configuration.path} has {count}")


def _warnings(configuration: "Configuration", offered: Catalog) -> list[str]:
    """What is allowed, and perhaps not meant."""
    old_names = catalog.old_names(configuration)
    renames = ", ".join(f"{new} for {old}" for old, new in old_names.items())
    warnings = [
        *([f"old names work in this release only: write {renames}"] if old_names else []),
        *(
            f"{missing}; until then the server does not start"
            for missing in configuration.unset_keys.values()
        ),
        *configuration.warnings,
    ]
    for model in offered.models.values():
        price = catalog.price_in_force(offered, model)
        if price is None:
            warnings.append(
                f"{model.id} has no price yet: until its first date it cannot be called"
            )
        elif price.is_free or model.markup_bp == -BASIS_POINTS:
            warnings.append(f"{model.id} costs nothing")
    return warnings


def _record(
    configuration: "Configuration", offered: Catalog, problems: list[str], warnings: list[str]
) -> dict[str, Any]:
    return {
        "path": configuration.path and str(configuration.path),
        "ok": not problems,
        "problems": problems,
        "warnings": warnings,
        "markup_bp": configuration.markup_bp,
        "sandbox": configuration.sandbox,
        "providers": [_provider_record(configuration, each) for each in configuration.providers],
        "models": [_model_record(configuration, offered, each) for each in offered.models.values()],
        "accounts": [
            {"account_id": account_id, "markup_bp": markup_bp}
            for account_id, markup_bp in configuration.account_markup_bp.items()
        ],
    }


def _provider_record(
    configuration: "Configuration", settings: "ProviderSettings"
) -> dict[str, Any]:
    variable = configuration.key_variables.get(settings.name)
    return {
        "name": settings.name,
        "base_url": _shown_url(settings),
        "key_variable": variable,
        "key_is_set": None if variable is None else settings.api_key is not None,
    }


def _model_record(configuration: "Configuration", offered: Catalog, model: Model) -> dict[str, Any]:
    price = catalog.price_in_force(offered, model)
    return {
        "id": model.id,
        "provider": model.endpoint.provider,
        "upstream_model": model.endpoint.upstream_model,
        "context_length": model.context_tokens,
        "max_output_tokens": model.output_tokens,
        "markup_bp": model.markup_bp,
        "prices": [
            {
                "id": each.id,
                "from": catalog.since(each.from_ms),
                "source": each.source,
                "in_force": price is not None and each.id == price.id,
            }
            for each in _dated(configuration, model)
        ],
        "worst_case": price and format_pico(_worst_case_pico(model, price)),
    }


def _dated(configuration: "Configuration", model: Model) -> list[Price]:
    """The prices that a configuration gives to a model."""
    return [price for price in configuration.prices if price.endpoint_id == model.endpoint.id]


def _worst_case_pico(model: Model, price: Price) -> int:
    """What is held at most for one answer: where no limit goes out, output may fill the context."""
    bounds = Bounds(
        input_tokens=model.context_tokens,
        output_tokens=0 if Api.EMBEDDINGS in model.apis else model.context_tokens,
        media=model.input_modalities != ("text",),
        service_tiers=price.service_tiers,
    )
    return worst_case_pico(price, bounds, model.markup_bp)


def _explained(
    configuration: "Configuration", offered: Catalog, warnings: list[str]
) -> Iterator[str]:
    """The same in sentences."""
    if configuration.path is None:
        yield "There is no configuration file: only the sandbox is offered."
    else:
        yield f"{configuration.path} is valid."
    yield (
        "Prices: dollars for a million tokens, with a markup of "
        f"{catalog.percent(configuration.markup_bp)} by default."
    )
    for settings in configuration.providers:
        yield _provider_line(configuration, settings)
    for model in offered.models.values():
        yield from _model_lines(configuration, offered, model)
    for account_id, markup_bp in configuration.account_markup_bp.items():
        yield f"Account {account_id} has a markup of {catalog.percent(markup_bp)} on all models."
    for warning in warnings:
        yield f"Warning: {warning}."


def _provider_line(configuration: "Configuration", settings: "ProviderSettings") -> str:
    variable = configuration.key_variables.get(settings.name)
    if variable is None:
        return f"Provider {settings.name} is at {_shown_url(settings)}; it gets no key."
    known = "is set" if settings.api_key is not None else "is not set"
    return f"Provider {settings.name} is at {_shown_url(settings)}; its key in {variable} {known}."


def _shown_url(settings: "ProviderSettings") -> str:
    """Without the query, in which some providers want their key."""
    url, query, _ = settings.base_url.partition("?")
    return f"{url}?…" if query else url


def _model_lines(configuration: "Configuration", offered: Catalog, model: Model) -> Iterator[str]:
    writes = f" and {model.output_tokens} out" if model.output_tokens else ""
    yield (
        f"Model {model.id} is {model.endpoint.upstream_model} at {model.endpoint.provider}: up to "
        f"{model.context_tokens} tokens in{writes}."
    )
    now = catalog.price_in_force(offered, model)
    markup = f", markup {catalog.percent(model.markup_bp)}" if model.markup_bp else ""
    for price in _dated(configuration, model):
        if price.from_ms > now_ms():
            when = f"from {instant(price.from_ms)} on: "
        elif now is not None and price.id == now.id:
            when = f"since {instant(price.from_ms)}: " if price.from_ms else ""
        else:
            continue
        first, *others = shown_tiers(price, model.markup_bp)
        yield f"  {when}{_rates(first)}; by {price.source}{markup}"
        for tier in others:
            yield f"    for prompts above {tier.above} tokens: {_rates(tier)}"
        for service_tier in price.service_tiers:
            first, *others = shown_tiers(price, model.markup_bp, service_tier)
            yield f"    at service tier {service_tier}: {_rates(first)}"
            for tier in others:
                yield f"      for prompts above {tier.above} tokens: {_rates(tier)}"
    if now is not None:
        most = format_pico(_worst_case_pico(model, now))
        yield f"  at most {most} dollars are held for a call with one answer"


def _rates(tier: Tier) -> str:
    tokens = [
        f"{meter} {catalog.per_million(tier, meter)}"
        for meter in Meter
        if meter in tier.rates and meter is not Meter.REQUEST
    ]
    fee = tier.rate(Meter.REQUEST)
    return ", ".join([*tokens, *([f"request {plain(fee)}"] if fee else [])])
