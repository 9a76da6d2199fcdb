"""The meaning of settings and of `modelgates.toml` in a version.

The folder `configuration` of a released version has an `environment.json`, the files that it names,
and `understood.json`: how the version itself understood them. Every setting has a value that is not
its default and that no other setting has. The `modelgates.toml` of 0.2.0 is the example that was
released with it; that of 0.3.0 has every field of 0.3.0.

For a release, write `modelgates.toml` and `environment.json` by hand, with everything that is new;
`make record` adds `understood.json`, once.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from modelgates_server.bootstrap import load_settings
from modelgates_server.bootstrap.configuration import Configuration, load_configuration
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.core.pricing.prices import Price
from modelgates_server.providers.http import ProviderSettings

SANDBOX = "sandbox"
SEEDED = "genai-prices"
"""Prefix of the source of a price from the built-in list. Each version has its own list."""


def understand() -> dict[str, Any]:
    """The meaning of the working directory and the environment in this version, as plain JSON.

    The names in `catalog` are fixed here, so that a rename in the code does not change them.
    """
    settings = load_settings()
    understood: dict[str, Any] = {"settings": settings.model_dump(mode="json")}
    if settings.metrics_token:
        understood["settings"]["metrics_token"] = settings.metrics_token.get_secret_value()
    if getattr(settings, "config", None):
        understood["catalog"] = catalog(load_configuration(settings.config, os.environ))
    return json.loads(msgspec.json.encode(understood))  # type: ignore[no-any-return]


def catalog(configuration: Configuration) -> dict[str, Any]:
    """Providers, models, prices and markups, without the sandbox, which differs by version."""
    prices: dict[str, list[Any]] = {}
    models = [model for model in configuration.models if model.endpoint.provider != SANDBOX]
    for price in configuration.prices:
        if not price.endpoint_id.startswith(f"{SANDBOX}:"):
            prices.setdefault(price.endpoint_id, []).append(_price(price))
    return {
        "markup_bp": configuration.markup_bp,
        "sandbox": configuration.sandbox,
        "providers": {provider.name: _provider(provider) for provider in configuration.providers},
        "models": {model.id: _model(model) for model in models},
        "prices": prices,
        "accounts": dict(configuration.account_markup_bp),
    }


def _provider(provider: ProviderSettings) -> dict[str, Any]:
    return {
        "base_url": provider.base_url,
        "api_key": provider.api_key,
        "api_key_header": provider.api_key_header,
        "headers": dict(provider.headers),
        "connect_timeout_s": provider.connect_timeout_s,
        "first_byte_timeout_s": provider.first_byte_timeout_s,
        "idle_timeout_s": provider.idle_timeout_s,
        "total_timeout_s": provider.total_timeout_s,
    }


def _model(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "description": model.description,
        "endpoint": model.endpoint.id,
        "provider": model.endpoint.provider,
        "upstream_model": model.endpoint.upstream_model,
        "cap_parameter": model.endpoint.cap_parameter,
        "apis": sorted(model.apis),
        "context_tokens": model.context_tokens,
        "output_tokens": model.output_tokens,
        "media_tokens": model.media_tokens,
        "input_modalities": model.input_modalities,
        "output_modalities": model.output_modalities,
        "parameters": model.parameters or (),
        "markup_bp": model.markup_bp,
    }


def _price(price: Price) -> dict[str, Any]:
    if price.source.startswith(SEEDED):
        return {"seed": price.source.rpartition(" ")[2]}
    return {
        "id": price.id,
        "from_ms": price.from_ms,
        "source": price.source,
        "tiers": [{"above": tier.above, **_rates(tier.rates)} for tier in price.tiers],
    }


def _rates(rates: Mapping[Any, Any]) -> dict[str, str]:
    return {str(meter): format(rate, "f") for meter, rate in rates.items()}


def write_understood(folder: Path) -> None:
    """Writes how this version understands the working directory."""
    text = json.dumps(understand(), indent=1, ensure_ascii=False)
    (folder / "understood.json").write_text(f"{text}\n", "utf-8", newline="\n")
