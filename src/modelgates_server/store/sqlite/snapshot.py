"""The port `AccountSnapshot`: the rows of one account, from one snapshot, as stored."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TypeVar

from modelgates_server.core.audit.findings import GenerationRow
from modelgates_server.core.errors import AccountNotFound
from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import Entry, Hold
from modelgates_server.core.metering.generations import ActivityRow, ArchivedGeneration
from modelgates_server.store import rows
from modelgates_server.store.generation_rows import GenerationRows, archived_of
from modelgates_server.store.records import RecordCodec
from modelgates_server.store.sql import load_statements
from modelgates_server.store.sqlite.connection import Connection

T = TypeVar("T")

READS = load_statements(__package__, "reads.sql", rows.STRUCTS)
_PAGE = 1000

_entry_as_stored = rows.as_stored(Entry, rows.entry_of)
_archived_as_stored = rows.as_stored(ArchivedGeneration, archived_of)
_hold_as_stored = rows.as_stored(Hold, rows.hold_of)
_key_as_stored = rows.as_stored(Key, rows.key_of)


def generation_rows(connection: Connection) -> GenerationRows:
    """The conversion of generations with the dictionaries of a database."""
    dictionaries = connection.execute(READS["record_dictionaries"]).fetchall()
    return GenerationRows(RecordCodec(dict(dictionaries)))


class SqliteAccountSnapshot:
    """`AccountSnapshot` on an open read transaction."""

    def __init__(
        self, connection: Connection, generations: GenerationRows, account_id: str
    ) -> None:
        self._connection = connection
        self._generation_of = generations.row_as_stored
        self._account_id = account_id
        row = connection.execute(READS["account"], (account_id,)).fetchone()
        if row is None:
            raise AccountNotFound(f"Account {account_id} does not exist.")
        self.account = rows.account_of(row)
        keys = connection.execute(READS["all_keys"], (account_id,))
        self.keys = [_key_as_stored(key) for key in keys]

    def entries(self) -> AsyncIterator[Sequence[Entry]]:
        """See `AccountSnapshot.entries`."""
        return _pages(map(_entry_as_stored, self._rows("all_entries")))

    def hold_entries(self) -> AsyncIterator[Sequence[Entry]]:
        """See `AccountSnapshot.hold_entries`."""
        return _pages(map(_entry_as_stored, self._rows("hold_entries")))

    def holds(self) -> AsyncIterator[Sequence[Hold]]:
        """See `AccountSnapshot.holds`."""
        return _pages(map(_hold_as_stored, self._rows("holds")))

    def generations(self) -> AsyncIterator[Sequence[GenerationRow]]:
        """See `AccountSnapshot.generations`."""
        return _pages(map(self._generation_of, self._rows_of_holds("generation_row")))

    def archived(self) -> AsyncIterator[Sequence[ArchivedGeneration]]:
        """See `AccountSnapshot.archived`."""
        has_any = self._connection.execute(READS["archives"]).fetchone()
        stream = self._rows_of_holds("archived_row") if has_any else iter(())
        return _pages(map(_archived_as_stored, stream))

    async def activity(self) -> Sequence[ActivityRow]:
        """See `AccountSnapshot.activity`."""
        return [rows.activity_of(row) for row in self._rows("all_activity")]

    def _rows(self, name: str) -> Iterator[rows.Row]:
        return iter(self._connection.execute(READS[name], (self._account_id,)))

    def _rows_of_holds(self, name: str) -> Iterator[rows.Row]:
        """Read one by one: sorting whole records instead of ids would fill the disk."""
        execute, statement = self._connection.execute, READS[name]
        for (hold_id,) in self._rows("hold_ids"):
            yield from execute(statement, (self._account_id, hold_id))


async def _pages(stream: Iterator[T]) -> AsyncIterator[Sequence[T]]:
    page: list[T] = []
    for row in stream:
        page.append(row)
        if len(page) == _PAGE:
            yield page
            page = []
    yield page
