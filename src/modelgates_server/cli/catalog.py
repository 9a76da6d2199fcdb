"""Code that the commands about models share: they read the configuration and format prices."""

import os
from decimal import Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from modelgates_server.cli.output import instant
from modelgates_server.cli.wiring import now_ms
from modelgates_server.core.errors import PriceNotFound
from modelgates_server.core.pricing.catalog import Catalog, Model
from modelgates_server.core.pricing.prices import Price, Tier, plain
from modelgates_server.core.pricing.usage import Meter

if TYPE_CHECKING:
    from modelgates_server.bootstrap.configuration import Configuration

_WIDE = Context(prec=100)


def read(file: Path | None = None) -> "tuple[Configuration, list[str]]":
    """Returns a configuration and its problems. Without a file, reads the one `serve` would use."""
    from modelgates_server.bootstrap import configuration, load_settings  # noqa: PLC0415 - as in wiring

    return configuration.read_configuration(file or load_settings().config, os.environ)


def old_names(configuration: "Configuration") -> dict[str, str]:
    """Returns the deprecated names in the environment and the file, each with its new name."""
    from modelgates_server.bootstrap import old_settings  # noqa: PLC0415 - as in wiring

    return {**old_settings(), **configuration.old_names}


def valid() -> "Configuration":
    """Returns the configuration that `serve` would use; raises `InvalidInput` if it is invalid."""
    from modelgates_server.bootstrap import configuration, load_settings  # noqa: PLC0415 - as in wiring

    return configuration.valid_configuration(load_settings().config, os.environ)


def plan(book: list[Price], configuration: "Configuration") -> tuple[list[Price], Catalog]:
    """Returns the prices that `serve`, if it started now, would add to a book, and its catalog."""
    from modelgates_server.bootstrap import price_book  # noqa: PLC0415 - as in wiring

    return price_book.plan_catalog(book, configuration, now_ms())


def price_in_force(catalog: Catalog, model: Model) -> Price | None:
    """Returns the price of a model now, or None if the model cannot be called yet."""
    try:
        return catalog.price(model.endpoint.id, now_ms())
    except PriceNotFound:
        return None


def per_million(tier: Tier, meter: Meter) -> str:
    """Returns dollars per million tokens in plain digits, without an exponent."""
    return plain(tier.rate(meter).scaleb(6, _WIDE))


def percent(markup_bp: int) -> str:
    """Returns a markup as a percentage: `5%`, `-0.25%`."""
    return f"{plain(Decimal(markup_bp).scaleb(-2, _WIDE))}%"


def since(from_ms: int) -> str | None:
    """Returns the start of a price, or None if it has no start date."""
    return instant(from_ms) if from_ms else None
