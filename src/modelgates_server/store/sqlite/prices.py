"""Changes to what stands beside the generations, done by the writer inside its transaction."""

from collections.abc import Iterable

from modelgates_server.core.pricing.prices import Price
from modelgates_server.store import rows
from modelgates_server.store.sqlite.connection import Connection
from modelgates_server.store.sqlite.rows import STATEMENTS


def add_prices(connection: Connection, prices: Iterable[Price]) -> None:
    """See `PriceBook.add_prices`."""
    connection.executemany(STATEMENTS["insert_price"], [rows.price_row(price) for price in prices])


def forget_answers(connection: Connection, before_ms: int) -> int:
    """See `GenerationReader.forget_answers`."""
    connection.execute(STATEMENTS["forget_answers"], (before_ms,))
    count: int = connection.execute("select changes()").fetchone()[0]
    return count
