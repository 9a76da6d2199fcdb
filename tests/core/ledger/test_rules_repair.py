"""Windows that a wrong clock shut are opened from the journal, and no others."""

from collections import Counter
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import (
    AccountClosed,
    Conflict,
    KeyLimitExceeded,
    KeyNotFound,
    ReferenceReused,
)
from modelgates_server.core.keys import Key, WindowUsage, windows_at, windows_of_charges
from modelgates_server.core.ledger.records import Entry, EntryKind
from modelgates_server.core.times import MS_PER_DAY, LimitReset, day_of, resets_at_ms
from tests.core.audit.test_journal import all_rows, invariants, messages
from tests.core.conftest import OneAccount
from tests.support import DOLLAR, T0_MS, adjust, capture, closing, place, repair

FUTURE_MS = T0_MS + 400 * MS_PER_DAY
NOTHING = WindowUsage(0, 0, 0)


class LimitedKey(OneAccount):
    """An account whose key may spend 10 picos in a window."""

    def __init__(self, reset: LimitReset = LimitReset.DAILY) -> None:
        super().__init__()
        self.key_hash = self.add_key(limit_pico=10, limit_reset=reset)
        self.calls = 0

    @property
    def key(self) -> Key:
        return self.keys[self.key_hash]

    def spend(self, amount_pico: int, at_ms: int) -> None:
        self.calls += 1
        name = f"h{self.calls}"
        self.run(place(self.id, self.key_hash, name, amount_pico, at_ms))
        self.run(capture(self.id, self.key_hash, name, amount_pico, at_ms))

    def windows(self, at_ms: int) -> WindowUsage:
        """Sums up the journal again."""
        charges: dict[int, int] = {}
        for entry in self.journal:
            if entry.key_hash == self.key_hash and entry.amount_pico:
                day = day_of(entry.at_ms)
                charges[day] = charges.get(day, 0) - entry.amount_pico
        return windows_of_charges(charges, at_ms)

    def at_repair(self, at_ms: int, reference: str = "repair") -> Entry:
        command = repair(self.key, at_ms, self.windows(at_ms), reference)
        return self.at_first(command)


@pytest.fixture
def limited() -> LimitedKey:
    return LimitedKey()


def test_window_that_a_wrong_clock_shut_is_opened(limited: LimitedKey) -> None:
    limited.spend(3, T0_MS)
    limited.spend(10, FUTURE_MS)
    with pytest.raises(KeyLimitExceeded):
        limited.spend(1, T0_MS)
    entry = limited.at_repair(T0_MS)
    assert entry == Entry(
        account_id=limited.id,
        seq=7,
        kind=EntryKind.KEY_REPAIR,
        reference="repair",
        at_ms=T0_MS,
        balance_after_pico=10 * DOLLAR - 13,
        held_after_pico=0,
        key_hash=limited.key_hash,
        reason="test",
    )
    assert (limited.key.usage_day, limited.key.usage_pico) == (day_of(T0_MS), 13)
    assert windows_at(limited.key, T0_MS) == WindowUsage(3, 3, 3)
    limited.spend(7, T0_MS)
    with pytest.raises(KeyLimitExceeded):
        limited.spend(1, T0_MS)
    assert all_rows(limited).audit() == []


def test_key_is_repaired_while_calls_run(limited: LimitedKey) -> None:
    limited.spend(10, FUTURE_MS)
    limited.run(place(limited.id, limited.key_hash, "free", 0, T0_MS))
    limited.at_repair(T0_MS)
    limited.run(place(limited.id, limited.key_hash, "held", 6, T0_MS))
    with pytest.raises(KeyLimitExceeded):
        limited.spend(5, T0_MS)
    assert limited.key.held_pico == 6


@pytest.mark.parametrize("days", [0, 1, 40])
def test_window_of_the_present_is_never_opened(limited: LimitedKey, days: int) -> None:
    limited.spend(10, T0_MS)
    command = repair(limited.key, T0_MS + days * MS_PER_DAY, NOTHING)
    assert "has no charge that is dated after today" in str(limited.refusal(command, Conflict))


def test_repair_is_refused_when_the_key_was_charged_meanwhile(limited: LimitedKey) -> None:
    limited.spend(3, FUTURE_MS)
    command = repair(limited.key, T0_MS, limited.windows(T0_MS))
    limited.spend(3, T0_MS)
    assert "was charged meanwhile" in str(limited.refusal(command, Conflict))


def test_repair_of_another_account_is_refused(limited: LimitedKey) -> None:
    limited.spend(3, FUTURE_MS)
    other = OneAccount()
    command = msgspec.structs.replace(repair(limited.key, T0_MS, NOTHING), account_id=other.id)
    other.refusal(command, KeyNotFound)


def test_repair_of_a_closed_account_is_refused(limited: LimitedKey) -> None:
    limited.spend(3, FUTURE_MS)
    limited.run(adjust(limited.id, 3 - 10 * DOLLAR))
    limited.run(closing(limited.id))
    limited.refusal(repair(limited.key, T0_MS, NOTHING), AccountClosed)


def test_repeated_repair_changes_nothing(limited: LimitedKey) -> None:
    limited.spend(3, FUTURE_MS)
    command = repair(limited.key, T0_MS, limited.windows(T0_MS))
    entry = limited.at_first(command)
    limited.spend(4, T0_MS)
    before = limited.key
    again = msgspec.structs.replace(command, at_ms=T0_MS + 5, usage_pico=7)
    assert limited.run(again).entry == entry
    assert limited.key == before
    limited.refusal(msgspec.structs.replace(command, reason="other"), ReferenceReused)


def test_windows_opened_too_far_are_found(limited: LimitedKey) -> None:
    limited.spend(3, T0_MS)
    limited.spend(10, FUTURE_MS)
    limited.run(repair(limited.key, T0_MS, NOTHING))
    assert invariants(all_rows(limited).audit()) == {"I1"}


def test_repair_of_a_window_that_was_not_shut_is_found(limited: LimitedKey) -> None:
    limited.spend(3, FUTURE_MS)
    limited.at_repair(T0_MS)
    rows = all_rows(limited)
    damaged = rows.with_changed(rows.entries[-1], at_ms=FUTURE_MS)
    assert f"entry 5 opens a window of key {limited.key_hash} that was not shut" in messages(
        damaged.audit()
    )


def test_repair_that_moves_money_or_names_no_key_is_found(limited: LimitedKey) -> None:
    limited.spend(3, FUTURE_MS)
    limited.at_repair(T0_MS)
    rows = all_rows(limited)
    for change in ({"amount_pico": 1}, {"held_pico": 1}, {"key_hash": None}, {"hold_id": "h"}):
        assert rows.with_changed(rows.entries[-1], **change).audit(), change


@given(
    reset=st.sampled_from(LimitReset),
    steps=st.lists(st.tuples(st.integers(-40, 40), st.integers(1, 10), st.booleans()), max_size=20),
)
def test_no_window_is_overspent_when_the_clock_is_right_from_a_repair_on(
    reset: LimitReset, steps: list[tuple[int, int, bool]]
) -> None:
    """Charges on any days, with repairs in between, and then a clock that is right."""
    ledger = LimitedKey(reset)
    for days, amount_pico, is_repaired in steps:
        at_ms = T0_MS + days * MS_PER_DAY
        try:
            ledger.spend(amount_pico, at_ms)
        except KeyLimitExceeded:
            if is_repaired and ledger.key.usage_day > day_of(at_ms):
                ledger.at_repair(at_ms, f"repair {len(ledger.journal)}")
    spent = Counter[int]()
    for day in range(45):
        at_ms = T0_MS + day * MS_PER_DAY
        if ledger.key.usage_day > day_of(at_ms):
            ledger.at_repair(at_ms, f"repair on day {day}")
        with suppress(KeyLimitExceeded):
            for _ in range(11):
                ledger.spend(1, at_ms)
                spent[resets_at_ms(reset, day_of(at_ms))] += 1
    assert max(spent.values()) <= 10
    assert spent[max(spent)] == 10, "a window without earlier charges has the whole limit"
    assert all_rows(ledger).audit() == []
