from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from modelgates_server.core.audit.findings import UNREADABLE, Finding, Findings, Row
from modelgates_server.core.audit.holds import HoldsAudit
from modelgates_server.core.audit.journal import JournalAudit
from modelgates_server.core.keys import Key, windows_of_charges
from modelgates_server.core.ledger.records import Account, Entry, EntryKind, Hold
from modelgates_server.core.times import MS_PER_DAY, day_of
from tests.core.conftest import OneAccount
from tests.support import (
    DOLLAR,
    HOLD_MS,
    T0_MS,
    adjust,
    capture,
    capture_late,
    closing,
    expire,
    extend,
    place,
    repair,
    void,
)

replace = msgspec.structs.replace

FIGURES = {
    Account: ("credits_pico", "usage_pico", "held_pico", "last_seq"),
    Entry: (
        "seq",
        "balance_after_pico",
        "held_after_pico",
        "amount_pico",
        "held_pico",
        "platform_pico",
        "overrun_pico",
    ),
    Hold: ("amount_pico", "charged_pico", "created_at_ms", "ended_at_ms"),
    Key: (
        "held_pico",
        "usage_pico",
        "usage_day",
        "usage_daily_pico",
        "usage_weekly_pico",
        "usage_monthly_pico",
    ),
}


class Rows(msgspec.Struct):
    """All rows of one account, and the audit of them."""

    account: Account
    keys: list[Key]
    entries: list[Entry]
    holds: list[Hold]

    def __iter__(self) -> Iterator[Row]:
        return iter([self.account, *self.keys, *self.entries, *self.holds])

    def with_changed(self, row: Row, **members: object) -> "Rows":
        def changed(other: Any) -> Any:
            return replace(other, **members) if other is row else other

        return Rows(
            changed(self.account),
            [changed(key) for key in self.keys],
            [changed(entry) for entry in self.entries],
            [changed(hold) for hold in self.holds],
        )

    def audit(self, page: int = 1000) -> list[Finding]:
        findings = Findings(self.account.id)
        if not findings.can_read("account", self.account.id, self.account):
            return findings.noted
        keys = [key for key in self.keys if findings.can_read("key", key.hash, key)]
        journal = JournalAudit(self.account, keys, findings)
        for start in range(0, len(self.entries), page):
            journal.take(self.entries[start : start + page])
        journal.close()
        audit = HoldsAudit(self.account, keys, findings)
        rows: list[Entry | Hold] = [entry for entry in self.entries if entry.hold_id is not None]
        rows += self.holds
        for row in sorted(rows, key=_hold_order):
            if isinstance(row, Hold):
                audit.row(row)
            else:
                audit.entry(row)
        audit.close()
        return findings.noted


def _hold_order(row: Entry | Hold) -> tuple[str, bool]:
    """Orders rows by hold: its entries in the order of the journal, then its row."""
    return (str(row.id), True) if isinstance(row, Hold) else (str(row.hold_id), False)


def all_rows(ledger: OneAccount) -> Rows:
    return Rows(
        ledger.accounts[ledger.id],
        list(ledger.keys.values()),
        ledger.entries(ledger.id),
        list(ledger.holds.values()),
    )


def keep_busy(ledger: OneAccount) -> None:
    """Posts every kind of entry, over five weeks, with a clock that steps back."""
    other = ledger.add_key()
    for number in range(12):
        at_ms = T0_MS + number * 3 * MS_PER_DAY
        hold_id = f"gen-{number:02}"
        key_hash = other if number % 4 == 1 else ledger.key_hash
        ledger.run(place(ledger.id, key_hash, hold_id, DOLLAR // 2, at_ms))
        ledger.run(extend(ledger.id, key_hash, hold_id, "1", DOLLAR // 8 + number, at_ms))
        if number % 4 == 0:
            ledger.run(
                capture(ledger.id, key_hash, hold_id, DOLLAR // 10 + number, at_ms - MS_PER_DAY)
            )
        elif number % 4 == 1:
            ledger.run(capture(ledger.id, key_hash, hold_id, DOLLAR, at_ms))
        elif number % 4 == 2:
            ledger.run(void(ledger.id, key_hash, hold_id, at_ms))
        else:
            ledger.run(expire(ledger.id, key_hash, hold_id, at_ms + HOLD_MS, DOLLAR // 100))
            used_pico = DOLLAR // 12 * number  # that of call 11 is above its hold
            ledger.run(capture_late(ledger.id, key_hash, hold_id, used_pico, at_ms + MS_PER_DAY))
    ledger.run(place(ledger.id, other, "ahead", 3))
    ledger.run(capture(ledger.id, other, "ahead", 3, T0_MS + 99 * MS_PER_DAY))
    now_ms = T0_MS + 35 * MS_PER_DAY
    charges = Counter[int]()
    for entry in ledger.journal:
        if entry.key_hash == other:
            charges[day_of(entry.at_ms)] -= entry.amount_pico
    ledger.run(repair(ledger.keys[other], now_ms, windows_of_charges(charges, now_ms)))
    ledger.run(adjust(ledger.id, -DOLLAR))
    ledger.run(place(ledger.id, ledger.key_hash, "open", DOLLAR // 4))
    ledger.run(place(ledger.id, other, "open-and-free", 0))


@pytest.fixture
def busy(ledger: OneAccount) -> Rows:
    keep_busy(ledger)
    return all_rows(ledger)


def invariants(found: Sequence[Finding]) -> set[str]:
    return {finding.invariant for finding in found}


def messages(found: Sequence[Finding]) -> list[str]:
    return [finding.message for finding in found]


def ended(rows: Rows, kind: EntryKind) -> Entry:
    return next(entry for entry in rows.entries if entry.kind is kind)


@pytest.mark.parametrize("page", [1, 7, 1000])
def test_valid_ledger_has_no_findings(busy: Rows, page: int) -> None:
    assert set(EntryKind) - {entry.kind for entry in busy.entries} == {EntryKind.CLOSE}
    assert busy.audit(page) == []


def test_account_closed_during_a_free_call_has_no_findings(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "free", 0))
    ledger.run(adjust(ledger.id, -10 * DOLLAR))
    ledger.run(closing(ledger.id))
    ledger.run(void(ledger.id, ledger.key_hash, "free"))
    assert all_rows(ledger).audit() == []


@pytest.mark.parametrize("step", [1, -1])
def test_amount_off_by_one_pico_is_found(busy: Rows, step: int) -> None:
    for row in busy:
        for name in FIGURES[type(row)]:
            now = getattr(row, name)
            damaged = busy.with_changed(row, **{name: 5 if now is None else now + step})
            assert damaged.audit(), f"{name} of {row}"


def test_missing_entry_is_found(busy: Rows) -> None:
    for entry in busy.entries:
        kept = [other for other in busy.entries if other is not entry]
        lost = Rows(busy.account, busy.keys, kept, busy.holds)
        assert "I4" in invariants(lost.audit()), entry


def test_missing_hold_is_found(busy: Rows) -> None:
    for hold in busy.holds:
        kept = [other for other in busy.holds if other is not hold]
        lost = Rows(busy.account, busy.keys, busy.entries, kept)
        assert "I6" in invariants(lost.audit()), hold


def test_wrong_kind_of_entry_is_found(busy: Rows) -> None:
    for entry in busy.entries:
        for kind in set(EntryKind) - {entry.kind}:
            assert busy.with_changed(entry, kind=kind).audit(), f"{entry} as {kind}"


@pytest.mark.parametrize("value", [None, 1.5, "x", b"x", True, 2**70, -(2**70)], ids=repr)
def test_invalid_value_of_a_row_does_not_break_the_audit(busy: Rows, value: object) -> None:
    for row in busy:
        for name in type(row).__struct_fields__:
            busy.with_changed(row, **{name: value}).audit()


def test_float_in_place_of_an_integer_is_found(busy: Rows) -> None:
    grant = busy.entries[1]
    damaged = busy.with_changed(grant, amount_pico=float(grant.amount_pico))
    assert (
        damaged.audit()[0].message == "entry 2 cannot be read: amount_pico holds 10000000000000.0"
    )


def test_unknown_kind_is_found_by_name(busy: Rows) -> None:
    damaged = busy.with_changed(busy.entries[1], kind="nonsense")
    first = damaged.audit()[0]
    assert first == Finding(
        UNREADABLE, busy.account.id, "entry 2 cannot be read: kind holds 'nonsense'"
    )


def test_finding_shows_amounts_in_dollars(busy: Rows) -> None:
    damaged = busy.with_changed(busy.account, credits_pico=9 * DOLLAR + 1)
    assert damaged.audit()[0].message == (
        "credits of the account: 9.000000000001, but 9 according to the journal"
    )


def test_findings_of_one_invariant_are_limited_to_five(busy: Rows) -> None:
    shifted = [replace(entry, seq=entry.seq * 2) for entry in busy.entries]
    found = Rows(busy.account, busy.keys, shifted, busy.holds).audit()
    assert len([finding for finding in found if finding.invariant == "I4"]) == 5


def test_available_below_the_floor_is_found(busy: Rows) -> None:
    lowest = min(e.balance_after_pico - e.held_after_pico for e in busy.entries[1:])
    at_floor = busy.with_changed(busy.account, min_balance_pico=0)
    assert lowest > 0
    assert at_floor.audit() == []
    above = busy.with_changed(busy.account, min_balance_pico=lowest + 1)
    assert invariants(above.audit()) == {"I3"}


def test_hold_that_moves_money_is_found(busy: Rows) -> None:
    hold = ended(busy, EntryKind.HOLD)
    damaged = busy.with_changed(hold, amount_pico=DOLLAR, overrun_pico=-DOLLAR)
    assert (
        f"entry {hold.seq} (hold) has no account on its other side and moves 1, 0, -1, which is "
        "impossible for its kind"
    ) in messages(damaged.audit())


def test_grant_with_an_overrun_is_found(busy: Rows) -> None:
    given = busy.entries[1]
    damaged = busy.with_changed(given, platform_pico=given.platform_pico + 5, overrun_pico=-5)
    assert invariants(damaged.audit()) == {"I7"}


def test_overrun_within_the_hold_is_found(busy: Rows) -> None:
    usage = ended(busy, EntryKind.USAGE)
    damaged = busy.with_changed(usage, platform_pico=usage.platform_pico + 5, overrun_pico=-5)
    assert invariants(damaged.audit()) == {"I6"}


def test_capture_that_pays_the_customer_is_found(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", DOLLAR))
    ledger.run(capture(ledger.id, ledger.key_hash, "h", 0))
    rows = all_rows(ledger)
    damaged = rows.with_changed(rows.entries[-1], amount_pico=DOLLAR, platform_pico=-DOLLAR)
    assert ("hold 'h' is charged -1 by entry 4 for usage of -1 with 1 held") in messages(
        damaged.audit()
    )


def test_charge_on_another_key_is_found(busy: Rows) -> None:
    usage = ended(busy, EntryKind.USAGE)
    other = next(key.hash for key in busy.keys if key.hash != usage.key_hash)
    found = invariants(busy.with_changed(usage, key_hash=other).audit())
    assert found == {"I1", "I2", "I6"}


def test_second_opening_of_an_account_is_found(ledger: OneAccount) -> None:
    ledger.run(adjust(ledger.id, -10 * DOLLAR))
    ledger.run(closing(ledger.id))
    rows = all_rows(ledger)
    reopened = rows.with_changed(
        rows.entries[-1], kind=EntryKind.OPEN, min_balance_pico=0, reason="test"
    )
    open_again = reopened.with_changed(reopened.account, closed_at_ms=None)
    assert messages(open_again.audit()) == ["entry 4 is of kind open; only entry 1 is `open`"]


def test_entry_after_the_closing_of_the_account_is_found(ledger: OneAccount) -> None:
    ledger.run(adjust(ledger.id, -10 * DOLLAR))
    ledger.run(closing(ledger.id))
    rows = all_rows(ledger).with_changed(ledger.accounts[ledger.id], last_seq=5)
    rows.entries.append(replace(rows.entries[-1], seq=5))
    assert messages(rows.audit()) == ["entry 5 (close) comes after the account was closed"]


def test_second_charge_of_a_hold_is_found(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", DOLLAR))
    ledger.run(capture(ledger.id, ledger.key_hash, "h", 0))
    rows = all_rows(ledger).with_changed(ledger.accounts[ledger.id], last_seq=5)
    rows.entries.append(replace(rows.entries[-1], seq=5))
    assert "hold 'h' is charged a second time by entry 5" in messages(rows.audit())


def test_hold_without_entries_is_found(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", DOLLAR))
    rows = all_rows(ledger)
    rows.holds.append(replace(rows.holds[0], id="i"))
    assert rows.audit() == [
        Finding("I6", ledger.id, "hold 'i' has a row with 1 but no entries"),
        Finding("I2", ledger.id, "held of the account is 1, but its open holds sum to 2"),
        Finding(
            "I2", ledger.id, f"held of key {ledger.key_hash} is 1, but its open holds sum to 2"
        ),
    ]


def test_bool_in_place_of_an_amount_is_found(busy: Rows) -> None:
    found = busy.with_changed(busy.entries[1], held_pico=False).audit()
    assert found[0].message == "entry 2 cannot be read: held_pico holds False"
