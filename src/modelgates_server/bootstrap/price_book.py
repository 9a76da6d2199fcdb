"""Keeps the price book in step with the configuration, and makes the catalog of what is in force.

Prices in the book are never changed and never go away: a receipt names the one it was made with.
docs/decisions/0010-prices-from-exact-ids.md says why each rule is as it is.
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
    """Add what the book lacks, and return what can be called at which price.

    Processes that do so at once add the same rows, and a restart adds none.
    """
    added, catalog = plan_catalog(await book.prices(), configuration, now_ms)
    if added:
        await book.add_prices(added)
    return catalog


def plan_catalog(
    book: Iterable[Price], configuration: Configuration, now_ms: int
) -> tuple[list[Price], Catalog]:
    """The rows to add to a book, and the catalog that then holds."""
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
    """For one endpoint: the rows to add, and those of the catalog.

    A row comes with the date it has, unless one of the book that has begun is as new: then it
    takes over now, so that the book stays true of the past.
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
    # In the catalog it has always held: a clock that is set back must find a price, too.
    return added, [msgspec.structs.replace(in_force, from_ms=0), *future]
