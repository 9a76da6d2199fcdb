"""What commands about models share: the configuration, and how prices are shown."""

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
    """A configuration and what is wrong with it; without a file, the one `serve` would take."""
    from modelgates_server.bootstrap import configuration, load_settings  # noqa: PLC0415 - as in wiring

    return configuration.read_configuration(file or load_settings().config, os.environ)


def old_names(configuration: "Configuration") -> dict[str, str]:
    """Names of an earlier version in the environment and the file, and what to write instead."""
    from modelgates_server.bootstrap import old_settings  # noqa: PLC0415 - as in wiring

    return {**old_settings(), **configuration.old_names}


def valid() -> "Configuration":
    """The configuration that `serve` would take; raises `InvalidInput` for one with mistakes."""
    from modelgates_server.bootstrap import configuration, load_settings  # noqa: PLC0415 - as in wiring

    return configuration.valid_configuration(load_settings().config, os.environ)


def plan(book: list[Price], configuration: "Configuration") -> tuple[list[Price], Catalog]:
    """What `serve` would add to a price book if it were started now, and its catalog."""
    from modelgates_server.bootstrap import price_book  # noqa: PLC0415 - as in wiring

    return price_book.plan_catalog(book, configuration, now_ms())


def price_in_force(catalog: Catalog, model: Model) -> Price | None:
    """What a model costs now; None: it cannot be called yet."""
    try:
        return catalog.price(model.endpoint.id, now_ms())
    except PriceNotFound:
        return None


def per_million(tier: Tier, meter: Meter) -> str:
    """Dollars for a million tokens, in plain digits."""
    return plain(tier.rate(meter).scaleb(6, _WIDE))


def percent(markup_bp: int) -> str:
    """A markup as people say it: `5 %`, `-0.25 %`."""
    return f"{plain(Decimal(markup_bp).scaleb(-2, _WIDE))} %"


def since(from_ms: int) -> str | None:
    """When a price began; None: it has always held."""
    return instant(from_ms) if from_ms else None
