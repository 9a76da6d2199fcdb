"""Late usage in a journal, and the activity that it adds; damage to either is found."""

import msgspec
import pytest

from modelgates_server.core.ledger.records import EntryKind, HoldState
from modelgates_server.core.metering.generations import (
    ActivityRow,
    Generation,
    activity_of,
    late_activity_of,
)
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY
from tests.core.audit.test_generations import Calls, row_of
from tests.core.audit.test_journal import Rows, all_rows, messages
from tests.core.conftest import OneAccount
from tests.support import (
    DOLLAR,
    HOLD_MS,
    T0_MS,
    adjust,
    capture_late,
    closing,
    expire,
    finished,
    open_generation,
    place,
    voided_generation,
)

replace = msgspec.structs.replace

EXPIRED_MS = T0_MS + HOLD_MS
LATE_MS = T0_MS + MS_PER_DAY


def charged_late(ledger: OneAccount, known_pico: int = 2, late_pico: int = 5) -> Rows:
    ledger.run(place(ledger.id, ledger.key_hash, "h", 9))
    ledger.run(expire(ledger.id, ledger.key_hash, "h", EXPIRED_MS, known_pico))
    ledger.run(capture_late(ledger.id, ledger.key_hash, "h", late_pico, LATE_MS))
    return all_rows(ledger)


def test_late_usage_has_no_findings(ledger: OneAccount) -> None:
    assert charged_late(ledger).audit() == []


@pytest.mark.parametrize("late_pico", [0, 7, 8, 100])
def test_late_usage_has_no_findings_up_to_and_above_its_hold(
    ledger: OneAccount, late_pico: int
) -> None:
    assert charged_late(ledger, late_pico=late_pico).audit() == []


def test_late_usage_has_no_findings_when_credits_were_spent_meanwhile(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", 9))
    ledger.run(expire(ledger.id, ledger.key_hash, "h", EXPIRED_MS))
    ledger.run(adjust(ledger.id, 6 - 10 * DOLLAR))
    ledger.run(place(ledger.id, ledger.key_hash, "other", 2))
    ledger.run(capture_late(ledger.id, ledger.key_hash, "h", 9))
    assert ledger.figures == (6, 4, 2)
    assert all_rows(ledger).audit() == []


def test_late_usage_of_a_closed_account_has_no_findings(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", 9))
    ledger.run(expire(ledger.id, ledger.key_hash, "h", EXPIRED_MS))
    ledger.run(adjust(ledger.id, -10 * DOLLAR))
    ledger.run(closing(ledger.id))
    ledger.run(capture_late(ledger.id, ledger.key_hash, "h", 9))
    assert all_rows(ledger).audit() == []


def test_late_charge_of_a_closed_account_is_found(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", 9))
    ledger.run(expire(ledger.id, ledger.key_hash, "h", EXPIRED_MS))
    ledger.run(adjust(ledger.id, -10 * DOLLAR))
    ledger.run(closing(ledger.id))
    ledger.run(capture_late(ledger.id, ledger.key_hash, "h", 9))
    rows = all_rows(ledger)
    late = rows.entries[-1]
    damaged = rows.with_changed(late, amount_pico=-1, overrun_pico=-8, balance_after_pico=-1)
    assert f"entry {late.seq} (late_usage) charges the account after it was closed" in messages(
        damaged.audit()
    )


def test_late_usage_that_charges_too_little_is_found(ledger: OneAccount) -> None:
    rows = charged_late(ledger)
    late = rows.entries[-1]
    damaged = rows.with_changed(
        late,
        amount_pico=-4,
        overrun_pico=-1,
        balance_after_pico=late.balance_after_pico + 1,
    )
    assert (
        f"hold 'h' is charged 0.000000000004 late by entry {late.seq} for usage of "
        "0.000000000005, but 0.000000000005 was due"
    ) in messages(damaged.audit())


def test_late_usage_above_what_was_held_is_found(ledger: OneAccount) -> None:
    rows = charged_late(ledger, late_pico=8)
    late = rows.entries[-1]
    damaged = rows.with_changed(
        late,
        amount_pico=-8,
        overrun_pico=0,
        balance_after_pico=late.balance_after_pico - 1,
    )
    assert (
        f"hold 'h' is charged 0.000000000008 late by entry {late.seq} for usage of "
        "0.000000000008, but 0.000000000007 was due"
    ) in messages(damaged.audit())


def test_second_late_usage_of_a_hold_is_found(ledger: OneAccount) -> None:
    rows = charged_late(ledger)
    again = replace(rows.entries[-1], seq=6, reference="again")
    rows.entries.append(again)
    assert "hold 'h' is charged late a second time by entry 6" in messages(rows.audit())


def test_late_usage_that_holds_is_found(ledger: OneAccount) -> None:
    rows = charged_late(ledger)
    damaged = rows.with_changed(rows.entries[-1], held_pico=1, held_after_pico=1)
    assert "hold 'h' has ended, but entry 5 changes what is held" in messages(damaged.audit())


@pytest.mark.parametrize("end", [EntryKind.USAGE, EntryKind.VOID])
def test_late_usage_of_a_hold_that_did_not_expire_is_found(
    ledger: OneAccount, end: EntryKind
) -> None:
    rows = charged_late(ledger, known_pico=0)
    damaged = rows.with_changed(rows.entries[-2], kind=end)
    state = "captured" if end is EntryKind.USAGE else "voided"
    assert f"hold 'h' is {state}, but entry 5 charges it late" in messages(damaged.audit())


def test_late_usage_of_an_open_hold_is_found(ledger: OneAccount) -> None:
    rows = charged_late(ledger)
    del rows.entries[-2]
    assert "hold 'h' is open, but entry 5 charges it late" in messages(rows.audit())


def expired_call(ledger: OneAccount, hold_id: str, usage: Usage | None) -> Generation:
    """Makes a call that expires with a checkpoint of this usage, or with none."""
    begun = open_generation(ledger.id, ledger.key_hash, hold_id, 500)
    ledger.run(place(ledger.id, ledger.key_hash, hold_id, 500))
    if usage is None:
        lost = replace(voided_generation(begun, EXPIRED_MS), state=HoldState.EXPIRED)
    else:
        lost = finished(begun, usage, EXPIRED_MS, HoldState.EXPIRED)
    ledger.run(expire(ledger.id, ledger.key_hash, hold_id, EXPIRED_MS, lost.cost_pico))
    return lost


@pytest.fixture
def calls(ledger: OneAccount) -> Calls:
    """Has one late call whose expiry charged something, and one whose expiry did not."""
    generations, activity = [], []
    for hold_id, usage in (("known", Usage(input=100)), ("unknown", None)):
        lost = expired_call(ledger, hold_id, usage)
        late = ledger.at_first(capture_late(ledger.id, ledger.key_hash, hold_id, 30, LATE_MS))
        generations.append(row_of(lost))
        activity += [activity_of(lost), late_activity_of(lost, late)]
    rows = [row for row in activity if row is not None]
    merged = replace(rows[1], requests=rows[1].requests + rows[2].requests, usage_pico=60)
    return Calls(ledger.id, ledger.journal, generations, [rows[0], merged])


def test_activity_of_late_usage_is_that_of_its_own_day(calls: Calls) -> None:
    first, second = calls.activity
    assert (first.requests, first.usage_pico, first.prompt_tokens) == (1, 100, 100)
    assert second.quarter_hour == LATE_MS // 900_000 > first.quarter_hour
    assert (second.requests, second.usage_pico, second.prompt_tokens) == (1, 60, 0), (
        "the first call was counted at its expiry, the second one was not"
    )
    assert calls.audit() == []


@pytest.mark.parametrize("name", ["requests", "usage_pico", "prompt_tokens"])
def test_activity_of_late_usage_off_by_one_is_found(calls: Calls, name: str) -> None:
    row = calls.activity[1]
    for step in (1, -1):
        changed = replace(row, **{name: getattr(row, name) + step})
        found = calls.with_activity(row, changed).audit()
        assert {finding.invariant for finding in found} == {"I1"}


def test_missing_activity_of_late_usage_is_found(calls: Calls) -> None:
    found = replace(calls, activity=calls.activity[:1]).audit()
    assert [finding.invariant for finding in found] == ["I1"]
    assert found[0].message.endswith("is missing; its generations cost 0.00000000006")


def test_late_usage_without_a_charge_adds_no_activity(ledger: OneAccount) -> None:
    lost = expired_call(ledger, "h", Usage(input=500))
    late = ledger.at_first(capture_late(ledger.id, ledger.key_hash, "h", 30, LATE_MS))
    assert (late.amount_pico, late.overrun_pico) == (0, -30)
    assert late_activity_of(lost, late) is None
    rows: list[ActivityRow] = [row for row in [activity_of(lost)] if row is not None]
    assert Calls(ledger.id, ledger.journal, [row_of(lost)], rows).audit() == []
