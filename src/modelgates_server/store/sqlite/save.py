"""Saves the changes of a batch, inside the writer's transaction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import Account, Entry, EntryKind, Hold
from modelgates_server.core.metering.generations import (
    ActivityRow,
    Generation,
    StoredAnswer,
    activity_of,
    late_activity_of,
)
from modelgates_server.store import rows
from modelgates_server.store.batching.apply import BatchState
from modelgates_server.store.generation_rows import GenerationRows
from modelgates_server.store.sql import bind
from modelgates_server.store.sqlite.connection import Connection
from modelgates_server.store.sqlite.rows import STATEMENTS
from modelgates_server.store.sqlite.snapshot import READS

T = TypeVar("T")


class Write(Generic[T]):
    """A statement whose parameters are the fields of a struct, by name."""

    def __init__(self, statement: str, struct: type[T], **encoders: Callable[[T], Any]) -> None:
        bound = bind(statement)
        self.sql = bound.sql
        self.row_of = rows.writer(struct, bound.names, encoders)

    def run(self, connection: Connection, values: Iterable[T]) -> None:
        """Write each value."""
        connection.executemany(self.sql, [*map(self.row_of, values)])


_insert_account = Write(STATEMENTS["insert_account"], Account)
_update_account = Write(STATEMENTS["update_account"], Account)
_insert_hold = Write(STATEMENTS["insert_hold"], Hold)
_update_hold = Write(STATEMENTS["update_hold"], Hold)
_insert_entry = Write(STATEMENTS["insert_entry"], Entry)
_update_key_usage = Write(STATEMENTS["update_key_usage"], Key)
_add_activity = Write(STATEMENTS["add_activity"], ActivityRow)
_insert_answer = Write(STATEMENTS["insert_answer"], StoredAnswer)


class Saver:
    """Saves with the dictionaries of one database."""

    def __init__(self, generations: GenerationRows) -> None:
        self._generations = generations
        self._save_generation = Write(
            STATEMENTS["save_generation"], Generation, packed=generations.pack
        )
        # In the order that foreign keys require.
        self._saves: Mapping[type, Callable[[Connection, Sequence[Any]], None]] = {
            Generation: self._save_generations,
            StoredAnswer: _insert_answer.run,
        }

    def save(self, connection: Connection, state: BatchState) -> None:
        """Write each changed row once; the constraints check the rules again."""
        if state.new_accounts:
            _insert_account.run(connection, state.new_accounts.values())
        _update_account.run(connection, state.changed_accounts.values())
        _insert_hold.run(connection, state.new_holds.values())
        _update_hold.run(connection, state.changed_holds.values())
        _insert_entry.run(connection, state.entries)
        _update_key_usage.run(connection, state.changed_keys.values())
        assert state.attachments.keys() <= self._saves.keys(), "each kind of attachment is saved"
        for kind, save_all in self._saves.items():
            if attachments := state.attachments.get(kind):
                save_all(connection, attachments)
        late = [entry for entry in state.entries if entry.kind is EntryKind.LATE_USAGE]
        if late:
            self._add_late_activity(connection, late)

    def _save_generations(self, connection: Connection, generations: Sequence[Generation]) -> None:
        """Save the last state of each generation, and add it to the activity of its account."""
        latest = {(each.account_id, each.id): each for each in generations}.values()
        self._save_generation.run(connection, latest)
        _add_to_activity(connection, ((each.account_id, activity_of(each)) for each in latest))

    def _add_late_activity(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Add late usage to the activity at the time of its entry; its generation stays."""
        for entry in entries:
            parameters = (entry.account_id, entry.hold_id)
            row = connection.execute(READS["generation"], parameters).fetchone()
            if row is not None:  # holds of version 0.1 have no generation
                added = late_activity_of(self._generations.generation(row), entry)
                _add_to_activity(connection, [(entry.account_id, added)])


def _add_to_activity(
    connection: Connection, added: Iterable[tuple[str, ActivityRow | None]]
) -> None:
    """Add rows to the activity of accounts."""
    connection.executemany(
        _add_activity.sql,
        ((account_id, *_add_activity.row_of(row)) for account_id, row in added if row is not None),
    )
