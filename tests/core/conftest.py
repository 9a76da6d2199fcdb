from typing import TypeVar

import pytest

from modelgates_server.core.errors import GatewayError
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import Entry
from tests.core.pure import PureLedger
from tests.support import DOLLAR, grant, new_account_id, new_key, opening

E = TypeVar("E", bound=GatewayError)


class OneAccount(PureLedger):
    """A pure ledger with one account of ten dollars and one key without a limit."""

    def __init__(self) -> None:
        super().__init__()
        self.id = new_account_id()
        self.run(opening(self.id))
        self.run(grant(self.id, 10 * DOLLAR))
        self.key_hash = self.add_key()

    @property
    def figures(self) -> tuple[int, int, int]:
        account = self.accounts[self.id]
        return account.credits_pico, account.usage_pico, account.held_pico

    def at_first(self, command: c.Command) -> Entry:
        """Runs a new command and returns its entry."""
        result = self.run(command)
        assert not result.replayed
        return result.entry

    def refusal(self, command: c.Command, kind: type[E]) -> E:
        """Returns the error of a command, after checking that it changed nothing."""
        before = self.figures, dict(self.keys), dict(self.holds), list(self.journal)
        with pytest.raises(kind) as refused:
            self.run(command)
        assert (self.figures, self.keys, self.holds, self.journal) == before
        return refused.value

    def add_key(self, **members: object) -> str:
        _, key = new_key(self.id, **members)
        self.keys[key.hash] = key
        return key.hash


@pytest.fixture
def ledger() -> OneAccount:
    return OneAccount()
