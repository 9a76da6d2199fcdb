"""Changes to the price book, which the writer runs inside its transaction."""

from collections.abc import Iterable

from modelgates_server.core.pricing.prices import Price
from modelgates_server.store import rows
from modelgates_server.store.sqlite.connection import Connection
from modelgates_server.store.sqlite.rows import STATEMENTS
from modelgates_server.store.sqlite.save import Write

_insert_price = Write(STATEMENTS["insert_price"], Price, tiers=rows.tiers_json)


def add_prices(connection: Connection, prices: Iterable[Price]) -> None:
    """See `PriceBook.add_prices`."""
    _insert_price.run(connection, prices)
