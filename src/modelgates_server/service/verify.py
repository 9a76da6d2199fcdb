"""Checks the journal of every account against the invariants I1 to I8 of `core.audit`.

Works while the server writes: the rows of an account are read from one snapshot, and the API's
view of the account is compared with that snapshot only if the account has not changed since.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

import msgspec

from modelgates_server.core.audit.findings import UNREADABLE, Finding, Findings
from modelgates_server.core.audit.generations import GenerationsAudit
from modelgates_server.core.audit.holds import HoldsAudit
from modelgates_server.core.audit.journal import JournalAudit, no_platform_pico
from modelgates_server.core.errors import AccountNotFound, StoreUnavailable
from modelgates_server.service.ports import AccountSnapshot, Archives, Journal, Keys, Ledger
from modelgates_server.service.verify_archives import ArchivesCheck

OnProgress = Callable[[int, int], None]
"""Receives the number of accounts and entries checked so far."""

_ACCOUNTS = 200
_FIGURES = {"credits_pico": "I8", "usage_pico": "I8", "held_pico": "I8"}


class Checked(Ledger, Keys, Journal, Protocol):
    """The ports that a check reads."""


class VerifyResult(msgspec.Struct):
    """The number of checked records, and the findings: damage of the file first, then by account.

    `archived` generations have their records in the `archives`, of which some were not seen.
    `platform_pico` has the total of every platform account, `customers_pico` the sum of all
    balances. Together they are zero if there are no findings.
    """

    findings: list[Finding]
    accounts: int = 0
    entries: int = 0
    holds: int = 0
    generations: int = 0
    archived: int = 0
    archives: list[str] = msgspec.field(default_factory=list)
    archives_not_seen: list[str] = msgspec.field(default_factory=list)
    customers_pico: int = 0
    platform_pico: dict[str, int] = msgspec.field(default_factory=no_platform_pico)


async def verify(
    store: Checked,
    on_progress: OnProgress = lambda *_: None,
    archives: Archives | None = None,
) -> VerifyResult:
    """Check every account, and the records in the archives that are given.

    Raises `StoreUnavailable` if the database cannot be read for a reason other than damage, or if
    the damage prevents finding the accounts.
    """
    result = VerifyResult([Finding(UNREADABLE, None, line) for line in await store.damage()])
    damaged = bool(result.findings)
    archived = ArchivesCheck(archives, [] if damaged else await store.archives())
    result.findings += archived.problems()
    result.archives, result.archives_not_seen = archived.names(), archived.not_seen()
    after = ""
    while page := await store.accounts(after=after, limit=_ACCOUNTS):
        for account in page:
            if type(account.id) is not str or account.id <= after:
                message = f"the account after {after!r} is {account.id!r:.80}: the rest is not safe"
                result.findings.append(Finding(UNREADABLE, None, message))
                return result
            after = account.id
            findings = Findings(after)
            try:
                await _check(store, findings, result, archived, on_progress)
            except (StoreUnavailable, AccountNotFound) as error:
                if not damaged:
                    raise StoreUnavailable(f"account {after} cannot be read: {error}") from error
                findings.add(UNREADABLE, str(error))
            result.findings += findings.noted
            result.accounts += 1
            on_progress(result.accounts, result.entries)
    result.findings += archived.close()
    result.archived = archived.generations
    return result


async def _check(
    store: Checked,
    findings: Findings,
    result: VerifyResult,
    archived: ArchivesCheck,
    on_progress: OnProgress,
) -> None:
    async with store.account_snapshot(findings.account_id) as snapshot:
        account = snapshot.account
        if not findings.can_read("account", account.id, account):
            return
        keys = [key for key in snapshot.keys if findings.can_read("key", key.hash, key)]
        # Read right after the snapshot was taken, so that changes in between are rare.
        authenticated = await store.authenticated_key(keys[0].hash) if keys else None
        now = await store.account(account.id)
        journal = JournalAudit(account, keys, findings)
        async for page in snapshot.entries():
            journal.take(page)
            result.entries += len(page)
            on_progress(result.accounts, result.entries)
        journal.close()
        holds = HoldsAudit(account, keys, findings)
        generations = GenerationsAudit(findings)
        await _check_holds(snapshot, holds, generations, archived)
    if keys and authenticated is None:
        findings.add("I8", f"GET /credits does not find key {keys[0].hash}")
    if now is not None and now.last_seq == account.last_seq:
        for reader, shown in (("`credits show`", now), ("GET /credits", authenticated)):
            if shown is not None:
                findings.compare(f"the account in {reader}", shown, journal, _FIGURES)
    result.holds += holds.holds
    result.generations += generations.generations
    result.customers_pico += account.balance_pico
    for name, amount_pico in journal.platform_pico.items():
        result.platform_pico[name] += amount_pico


async def _check_holds(
    snapshot: AccountSnapshot,
    holds: HoldsAudit,
    generations: GenerationsAudit,
    archived: ArchivesCheck,
) -> None:
    """Merge streams: all entries of a hold, then its row, then its generation.

    If the record of a generation is in an archive, the record comes before the rest of it.
    """
    records = archived.records(snapshot.account.id)
    streams = [
        _Stream(snapshot.hold_entries(), "hold_id", holds.entry, generations.entry),
        _Stream(snapshot.holds(), "id", holds.row),
        _Stream(snapshot.generations(), "id", generations.row),
        _Stream(records, "id", generations.archived_record),
        _Stream(snapshot.archived(), "id", generations.archived, archived.row),
    ]
    for stream in streams:
        await stream.advance()
    while streams := [stream for stream in streams if stream.row is not None]:
        first = min(streams, key=lambda stream: stream.name)  # of equal names, the first stream
        for take in first.takers:
            take(first.row)
        await first.advance()
    holds.close()
    generations.close(await snapshot.activity())


class _Stream:
    """Rows in order of their field `by`, one at a time, with the functions that receive them."""

    def __init__(
        self, pages: AsyncIterator[Sequence[Any]], by: str, *takers: Callable[[Any], None]
    ) -> None:
        self.row: Any = None
        self.name = ""
        self.takers = takers
        self._by = by
        self._rows = _each(pages)

    async def advance(self) -> None:
        """Go to the next row; `row` is None after the last."""
        self.row = await anext(self._rows, None)
        self.name = str(getattr(self.row, self._by, ""))


async def _each(pages: AsyncIterator[Sequence[Any]]) -> AsyncIterator[Any]:
    async for page in pages:
        for row in page:
            yield row
