"""The pure ledger over dictionaries: every rule, no database."""

from modelgates_server.core.errors import KeyNotFound
from modelgates_server.core.keys import Key, KeyChange, change_key
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import Account, Entry, Hold
from modelgates_server.core.ledger.rules import CommandResult, State, apply, replay


class PureLedger:
    """Loads the state of a command, applies it, keeps what changed."""

    def __init__(self, total_cap_pico: int | None = None) -> None:
        self.cap = total_cap_pico
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.holds: dict[tuple[str, str], Hold] = {}
        self.journal: list[Entry] = []
        self._priors: dict[tuple[str, str], Entry] = {}

    def run(self, command: c.Command) -> CommandResult:
        state = self._state(command)
        if state.prior is not None:
            return replay(state, command)
        change = apply(state, command, self.cap)
        self.accounts[command.account_id] = change.account
        if change.key is not None:
            self.keys[change.key.hash] = change.key
        if change.hold is not None:
            self.holds[command.account_id, change.hold.id] = change.hold
        self.journal.append(change.entry)
        self._priors[command.account_id, command.reference] = change.entry
        return CommandResult(change.entry, replayed=False)

    def change_key(self, key_hash: str, change: KeyChange, at_ms: int) -> Key:
        key = self.keys[key_hash]
        if key.deleted_at_ms is not None:
            raise KeyNotFound
        self.keys[key_hash] = change_key(key, change, at_ms)
        return self.keys[key_hash]

    def entries(self, account_id: str) -> list[Entry]:
        return [entry for entry in self.journal if entry.account_id == account_id]

    def _state(self, command: c.Command) -> State:
        account_id = command.account_id
        hold = key_hash = None
        if isinstance(command, c.HoldCommand):
            hold = self.holds.get((account_id, command.hold_id))
            key_hash = hold and hold.key_hash
        if isinstance(command, c.PlaceHold):
            key_hash = command.key_hash
        return State(
            account=self.accounts.get(account_id),
            key=self.keys.get(key_hash) if key_hash else None,
            hold=hold,
            prior=self._priors.get((account_id, command.reference)),
        )
