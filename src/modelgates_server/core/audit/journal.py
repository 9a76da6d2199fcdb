"""Checks one account's journal. The memory grows with the days on which its keys were charged.

I1 credits, usage and balance are the sums of the entries, and so is the usage of keys
I2 the running held amount of the entries is the sum of their held amounts
I3 available is never below the account's floor, and a closed account is not charged
I4 `seq` has no gap
I5 an entry names a hold or a key exactly if its kind concerns one
I7 the customer's side gains what the platform's side loses
"""

from collections.abc import Sequence

import msgspec

from modelgates_server.core.audit.findings import Findings
from modelgates_server.core.keys import (
    Key,
    charge_key,
    is_dated_ahead,
    windows_of_charges,
    with_windows,
)
from modelgates_server.core.ledger.records import (
    ENDS_AS,
    MAY_FOLLOW_CLOSING,
    Account,
    Entry,
    EntryKind,
    PlatformAccount,
)
from modelgates_server.core.money import format_pico
from modelgates_server.core.times import day_of

MAY_OVERDRAW: frozenset[EntryKind] = frozenset()
"""Kinds of entries that may take the available amount below the floor: none so far."""

OVERRUN = "overrun"
"""The platform's account for usage above a hold. `PlatformAccount` names the others."""

replace = msgspec.structs.replace

_HOLDING = frozenset({EntryKind.HOLD, EntryKind.EXTEND})
_OF_HOLD = frozenset({*_HOLDING, *ENDS_AS, EntryKind.LATE_USAGE})
_OTHER_SIDE = {
    EntryKind.GRANT: PlatformAccount.GRANTS,
    EntryKind.ADJUSTMENT: PlatformAccount.ADJUSTMENTS,
    EntryKind.USAGE: PlatformAccount.REVENUE,
    EntryKind.EXPIRE: PlatformAccount.REVENUE,
    EntryKind.LATE_USAGE: PlatformAccount.REVENUE,
}
_CREDITING = {kind for kind, side in _OTHER_SIDE.items() if side is not PlatformAccount.REVENUE}
_ACCOUNT_FIGURES = {
    "last_seq": "I4",
    "min_balance_pico": "I3",
    "credits_pico": "I1",
    "usage_pico": "I1",
    "closed_at_ms": "I1",
    "name": "I1",
    "created_at_ms": "I1",
    "held_pico": "I2",
}
_KEY_FIGURES = {
    "usage_pico": "I1",
    "usage_day": "I1",
    "usage_daily_pico": "I1",
    "usage_weekly_pico": "I1",
    "usage_monthly_pico": "I1",
    "held_pico": "I2",
}


def no_platform_pico() -> dict[str, int]:
    """Returns 0 for every platform account."""
    return dict.fromkeys((*(account.value for account in PlatformAccount), OVERRUN), 0)


class JournalAudit:
    """Folds an account's entries in the order of `seq`: call `take` for every page, then `close`.

    `platform_pico` has the sum of the account's entries for each platform account.
    """

    def __init__(self, account: Account, keys: Sequence[Key], findings: Findings) -> None:
        self.entries = 0
        self.platform_pico = no_platform_pico()
        self.credits_pico = self.usage_pico = self.held_pico = 0
        self._seq = self._balance_after_pico = self._held_after_pico = 0
        self._closed_at_ms: int | None = None
        self._open: Entry | None = None
        self._account = account
        self._key_rows = keys
        self._keys: dict[str, Key | None] = {key.hash: _unused(key) for key in keys}
        self._charges_pico: dict[str, dict[int, int]] = {}  # of each key, by day
        self._findings = findings

    def take(self, page: Sequence[Entry]) -> None:
        """Folds the next entries."""
        for entry in page:
            self.entries += 1
            self._number(entry)
            if self._findings.can_read("entry", entry.seq, entry):
                self._check_order(entry)
                self._check_line(entry)
                self._check_sides(entry)
                self._add(entry)

    def close(self) -> None:
        """Compares the sums of the entries with the rows of the account and its keys."""
        folded = replace(
            self._account,
            last_seq=self._seq,
            credits_pico=self.credits_pico,
            usage_pico=self.usage_pico,
            held_pico=self.held_pico,
            closed_at_ms=self._closed_at_ms,
        )
        if self._open is not None:  # its absence breaks I4
            folded = replace(
                folded,
                name=self._open.reason,
                created_at_ms=self._open.at_ms,
                min_balance_pico=self._open.min_balance_pico,
            )
        self._findings.compare("the account", self._account, folded, _ACCOUNT_FIGURES)
        platform = sum(self.platform_pico.values())
        if platform != -self._account.balance_pico:
            self._findings.add(
                "I7",
                f"platform's side of the account is {format_pico(platform)}, which does not "
                f"mirror the balance of {format_pico(self._account.balance_pico)}",
            )
        for key in self._key_rows:
            self._findings.compare(f"key {key.hash}", key, self._keys[key.hash], _KEY_FIGURES)

    def _number(self, entry: Entry) -> None:
        if entry.seq != self._seq + 1:
            self._findings.add("I4", f"entry {self._seq + 1} is missing: {entry.seq!r} follows")
        if type(entry.seq) is int:
            self._seq = entry.seq

    def _check_order(self, entry: Entry) -> None:
        if (entry.kind is EntryKind.OPEN) != (entry.seq == 1):
            self._findings.add(
                "I4", f"entry {entry.seq} is of kind {entry.kind}; only entry 1 is `open`"
            )
        if self._closed_at_ms is None:
            return
        if entry.kind not in MAY_FOLLOW_CLOSING:
            self._findings.add(
                "I4", f"entry {entry.seq} ({entry.kind}) comes after the account was closed"
            )
        elif entry.amount_pico:
            self._findings.add(
                "I3", f"entry {entry.seq} ({entry.kind}) charges the account after it was closed"
            )

    def _check_line(self, entry: Entry) -> None:
        """Checks the two `after` amounts against those of the previous entry, and the floor."""
        balance = self._balance_after_pico + entry.amount_pico
        held = self._held_after_pico + entry.held_pico
        self._balance_after_pico = entry.balance_after_pico
        self._held_after_pico = entry.held_after_pico
        available = entry.balance_after_pico - entry.held_after_pico
        if entry.balance_after_pico != balance:
            self._findings.add(
                "I1",
                f"balance after entry {entry.seq}: {format_pico(entry.balance_after_pico)}, but "
                f"{format_pico(balance)} according to the previous entry and its amount",
            )
        if entry.held_after_pico != held:
            self._findings.add(
                "I2",
                f"held after entry {entry.seq}: {format_pico(entry.held_after_pico)}, but "
                f"{format_pico(held)} according to the previous entry and its hold",
            )
        if available < self._account.min_balance_pico and entry.kind not in MAY_OVERDRAW:
            self._findings.add(
                "I3",
                f"available after entry {entry.seq} ({entry.kind}) is {format_pico(available)}, "
                f"below the floor of {format_pico(self._account.min_balance_pico)}",
            )

    def _check_sides(self, entry: Entry) -> None:
        money = (entry.amount_pico, entry.platform_pico, entry.overrun_pico)
        if sum(money):
            self._findings.add(
                "I7", f"amounts of entry {entry.seq} do not sum to 0: {_listed(money)}"
            )
        side = _OTHER_SIDE.get(entry.kind)
        # No money moves without a platform account, and only usage can exceed a hold.
        wrongly_moved = (
            any(money) if side is None else side is not PlatformAccount.REVENUE and money[2]
        )
        if entry.platform is not side or wrongly_moved:
            self._findings.add(
                "I7",
                f"entry {entry.seq} ({entry.kind}) has {entry.platform or 'no account'} on its "
                f"other side and moves {_listed(money)}, which is impossible for its kind",
            )

    def _add(self, entry: Entry) -> None:
        if entry.kind in _CREDITING:
            self.credits_pico += entry.amount_pico
        else:
            self.usage_pico -= entry.amount_pico
        self.held_pico += entry.held_pico
        if entry.platform is not None:
            self.platform_pico[entry.platform.value] += entry.platform_pico
        self.platform_pico[OVERRUN] += entry.overrun_pico
        if entry.kind is EntryKind.OPEN:
            self._open = entry
        if entry.kind is EntryKind.CLOSE:
            self._closed_at_ms = entry.at_ms
        of_hold = entry.kind in _OF_HOLD
        of_key = of_hold or entry.kind is EntryKind.KEY_REPAIR
        if (entry.hold_id is not None, entry.key_hash is not None) != (of_hold, of_key):
            wrong = "lacks its hold or key" if of_hold else "names a hold or key but may not"
            self._findings.add("I5", f"entry {entry.seq} ({entry.kind}) {wrong}")
        elif entry.key_hash is not None:
            self._add_to_key(entry, entry.key_hash)

    def _add_to_key(self, entry: Entry, key_hash: str) -> None:
        if key_hash not in self._keys:
            self._keys[key_hash] = None
            self._findings.add(
                "I1", f"entry {entry.seq} is on key {key_hash!r}, which the account does not have"
            )
        key = self._keys[key_hash]
        if key is None:
            return
        if entry.kind in _HOLDING:
            self._keys[key_hash] = replace(key, held_pico=key.held_pico + entry.held_pico)
        elif entry.kind is EntryKind.KEY_REPAIR:
            self._keys[key_hash] = self._repaired(key, entry)
        else:
            day = day_of(entry.at_ms)
            charges = self._charges_pico.setdefault(key_hash, {})
            charges[day] = charges.get(day, 0) - entry.amount_pico
            self._keys[key_hash] = charge_key(
                key,
                charged_pico=-entry.amount_pico,
                released_pico=-entry.held_pico,
                at_ms=entry.at_ms,
            )

    def _repaired(self, key: Key, entry: Entry) -> Key:
        if not is_dated_ahead(key, entry.at_ms):
            self._findings.add(
                "I1", f"entry {entry.seq} opens a window of key {key.hash} that was not shut"
            )
        charges = self._charges_pico.get(key.hash, {})
        return with_windows(key, windows_of_charges(charges, entry.at_ms), entry.at_ms)


def _listed(amounts: Sequence[int]) -> str:
    return ", ".join(map(format_pico, amounts))


def _unused(key: Key) -> Key:
    return replace(key, **dict.fromkeys(_KEY_FIGURES, 0))
