"""`modelgates config`: the file that defines providers, models and prices."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelgates_server.cli import catalog
from modelgates_server.cli.output import (
    AsJson,
    counted,
    examples,
    fail,
    instant,
    print_json,
    printable,
    say,
)
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
        typer.Argument(
            metavar="FILE", help="File to check. By default, the file that serve would use."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a configuration file. If it has problems, list them all and exit with code 1.

    The command reads keys from the environment, but never shows them. It calls no provider.
    """
    configuration, problems = catalog.read(file)
    offered = catalog.plan([], configuration)[1]
    warnings = _warnings(configuration, offered)
    if as_json:
        print_json(_record(configuration, offered, problems, warnings))
    else:
        say("\n".join(map(printable, problems or _explained(configuration, offered, warnings))))
    if problems:
        fail(f"{configuration.path} has {counted(len(problems), 'problem')}.")


def _warnings(configuration: "Configuration", offered: Catalog) -> list[str]:
    """Returns a sentence for each thing that is valid but may be unintended."""
    old_names = catalog.old_names(configuration)
    renames = ", ".join(f"`{new}` instead of `{old}`" for old, new in old_names.items())
    warnings = [
        *([f"Deprecated names work in this release only. Use {renames}."] if old_names else []),
        *(
            f"{missing} The server does not start without it."
            for missing in configuration.unset_keys.values()
        ),
        *configuration.warnings,
    ]
    for model in offered.models.values():
        price = catalog.price_in_force(offered, model)
        if price is None:
            warnings.append(
                f"`{model.id}` has no price yet. Clients cannot call it before its first price "
                "starts."
            )
        elif price.is_free or model.markup_bp == -BASIS_POINTS:
            warnings.append(f"`{model.id}` is free of charge.")
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
    """Returns the prices that a configuration gives to a model."""
    return [price for price in configuration.prices if price.endpoint_id == model.endpoint.id]


def _worst_case_pico(model: Model, price: Price) -> int:
    """Returns the largest hold for one choice, whose output may fill the context if not limited."""
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
    """Returns the lines for people."""
    if configuration.path is None:
        yield "No configuration file found: only the sandbox models are available."
    else:
        yield f"{configuration.path} is valid."
    yield (
        "Prices are US dollars per million tokens and include the markup (default: "
        f"{catalog.percent(configuration.markup_bp)})."
    )
    for settings in configuration.providers:
        yield _provider_line(configuration, settings)
    for model in offered.models.values():
        yield from _model_lines(configuration, offered, model)
    for account_id, markup_bp in configuration.account_markup_bp.items():
        yield f"Account {account_id}: markup {catalog.percent(markup_bp)} on every model."
    for warning in warnings:
        yield f"Warning: {warning}"


def _provider_line(configuration: "Configuration", settings: "ProviderSettings") -> str:
    variable = configuration.key_variables.get(settings.name)
    if variable is None:
        key = "no key"
    else:
        key = f"key in {variable} ({'set' if settings.api_key is not None else 'not set'})"
    return f"Provider {settings.name}: {_shown_url(settings)}, {key}."


def _shown_url(settings: "ProviderSettings") -> str:
    """Returns the URL without its query, because some providers expect their key there."""
    url, query, _ = settings.base_url.partition("?")
    return f"{url}?…" if query else url


def _model_lines(configuration: "Configuration", offered: Catalog, model: Model) -> Iterator[str]:
    output = f", up to {model.output_tokens} output tokens" if model.output_tokens else ""
    yield (
        f"Model {model.id}: {model.endpoint.upstream_model} at {model.endpoint.provider}, context "
        f"of {model.context_tokens} tokens{output}."
    )
    now = catalog.price_in_force(offered, model)
    markup = f", markup {catalog.percent(model.markup_bp)}" if model.markup_bp else ""
    for price in _dated(configuration, model):
        if price.from_ms > now_ms():
            when = f"from {instant(price.from_ms)}: "
        elif now is not None and price.id == now.id:
            when = f"since {instant(price.from_ms)}: " if price.from_ms else ""
        else:
            continue
        first, *others = shown_tiers(price, model.markup_bp)
        yield f"  {when}{_rates(first)} (source: {price.source}{markup})"
        for tier in others:
            yield f"    prompts above {tier.above} tokens: {_rates(tier)}"
        for service_tier in price.service_tiers:
            first, *others = shown_tiers(price, model.markup_bp, service_tier)
            yield f"    service tier {service_tier}: {_rates(first)}"
            for tier in others:
                yield f"      prompts above {tier.above} tokens: {_rates(tier)}"
    if now is not None:
        most = format_pico(_worst_case_pico(model, now))
        yield f"  largest hold for a call with one choice: ${most}"


def _rates(tier: Tier) -> str:
    tokens = [
        f"{meter} {catalog.per_million(tier, meter)}"
        for meter in Meter
        if meter in tier.rates and meter is not Meter.REQUEST
    ]
    fee = tier.rate(Meter.REQUEST)
    return ", ".join([*tokens, *([f"request {plain(fee)}"] if fee else [])])
