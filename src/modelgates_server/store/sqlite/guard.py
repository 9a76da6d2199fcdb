"""Keeps a server from using a damaged database: once damage is found, every access fails.

`find_damage` is the check at the start of a server. Its cost does not depend on the size of the
file: it compares the schema with that of the migrations, and the newest entries of the journal with
their accounts. The first read that fails reports the rest.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from modelgates_server.core.errors import StoreDamaged
from modelgates_server.store.sqlite.connection import Connection, damaged, explained
from modelgates_server.store.sqlite.schema import migrate
from modelgates_server.store.sqlite.snapshot import READS

_SAMPLES = 100
_SCHEMA = "select type, name, sql from sqlite_schema"


class Guard:
    """The damage that a process has found in its database.

    Only a server insists: a command that verifies the ledger continues, to find all damage.
    """

    def __init__(self, path: Path, *, insists: bool) -> None:
        self._path = path
        self._insists = insists
        self._damage: StoreDamaged | None = None
        self._newest_entry = 0

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Explains problems with the file, and remembers damage."""
        try:
            with explained(self._path):
                yield
        except StoreDamaged as error:
            if self._insists and self._damage is None:
                self._damage = error
            raise

    def check(self) -> None:
        """Raises `StoreDamaged` if damage was found before."""
        if self._damage is not None:
            raise StoreDamaged(str(self._damage))

    def inspect(self, connection: Connection) -> None:
        """Looks for damage, at the start of a server."""
        try:
            with self.explained():
                if reason := find_damage(connection):
                    raise damaged(self._path, reason)
        except StoreDamaged:
            return  # every access reports it from now on

    def look_again(self, connection: Connection) -> None:
        """Raises `StoreDamaged` if an older copy was written over the file while it was in use."""
        with self.explained():
            newest = connection.execute(READS["newest_entry"]).fetchone()[0]
            if newest < self._newest_entry:
                raise damaged(self._path, "entries have disappeared: it was overwritten")
        self._newest_entry = newest


def find_damage(connection: Connection) -> str | None:
    """Returns what is wrong with a database, or None if nothing is found."""
    connection.execute("begin")
    try:
        return _wrong_schema(connection) or _wrong_entries(connection)
    finally:
        connection.execute("rollback")


def _wrong_schema(connection: Connection) -> str | None:
    """Every object of the migrations must be there, unchanged, and no other trigger.

    Other tables and indexes are harmless: a tool for replication may have some.
    """
    found = _objects(connection)
    expected = _expected_objects()
    for (kind, name), sql in expected.items():
        if (kind, name) not in found:
            return f"the {kind} {name} is missing"
        if found[kind, name] != sql:
            return f"the {kind} {name} was changed"
    for kind, name in found:
        if kind == "trigger" and (kind, name) not in expected:
            return f"the trigger {name} was added"
    return None


@cache
def _expected_objects() -> dict[tuple[str, str], str]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection)
        return _objects(connection)
    finally:
        connection.close()


def _objects(connection: Connection) -> dict[tuple[str, str], str]:
    rows = connection.execute(_SCHEMA).fetchall()
    return {(kind, name): " ".join((sql or "").split()) for kind, name, sql in rows}


def _wrong_entries(connection: Connection) -> str | None:
    """Entries are numbered without a gap, and the newest of an account shows its figures."""
    later: dict[str, tuple[int, int, int]] = {}
    below = None
    for row in connection.execute(READS["newest_entries"], (_SAMPLES,)).fetchall():
        number, account_id, seq, amount, held, *after = row[:7]
        if below is not None and number != below:
            return f"entry number {below} is missing"
        # What the entry must show: the figures of its account, or those before the next entry.
        if [seq, *after] != list(later.get(account_id, row[7:])):
            return f"entry {seq} and account {account_id} contradict each other"
        later[account_id] = (seq - 1, after[0] - amount, after[1] - held)
        below = number - 1
    newest = 0 if below is None else connection.execute(READS["newest_entry"]).fetchone()[0]
    for number in range(1, newest, max(newest // _SAMPLES, 1)):
        if connection.execute(READS["entry_number"], (number,)).fetchone() is None:
            return f"entry number {number} is missing"
    return None
