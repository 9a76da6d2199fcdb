"""The services that need a store and nothing more."""

from dataclasses import dataclass

from modelgates_server.service.accounts import Accounts
from modelgates_server.service.credits import Credits
from modelgates_server.service.keys import KeyService
from modelgates_server.service.ports import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerServices:
    """What the command line works with, and a part of what a server process does."""

    store: Store
    accounts: Accounts
    credits: Credits
    keys: KeyService
