"""Many commands, one commit: load the rows, apply the commands in order, hand over what changed.

Shared by the databases: they differ in how rows are loaded and saved, not in what happens between.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from modelgates_server.core.errors import GatewayError
from modelgates_server.core.keys import Key
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import Account, Entry, Hold
from modelgates_server.core.ledger.rules import Change, CommandResult, State, apply, replay
from modelgates_server.core.metering.generations import Generation, StoredAnswer

Result = CommandResult | Exception
"""What one command of a batch comes to. An exception here has changed nothing."""


class WriteRequest(msgspec.Struct, frozen=True):
    """A command and what is saved with it, or not at all; see `Ledger.execute`."""

    command: c.Command
    generation: Generation | None = None
    answer: StoredAnswer | None = None

    def __post_init__(self) -> None:
        command, generation, answer = self.command, self.generation, self.answer
        if generation is not None:
            assert isinstance(command, c.HoldCommand), "a generation goes with its hold"
            assert generation.id == command.hold_id, "a generation goes with its own hold"
            assert generation.account_id == command.account_id, "on its own account"
        if answer is not None:
            assert generation is not None, "an answer goes with its generation"
            assert answer.generation_id == generation.id, "an answer goes with its own generation"
            assert answer.account_id == generation.account_id, "on its own account"


class Rows(Protocol):
    """Reads rows inside the open transaction."""

    def account(self, account_id: str) -> Account | None:
        """One account."""

    def key(self, key_hash: str) -> Key | None:
        """One key."""

    def hold(self, account_id: str, hold_id: str) -> Hold | None:
        """One hold."""

    def prior(self, account_id: str, reference: str) -> Entry | None:
        """The entry that bears a reference."""


class BatchState:
    """The rows of one batch: each is read once and written once, however often it changes.

    Unless `check_references`, a command is taken for new: its reference is looked up only when it
    is refused, or may be stored in another spelling, and a hold to be placed not at all. Where that
    was wrong, saving breaks a unique constraint; then the batch is undone and run again with it.
    Nearly all commands are new, and are spared two look-ups each.
    """

    def __init__(self, rows: Rows, total_cap_pico: int | None, *, check_references: bool) -> None:
        self._rows = rows
        self._cap = total_cap_pico
        self._careful = check_references
        self._accounts: dict[str, Account | None] = {}
        self._keys: dict[str, Key | None] = {}
        self._holds: dict[tuple[str, str], Hold | None] = {}
        self._priors: dict[tuple[str, str], Entry] = {}
        self.entries: list[Entry] = []
        self.new_accounts: dict[str, Account] = {}
        self.changed_accounts: dict[str, Account] = {}
        self.changed_keys: dict[str, Key] = {}
        self.new_holds: dict[tuple[str, str], Hold] = {}
        self.changed_holds: dict[tuple[str, str], Hold] = {}
        self.generations: dict[tuple[str, str], Generation] = {}
        self.answers: list[StoredAnswer] = []

    def run(self, postings: Sequence[WriteRequest]) -> list[Result]:
        """Apply the commands in order; one refusal or mistake of ours does not touch the others."""
        return [self._run_one(posting) for posting in postings]

    def _run_one(self, posting: WriteRequest) -> Result:
        command = posting.command
        reference = (command.account_id, command.reference)
        prior = self._priors.get(reference)
        if prior is None and (self._careful or not command.reference.isascii()):
            prior = self._prior(command)
        try:
            if prior is not None:
                return replay(self._state(command, prior), command)
            state = self._state(command)
            change = apply(state, command, self._cap)
        except (GatewayError, AssertionError) as refusal:
            return self._replay_or(refusal, command)
        self._keep(state, change)
        if posting.generation is not None:
            self._keep_generation(posting.generation, posting.answer)
        return CommandResult(change.entry, replayed=False)

    def _replay_or(self, refusal: Exception, command: c.Command) -> Result:
        """What is refused as new may be the repeat of what was accepted before."""
        prior = None
        if not self._careful:
            prior = self._prior(command)
        if prior is None:
            return refusal
        try:
            return replay(self._state(command, prior), command)
        except GatewayError as reused:
            return reused

    def _prior(self, command: c.Command) -> Entry | None:
        found = (self._rows.prior(command.account_id, text) for text in command.stored_spellings)
        return next(filter(None, found), None)

    def _state(self, command: c.Command, prior: Entry | None = None) -> State:
        account = self._account(command.account_id)
        if prior is not None or not isinstance(command, c.HoldCommand):
            return State(account, prior=prior)
        hold = self._hold(command)
        if isinstance(command, c.PlaceHold):
            return State(account, self._key(command.key_hash), hold)
        return State(account, self._key(hold.key_hash) if hold else None, hold)

    def _account(self, account_id: str) -> Account | None:
        if account_id not in self._accounts:
            self._accounts[account_id] = self._rows.account(account_id)
        return self._accounts[account_id]

    def _key(self, key_hash: str) -> Key | None:
        if key_hash not in self._keys:
            self._keys[key_hash] = self._rows.key(key_hash)
        return self._keys[key_hash]

    def _hold(self, command: c.HoldCommand) -> Hold | None:
        name = (command.account_id, command.hold_id)
        if name not in self._holds:
            if isinstance(command, c.PlaceHold) and not self._careful:
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

    def _keep_generation(self, generation: Generation, answer: StoredAnswer | None) -> None:
        self.generations[generation.account_id, generation.id] = generation
        if answer is not None:
            self.answers.append(answer)
