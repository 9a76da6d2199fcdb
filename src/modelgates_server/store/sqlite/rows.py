"""Loads the rows of a batch, inside the writer's transaction."""

from collections.abc import Callable
from typing import TypeVar

from modelgates_server.core.key_rotation import KeySecret
from modelgates_server.core.keys import Key, KeyCreationRecord
from modelgates_server.core.ledger.records import Account, Entry, Hold, HoldState
from modelgates_server.store import rows
from modelgates_server.store.batching.apply import BatchState
from modelgates_server.store.batching.plan import HoldName
from modelgates_server.store.sql import load_statements
from modelgates_server.store.sqlite.connection import Connection

T = TypeVar("T")

_CACHED_MAX = 100_000

STATEMENTS = load_statements(__package__, "ledger.sql", rows.STRUCTS)


class SqliteRows:
    """`batching.Rows` in a transaction, by single lookups: queries for sets saved 1 µs per row."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def account(self, account_id: str) -> Account | None:
        """See `Rows.account`."""
        return self._one(rows.account_of, "account", account_id)

    def key(self, key_hash: str) -> Key | None:
        """See `Rows.key`."""
        return self._one(rows.key_of, "key", key_hash)

    def hold(self, account_id: str, hold_id: str) -> Hold | None:
        """See `Rows.hold`."""
        return self._one(rows.hold_of, "hold", account_id, hold_id)

    def prior(self, account_id: str, reference: str) -> Entry | None:
        """See `Rows.prior`."""
        return self._one(rows.entry_of, "prior", account_id, reference)

    def key_creation_record(self, account_id: str, reference: str) -> KeyCreationRecord | None:
        """The record that a request to create a key left under its reference."""
        read = rows.key_creation_record_of
        return self._one(read, "key_creation_record", account_id, reference)

    def key_secrets(self, key_hash: str) -> list[KeySecret]:
        """All secrets of a key, in the order of their creation."""
        found = self._execute(STATEMENTS["key_secrets"], (key_hash,))
        return [rows.key_secret_of(row) for row in found]

    def _one(self, read: Callable[[rows.Row], T], name: str, *parameters: str) -> T | None:
        row = self._execute(STATEMENTS[name], parameters).fetchone()
        return None if row is None else read(row)


class CachedRows:
    """`Rows` that caches the rows this connection committed, until another connection commits.

    `data_version` shows commits by other connections, in this process and others. It is read
    inside each write transaction, when no other connection can commit.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loaded = SqliteRows(connection)
        self._version: int | None = None
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, Key] = {}
        self._holds: dict[HoldName, Hold] = {}

    def refresh(self) -> None:
        """Clear the cache if the file has changed; call it first in each transaction."""
        version = self._connection.execute("pragma data_version").fetchone()[0]
        if version != self._version or self._count() > _CACHED_MAX:
            self.forget()
            self._version = version

    def _count(self) -> int:
        return len(self._accounts) + len(self._keys) + len(self._holds)

    def forget(self) -> None:
        """Clear the cache."""
        self._accounts.clear()
        self._keys.clear()
        self._holds.clear()

    def remember(self, state: BatchState) -> None:
        """Cache the result of a batch after its commit, with open holds only."""
        self._accounts.update(state.new_accounts)
        self._accounts.update(state.changed_accounts)
        self._keys.update(state.changed_keys)
        for name in state.changed_holds:
            self._holds.pop(name, None)
        for holds in (state.new_holds, state.changed_holds):
            for name, hold in holds.items():
                if hold.state is HoldState.OPEN:
                    self._holds[name] = hold

    def account(self, account_id: str) -> Account | None:
        """See `Rows.account`."""
        return self._accounts.get(account_id) or self._loaded.account(account_id)

    def key(self, key_hash: str) -> Key | None:
        """See `Rows.key`."""
        return self._keys.get(key_hash) or self._loaded.key(key_hash)

    def hold(self, account_id: str, hold_id: str) -> Hold | None:
        """See `Rows.hold`."""
        return self._holds.get((account_id, hold_id)) or self._loaded.hold(account_id, hold_id)

    def prior(self, account_id: str, reference: str) -> Entry | None:
        """See `Rows.prior`."""
        return self._loaded.prior(account_id, reference)
