"""Adds the prices of the configuration to the price book, and builds the catalog from both.

Prices in the book are never changed or deleted, because receipts refer to them.
docs/decisions/0010-prices-from-exact-ids.md gives the reason for each rule.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from modelgates_server.bootstrap.configuration import Configuration
from modelgates_server.bootstrap.configuration_prices import price_row
from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.core.pricing.prices import Price
from modelgates_server.service.ports import PriceBook

_endpoint = attrgetter("endpoint_id")
_date = attrgetter("from_ms")


async def open_catalog(book: PriceBook, configuration: Configuration, now_ms: int) -> Catalog:
    """Adds the missing prices to the book; returns the catalog of models and prices in force.

    Processes that start at the same time add the same rows, and a restart adds none.
    """
    added, catalog = plan_catalog(await book.prices(), configuration, now_ms)
    if added:
        await book.add_prices(added)
    return catalog


def plan_catalog(
    book: Iterable[Price], configuration: Configuration, now_ms: int
) -> tuple[list[Price], Catalog]:
    """Returns the rows to add to a book, and the catalog that results."""
    known: dict[str, list[Price]] = {}
    for price in book:
        known.setdefault(price.endpoint_id, []).append(price)
    added: list[Price] = []
    valid: list[Price] = []
    for endpoint_id, rows in groupby(sorted(configuration.prices, key=_endpoint), _endpoint):
        more, meant = _bring_up_to_date(known.get(endpoint_id, []), list(rows), now_ms)
        added += more
        valid += meant
    return added, Catalog(configuration.models, valid, configuration.account_markup_bp)


def _bring_up_to_date(
    known: Sequence[Price], configured: Sequence[Price], now_ms: int
) -> tuple[list[Price], list[Price]]:
    """Returns, for one endpoint, the rows to add to the book and the rows of the catalog.

    A row keeps its date, unless the book has a price in force that is as new or newer. Then the row
    takes effect now, so that the book still shows the prices of the past.
    """
    known_ids = {price.id for price in known}
    configured_ids = {price.id for price in configured}
    newest_ms = max((price.from_ms for price in known if price.from_ms <= now_ms), default=-1)
    added = [
        price for price in configured if price.id not in known_ids and price.from_ms > newest_ms
    ]
    due = [price for price in configured if price.from_ms <= now_ms]
    future = [price for price in configured if price.from_ms > now_ms]
    if not due:
        return added, future
    meant = max(due, key=_date)
    begun = [price for price in (*known, *added) if price.from_ms <= now_ms]
    in_force = max(begun, key=lambda price: (price.from_ms, price.id in configured_ids, price.id))
    if in_force.tiers != meant.tiers:
        in_force = price_row(
            meant.endpoint_id, now_ms, meant.source, meant.tiers, after=in_force.id
        )
        added.append(in_force)
    # The catalog dates it to the beginning, so that a clock that is set back still finds a price.
    return added, [msgspec.structs.replace(in_force, from_ms=0), *future]
