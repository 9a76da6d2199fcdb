"""The commands of a batch, and the rows they need, which are known before anything is read."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.commands import Attachment, Command, HoldCommand, KeyCommand
from modelgates_server.core.ledger.records import Account, Entry, Hold
from modelgates_server.core.ledger.references import stored_spellings

HoldName = tuple[str, str]
"""Account id and hold id."""

Reference = tuple[str, str]
"""Account id and the text of a reference."""


class WriteRequest(msgspec.Struct, frozen=True):
    """A command and the records saved in its commit; see `Ledger.execute`."""

    command: Command
    attachments: tuple[Attachment, ...] = ()

    def __post_init__(self) -> None:
        for attachment in self.attachments:
            attachment.check_command(self.command)


class RowsNeeded(msgspec.Struct, frozen=True):
    """The names of the rows that commands need."""

    accounts: frozenset[str]
    keys: frozenset[str]
    holds: frozenset[HoldName]
    references: frozenset[Reference]


def rows_needed(commands: Iterable[Command]) -> RowsNeeded:
    """All rows that these commands may read, with references in all their stored spellings."""
    accounts, keys = set[str](), set[str]()
    holds, references = set[HoldName](), set[Reference]()
    for command in commands:
        account_id = command.account_id
        accounts.add(account_id)
        references.update((account_id, text) for text in stored_spellings(command.reference))
        if isinstance(command, KeyCommand):
            keys.add(command.key_hash)
        if isinstance(command, HoldCommand):
            holds.add((account_id, command.hold_id))
    return RowsNeeded(frozenset(accounts), frozenset(keys), frozenset(holds), frozenset(references))


class Rows(Protocol):
    """Returns the rows that commands need, as they were before the batch."""

    def account(self, account_id: str) -> Account | None:
        """One account."""

    def key(self, key_hash: str) -> Key | None:
        """One key."""

    def hold(self, account_id: str, hold_id: str) -> Hold | None:
        """One hold."""

    def prior(self, account_id: str, reference: str) -> Entry | None:
        """The entry with a reference."""


class LoadedRows(msgspec.Struct, frozen=True):
    """`Rows` loaded in one step: every row of `RowsNeeded`, or None if it does not exist.

    Reading a row that was not planned is a bug, and raises `KeyError`.
    """

    accounts: Mapping[str, Account | None]
    keys: Mapping[str, Key | None]
    holds: Mapping[HoldName, Hold | None]
    priors: Mapping[Reference, Entry | None]

    def account(self, account_id: str) -> Account | None:
        """See `Rows.account`."""
        return self.accounts[account_id]

    def key(self, key_hash: str) -> Key | None:
        """See `Rows.key`."""
        return self.keys[key_hash]

    def hold(self, account_id: str, hold_id: str) -> Hold | None:
        """See `Rows.hold`."""
        return self.holds[account_id, hold_id]

    def prior(self, account_id: str, reference: str) -> Entry | None:
        """See `Rows.prior`."""
        return self.priors[account_id, reference]


def load_each(rows: Rows, needed: RowsNeeded) -> LoadedRows:
    """Load rows one by one, for a store in which a lookup is not a round trip."""
    return LoadedRows(
        accounts={account_id: rows.account(account_id) for account_id in needed.accounts},
        keys={key_hash: rows.key(key_hash) for key_hash in needed.keys},
        holds={name: rows.hold(*name) for name in needed.holds},
        priors={reference: rows.prior(*reference) for reference in needed.references},
    )
