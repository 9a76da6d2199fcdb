"""Changes to stored responses, which the writer runs inside its transaction."""

from modelgates_server.store.sqlite.connection import Connection
from modelgates_server.store.sqlite.rows import STATEMENTS


def forget_answers(connection: Connection, before_ms: int) -> int:
    """See `GenerationReader.forget_answers`."""
    connection.execute(STATEMENTS["forget_answers"], (before_ms,))
    count: int = connection.execute("select changes()").fetchone()[0]
    return count
