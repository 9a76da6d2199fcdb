"""Applies the commands of a batch to rows, in order, and collects the changes to save."""

from collections.abc import Sequence

from modelgates_server.core.errors import GatewayError
from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.commands import (
    Attachment,
    Command,
    CommandResult,
    HoldCommand,
    KeyCommand,
    PlaceHold,
)
from modelgates_server.core.ledger.records import Account, Entry, Hold
from modelgates_server.core.ledger.references import replay, stored_spellings
from modelgates_server.core.ledger.rules import Change, State, apply
from modelgates_server.store.batching.plan import HoldName, Reference, Rows, WriteRequest

Result = CommandResult | Exception
"""The outcome of one command of a batch. A command that ends in an exception changed nothing."""


class BatchState:
    """The rows of one batch: each is read once and written once, however often it changes.

    Unless `check_references` is set, a command is assumed to be new: its reference is looked up
    only if the rules reject it or if it may be stored in another spelling, and a hold to be placed
    is not looked up at all. If the assumption is wrong, saving violates a unique constraint, and
    the batch is rolled back and run again with `check_references`. Almost all commands are new, and
    save two lookups each.

    `attachments` has the attachments of accepted commands by kind, in the order of the commands.
    """

    def __init__(self, rows: Rows, total_cap_pico: int | None, *, check_references: bool) -> None:
        self._rows = rows
        self._total_cap_pico = total_cap_pico
        self._check_references = check_references
        self._accounts: dict[str, Account | None] = {}
        self._keys: dict[str, Key | None] = {}
        self._holds: dict[HoldName, Hold | None] = {}
        self._priors: dict[Reference, Entry] = {}
        self.entries: list[Entry] = []
        self.new_accounts: dict[str, Account] = {}
        self.changed_accounts: dict[str, Account] = {}
        self.changed_keys: dict[str, Key] = {}
        self.new_holds: dict[HoldName, Hold] = {}
        self.changed_holds: dict[HoldName, Hold] = {}
        self.attachments: dict[type[Attachment], list[Attachment]] = {}

    def apply(self, requests: Sequence[WriteRequest]) -> list[Result]:
        """Apply the commands in order; an error or a bug in one does not affect the others."""
        return [self._apply_one(request) for request in requests]

    def _apply_one(self, request: WriteRequest) -> Result:
        command = request.command
        prior = self._priors.get((command.account_id, command.reference))
        if prior is None and (self._check_references or not command.reference.isascii()):
            prior = self._prior(command)
        try:
            if prior is not None:
                return replay(prior, command)
            state = self._state(command)
            change = apply(state, command, self._total_cap_pico)
        except (GatewayError, AssertionError) as error:
            return self._replay_or(error, command)
        self._keep(state, change)
        for attachment in request.attachments:
            self.attachments.setdefault(type(attachment), []).append(attachment)
        return CommandResult(change.entry, replayed=False)

    def _replay_or(self, error: Exception, command: Command) -> Result:
        """The replay of an earlier command with this reference, or the error."""
        prior = None
        if not self._check_references:
            prior = self._prior(command)
        if prior is None:
            return error
        try:
            return replay(prior, command)
        except GatewayError as reused:
            return reused

    def _prior(self, command: Command) -> Entry | None:
        account_id = command.account_id
        spellings = stored_spellings(command.reference)
        priors = (self._rows.prior(account_id, reference) for reference in spellings)
        return next(filter(None, priors), None)

    def _state(self, command: Command) -> State:
        account = self._account(command.account_id)
        if not isinstance(command, KeyCommand):
            return State(account)
        hold = self._hold(command) if isinstance(command, HoldCommand) else None
        return State(account, self._key(command.key_hash), hold)

    def _account(self, account_id: str) -> Account | None:
        if account_id not in self._accounts:
            self._accounts[account_id] = self._rows.account(account_id)
        return self._accounts[account_id]

    def _key(self, key_hash: str) -> Key | None:
        if key_hash not in self._keys:
            self._keys[key_hash] = self._rows.key(key_hash)
        return self._keys[key_hash]

    def _hold(self, command: HoldCommand) -> Hold | None:
        name = (command.account_id, command.hold_id)
        if name not in self._holds:
            if isinstance(command, PlaceHold) and not self._check_references:
                return None
            self._holds[name] = self._rows.hold(*name)
        return self._holds[name]

    def _keep(self, state: State, change: Change) -> None:
        account, key, hold = change.account, change.key, change.hold
        new = state.account is None or account.id in self.new_accounts
        (self.new_accounts if new else self.changed_accounts)[account.id] = account
        self._accounts[account.id] = account
        if key is not None:
            self._keys[key.hash] = self.changed_keys[key.hash] = key
        if hold is not None:
            name = (hold.account_id, hold.id)
            new = state.hold is None or name in self.new_holds
            (self.new_holds if new else self.changed_holds)[name] = hold
            self._holds[name] = hold
        self.entries.append(change.entry)
        self._priors[account.id, change.entry.reference] = change.entry
