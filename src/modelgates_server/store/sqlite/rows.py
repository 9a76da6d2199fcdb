"""Loads the rows of a batch and saves what it changed, inside the writer's transaction."""

from modelgates_server.core.books import Account, Entry, Hold
from modelgates_server.core.keys import Key
from modelgates_server.store import rows
from modelgates_server.store.batching import WorkingSet
from modelgates_server.store.sql import load_statements
from modelgates_server.store.sqlite.connection import Connection

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


def save(connection: Connection, working: WorkingSet) -> None:
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
