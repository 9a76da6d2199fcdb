"""Loads the rows of a batch and saves what it changed, inside the writer's transaction."""

from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import Account, Entry, Hold, HoldState
from modelgates_server.core.metering.generations import activity_of
from modelgates_server.store import rows
from modelgates_server.store.batching import BatchState
from modelgates_server.store.sql import load_statements
from modelgates_server.store.sqlite.connection import Connection

_CACHED_MAX = 100_000

STATEMENTS = load_statements(__package__, "ledger.sql")


class SqliteRows:
    """`batching.Rows` in a transaction. Single look-ups: set-based ones gained 1 us a row."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def account(self, account_id: str) -> Account | None:
        """One account."""
        row = self._execute(STATEMENTS["account"], (account_id,)).fetchone()
        return None if row is None else rows.account_of(row)

    def key(self, key_hash: str) -> Key | None:
        """One key."""
        row = self._execute(STATEMENTS["key"], (key_hash,)).fetchone()
        return None if row is None else rows.key_of(row)

    def hold(self, account_id: str, hold_id: str) -> Hold | None:
        """One hold."""
        row = self._execute(STATEMENTS["hold"], (account_id, hold_id)).fetchone()
        return None if row is None else rows.hold_of(row)

    def prior(self, account_id: str, reference: str) -> Entry | None:
        """The entry that bears a reference."""
        row = self._execute(STATEMENTS["prior"], (account_id, reference)).fetchone()
        return None if row is None else rows.entry_of(row)


class CachedRows:
    """`batching.Rows` that remembers what this connection committed, while nobody else commits.

    `data_version` tells of commits by other connections, in this process and others; it is asked
    inside each write transaction, when nobody can commit any more.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loaded = SqliteRows(connection)
        self._version: int | None = None
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, Key] = {}
        self._holds: dict[tuple[str, str], Hold] = {}

    def refresh(self) -> None:
        """Forget everything if the file has changed; call it first in each transaction."""
        version = self._connection.execute("pragma data_version").fetchone()[0]
        if version != self._version or self._count() > _CACHED_MAX:
            self.forget()
            self._version = version

    def _count(self) -> int:
        return len(self._accounts) + len(self._keys) + len(self._holds)

    def forget(self) -> None:
        """Start empty."""
        self._accounts.clear()
        self._keys.clear()
        self._holds.clear()

    def remember(self, working: BatchState) -> None:
        """Keep what a batch left, after its commit. Of holds only open ones are asked for again."""
        self._accounts.update(working.new_accounts)
        self._accounts.update(working.changed_accounts)
        self._keys.update(working.changed_keys)
        for name in working.changed_holds:
            self._holds.pop(name, None)
        for holds in (working.new_holds, working.changed_holds):
            for name, hold in holds.items():
                if hold.state is HoldState.OPEN:
                    self._holds[name] = hold

    def account(self, account_id: str) -> Account | None:
        """One account."""
        return self._accounts.get(account_id) or self._loaded.account(account_id)

    def key(self, key_hash: str) -> Key | None:
        """One key."""
        return self._keys.get(key_hash) or self._loaded.key(key_hash)

    def hold(self, account_id: str, hold_id: str) -> Hold | None:
        """One hold."""
        return self._holds.get((account_id, hold_id)) or self._loaded.hold(account_id, hold_id)

    def prior(self, account_id: str, reference: str) -> Entry | None:
        """The entry that bears a reference."""
        return self._loaded.prior(account_id, reference)


def save(connection: Connection, working: BatchState) -> None:
    """Write each changed row once; the constraints check the rules again."""
    many = connection.executemany
    if working.new_accounts:
        new = (rows.account_row(account) for account in working.new_accounts.values())
        many(STATEMENTS["insert_account"], new)
    many(
        STATEMENTS["update_account"],
        [
            (a.closed_at_ms, a.credits_pico, a.usage_pico, a.held_pico, a.last_seq, a.id)
            for a in working.changed_accounts.values()
        ],
    )
    many(STATEMENTS["insert_hold"], [rows.hold_row(hold) for hold in working.new_holds.values()])
    many(
        STATEMENTS["update_hold"],
        [
            (h.state.value, h.amount_pico, h.expires_at_ms, h.charged_pico, h.ended_at_ms, *name)
            for name, h in working.changed_holds.items()
        ],
    )
    many(STATEMENTS["insert_entry"], [rows.entry_row(entry) for entry in working.entries])
    many(
        STATEMENTS["update_key_usage"],
        [
            (
                k.last_used_at_ms,
                k.held_pico,
                k.usage_pico,
                k.usage_day,
                k.usage_daily_pico,
                k.usage_weekly_pico,
                k.usage_monthly_pico,
                k.hash,
            )
            for k in working.changed_keys.values()
        ],
    )
    many(
        STATEMENTS["save_generation"],
        [rows.generation_row(generation) for generation in working.generations.values()],
    )
    many(
        STATEMENTS["add_activity"],
        [
            rows.activity_row(generation.account_id, activity)
            for generation in working.generations.values()
            if (activity := activity_of(generation)) is not None
        ],
    )
    many(STATEMENTS["insert_answer"], [rows.answer_row(answer) for answer in working.answers])
