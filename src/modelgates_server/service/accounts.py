"""Accounts, which own credits."""

from collections.abc import AsyncIterator

from modelgates_server.core.errors import AccountNotFound
from modelgates_server.core.ids import ACCOUNT_ID, ACCOUNT_ID_BYTES, account_id
from modelgates_server.core.ledger.commands import CloseAccount, OpenAccount
from modelgates_server.core.ledger.records import Account
from modelgates_server.service.ports import Clock, Ledger, RandomBytes

_PAGE = 200
# An account is opened once and closed once, so these need no randomness.
_OPEN_REFERENCE = "open"
_CLOSE_REFERENCE = "close"


class Accounts:
    """Opens, finds and closes accounts."""

    def __init__(self, ledger: Ledger, clock: Clock, random_bytes: RandomBytes) -> None:
        self._ledger = ledger
        self._clock = clock
        self._random_bytes = random_bytes

    async def open(self, name: str, min_balance_pico: int = 0) -> Account:
        """Open an account under a new id."""
        command = OpenAccount(
            account_id=account_id(self._random_bytes(ACCOUNT_ID_BYTES)),
            reference=_OPEN_REFERENCE,
            at_ms=self._clock(),
            name=name,
            min_balance_pico=min_balance_pico,
        )
        await self._ledger.execute(command)
        return await self.get(command.account_id)

    async def get(self, id_: str) -> Account:
        """The account as of the last commit; raises `AccountNotFound`."""
        account = None
        if ACCOUNT_ID.fullmatch(id_):
            account = await self._ledger.account(id_)
        if account is None:
            raise AccountNotFound(
                f"Account {id_!r} does not exist. `modelgates account list` lists all accounts."
            )
        return account

    async def all(self) -> AsyncIterator[Account]:
        """Every account, in order of id."""
        async for account in every_account(self._ledger):
            yield account

    async def close(self, id_: str) -> Account:
        """Close an account permanently; raises `AccountNotEmpty` if it has a balance or holds."""
        account = await self.get(id_)
        await self._ledger.execute(
            CloseAccount(account_id=account.id, reference=_CLOSE_REFERENCE, at_ms=self._clock())
        )
        return await self.get(id_)


async def every_account(ledger: Ledger) -> AsyncIterator[Account]:
    """All accounts of a ledger in order of id, read in pages."""
    after = ""
    while page := await ledger.accounts(after=after, limit=_PAGE):
        for account in page:
            yield account
        after = page[-1].id
