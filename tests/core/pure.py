"""A ledger in dictionaries: all rules, no database."""

from modelgates_server.core.keys import Key, KeyChange, change_key
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import Account, Entry, Hold
from modelgates_server.core.ledger.references import replay
from modelgates_server.core.ledger.rules import State, apply


class PureLedger:
    """Loads the state that a command needs, applies the command and saves the change."""

    def __init__(self, total_cap_pico: int | None = None) -> None:
        self.cap = total_cap_pico
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.holds: dict[tuple[str, str], Hold] = {}
        self.journal: list[Entry] = []
        self._priors: dict[tuple[str, str], Entry] = {}

    def run(self, command: c.Command) -> c.CommandResult:
        prior = self._priors.get((command.account_id, command.reference))
        if prior is not None:
            return replay(prior, command)
        change = apply(self._state(command), command, self.cap)
        self.accounts[command.account_id] = change.account
        if change.key is not None:
            self.keys[change.key.hash] = change.key
        if change.hold is not None:
            self.holds[command.account_id, change.hold.id] = change.hold
        self.journal.append(change.entry)
        self._priors[command.account_id, command.reference] = change.entry
        return c.CommandResult(change.entry, replayed=False)

    def change_key(self, key_hash: str, change: KeyChange, at_ms: int) -> Key:
        key = self.keys[key_hash] = change_key(self.keys[key_hash], change, at_ms)
        return key

    def entries(self, account_id: str) -> list[Entry]:
        return [entry for entry in self.journal if entry.account_id == account_id]

    def _state(self, command: c.Command) -> State:
        account_id = command.account_id
        account = self.accounts.get(account_id)
        if not isinstance(command, c.KeyCommand):
            return State(account)
        hold = None
        if isinstance(command, c.HoldCommand):
            hold = self.holds.get((account_id, command.hold_id))
        return State(account, self.keys.get(command.key_hash), hold)
