"""The usage of accounts from one UTC day to another, in total or by key, model or day.

The figures are those of the journal: a call counts on the day when it is charged.
"""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Protocol

import msgspec

from modelgates_server.core.ledger.records import Account
from modelgates_server.core.metering.generations import DailyActivity
from modelgates_server.service.accounts import every_account
from modelgates_server.service.ports import ActivityPosition, GenerationReader, Journal, Ledger

FIRST_DAY, LAST_DAY = 0, 2_932_896
"""The range of days: 1970-01-01 to 9999-12-31."""
_PAGE = 5000


class Grouping(StrEnum):
    """The rows of an account: one for each key, model or day."""

    KEY = "key"
    MODEL = "model"
    DAY = "day"


class Reported(Ledger, GenerationReader, Journal, Protocol):
    """The ports that a report reads."""


class Sums(msgspec.Struct):
    """Usage, added up. Amounts are in pico-dollars."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    usage_pico: int = 0

    def add(self, more: "DailyActivity | Sums") -> None:
        """Add a row, or other sums."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(more, name))


class UsageRow(msgspec.Struct, frozen=True):
    """The sums of one account, or of one of its keys (its hash), models or days (since 1970)."""

    account_id: str
    group: str | int | None
    key_name: str | None
    sums: Sums


async def usage_rows(
    store: Reported,
    *,
    account: Account | None,
    from_day: int,
    to_day: int,
    by: Grouping | None,
) -> AsyncIterator[UsageRow]:
    """The rows in the order of account and group, of one account or of all.

    Accounts and groups without usage have no row. Reads a page of one account at a time.
    """
    if account is not None:
        async for row in _of_account(store, account, from_day, to_day, by):
            yield row
        return
    async for each in every_account(store):
        async for row in _of_account(store, each, from_day, to_day, by):
            yield row


async def _of_account(
    store: Reported,
    account: Account,
    from_day: int,
    to_day: int,
    by: Grouping | None,
) -> AsyncIterator[UsageRow]:
    sums: dict[str | int | None, Sums] = {}
    async for row in _activity(store, account.id, from_day, to_day):
        sums.setdefault(_group(row, by), Sums()).add(row)
    names = await _key_names(store, account.id) if by is Grouping.KEY and sums else {}
    for group in sorted(sums, key=lambda group: (type(group).__name__, group)):
        yield UsageRow(account.id, group, names.get(group), sums[group])


def _group(row: DailyActivity, by: Grouping | None) -> str | int | None:
    match by:
        case Grouping.KEY:
            return row.key_hash
        case Grouping.MODEL:
            return row.model
        case Grouping.DAY:
            return row.day
        case None:
            return None


async def _activity(
    store: Reported, account_id: str, from_day: int, to_day: int
) -> AsyncIterator[DailyActivity]:
    """All activity in a range, also if a clock was wrong and set it before or after the others."""
    after = None
    while page := await store.activity(
        account_id, from_day=from_day, to_day=to_day, after=after, limit=_PAGE
    ):
        for row in page:
            yield row
        last = page[-1]
        after = ActivityPosition(last.day, last.key_hash, last.endpoint_id, last.model)


async def _key_names(store: Reported, account_id: str) -> dict[str | int | None, str]:
    async with store.account_snapshot(account_id) as snapshot:
        return {key.hash: key.name for key in snapshot.keys}
