"""Checks one account's holds against its journal.

I2 the held amount is the sum of the open holds
I5 a hold starts once and ends at most once
I6 a hold is charged at most once, and once more by late usage if it has expired, and its row agrees
   with the journal
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from modelgates_server.core.audit.findings import Findings, oddity
from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import (
    ENDS_AS,
    Account,
    Entry,
    EntryKind,
    Hold,
    HoldState,
)
from modelgates_server.core.money import format_pico

replace = msgspec.structs.replace

_NOT_COMPARED = {"account_id", "id", "expires_at_ms"}
"""The names of a hold, and a field that no entry has."""

_HOLD_FIGURES = {name: "I6" for name in Hold.__struct_fields__ if name not in _NOT_COMPARED}


class HoldsAudit:
    """Folds holds in the order of their ids: each hold's entries by `seq`, then its row.

    Call `entry` and `row` in that order, then `close`. Unreadable entries are skipped, because
    `JournalAudit` reports them.
    """

    def __init__(self, account: Account, keys: Sequence[Key], findings: Findings) -> None:
        self.holds = 0
        self._account = account
        self._keys = keys
        self._findings = findings
        self._folded: Hold | None = None  # the hold of the entries so far
        self._late: Entry | None = None  # its late usage
        self._open_pico: Counter[str] = Counter()

    def entry(self, entry: Entry) -> None:
        """Folds the next entry that concerns a hold."""
        if entry.hold_id is None or entry.key_hash is None or oddity(entry) is not None:
            return
        folded = self._folded
        if folded is None or folded.id != entry.hold_id:
            self._check_row_came()
            self._late = None
            folded = Hold(
                account_id=self._account.id,
                id=entry.hold_id,
                key_hash=entry.key_hash,
                state=HoldState.OPEN,
                amount_pico=0,
                created_at_ms=entry.at_ms,
                expires_at_ms=0,
            )
            if entry.kind is not EntryKind.HOLD:
                self._add("I5", folded, f"starts with entry {entry.seq}, a {entry.kind}")
        elif entry.kind is EntryKind.HOLD:
            self._add("I5", folded, f"is placed again by entry {entry.seq}")
        self._check_state(folded, entry)
        if entry.key_hash != folded.key_hash:
            self._add("I6", folded, f"moves to key {entry.key_hash} with entry {entry.seq}")
        self._folded = self._after(folded, entry)

    def row(self, hold: Hold) -> None:
        """Checks a hold's row against its entries."""
        self.holds += 1
        if not self._findings.can_read("hold", hold.id, hold):
            self._folded = None
            return
        if self._folded is not None and self._folded.id == hold.id:
            self._findings.compare(f"hold {hold.id!r}", hold, self._folded, _HOLD_FIGURES)
        else:
            self._check_row_came()
            self._add("I6", hold, f"has a row with {format_pico(hold.amount_pico)} but no entries")
        self._folded = None
        if hold.state is HoldState.OPEN:
            self._open_pico[hold.key_hash] += hold.amount_pico

    def close(self) -> None:
        """Compares the held amounts of account and keys with the sums of the open holds."""
        self._check_row_came()
        self._check_sum("the account", self._account.held_pico, self._open_pico.total())
        for key in self._keys:
            self._check_sum(f"key {key.hash}", key.held_pico, self._open_pico[key.hash])

    def _check_state(self, folded: Hold, entry: Entry) -> None:
        if entry.kind is EntryKind.LATE_USAGE:
            self._check_late(folded, entry)
        elif folded.state is not HoldState.OPEN:
            self._add("I5", folded, f"has ended, but entry {entry.seq} ({entry.kind}) follows")
            if entry.kind is EntryKind.USAGE and folded.state is HoldState.CAPTURED:
                self._add("I6", folded, f"is charged a second time by entry {entry.seq}")

    def _check_late(self, folded: Hold, entry: Entry) -> None:
        if folded.state is not HoldState.EXPIRED:
            self._add("I6", folded, f"is {folded.state}, but entry {entry.seq} charges it late")
        if self._late is not None:
            self._add("I6", folded, f"is charged late a second time by entry {entry.seq}")
        self._late = entry
        charged, used = -entry.amount_pico, entry.platform_pico
        available = entry.balance_after_pico + charged - entry.held_after_pico
        spare = available - self._account.min_balance_pico
        due = max(0, min(used, folded.amount_pico - (folded.charged_pico or 0), spare))
        # `JournalAudit` knows whether the account was closed before this entry.
        is_free = self._account.closed_at_ms is not None and charged == 0
        if used < 0 or (charged != due and not is_free):
            self._add(
                "I6",
                folded,
                f"is charged {format_pico(charged)} late by entry {entry.seq} for usage of "
                f"{format_pico(used)}, but {format_pico(due)} was due",
            )

    def _after(self, folded: Hold, entry: Entry) -> Hold:
        if entry.kind is EntryKind.LATE_USAGE:
            if entry.held_pico:
                self._add("I2", folded, f"has ended, but entry {entry.seq} changes what is held")
            return folded
        if entry.kind not in ENDS_AS:
            return replace(folded, amount_pico=folded.amount_pico + entry.held_pico)
        charged, used = -entry.amount_pico, entry.platform_pico
        if entry.held_pico != -folded.amount_pico:
            freed, held = format_pico(-entry.held_pico), format_pico(folded.amount_pico)
            self._add("I2", folded, f"releases {freed} with entry {entry.seq}, but {held} was held")
        if not 0 <= charged == min(used, folded.amount_pico):
            self._add(
                "I6",
                folded,
                f"is charged {format_pico(charged)} by entry {entry.seq} for usage of "
                f"{format_pico(used)} with {format_pico(folded.amount_pico)} held",
            )
        return replace(
            folded, state=ENDS_AS[entry.kind], charged_pico=charged, ended_at_ms=entry.at_ms
        )

    def _check_row_came(self) -> None:
        if self._folded is not None:
            self._add("I6", self._folded, "has entries but no row")

    def _check_sum(self, subject: str, held_pico: int, sum_pico: int) -> None:
        if held_pico != sum_pico:
            self._findings.add(
                "I2",
                f"held of {subject} is {format_pico(held_pico)}, "
                f"but its open holds sum to {format_pico(sum_pico)}",
            )

    def _add(self, invariant: str, hold: Hold, message: str) -> None:
        self._findings.add(invariant, f"hold {hold.id!r} {message}")
