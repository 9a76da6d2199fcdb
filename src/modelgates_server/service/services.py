"""The services that need only a store."""

from dataclasses import dataclass

from modelgates_server.service.accounts import Accounts
from modelgates_server.service.credits import Credits
from modelgates_server.service.key_repair import KeyRepair
from modelgates_server.service.keys import KeyService
from modelgates_server.service.ports import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerServices:
    """The services of the command line, which a server process uses too."""

    store: Store
    accounts: Accounts
    credits: Credits
    keys: KeyService
    key_repair: KeyRepair
