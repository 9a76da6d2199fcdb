"""Usage that becomes known after its hold has expired."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import HoldEnded, HoldNotExpired, HoldNotFound
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import Entry, EntryKind, HoldState, PlatformAccount
from modelgates_server.core.times import MS_PER_DAY, LimitReset
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
    grant,
    new_key,
    opening,
    place,
    void,
)

EXPIRED_MS = T0_MS + HOLD_MS
LATE_MS = T0_MS + MS_PER_DAY


def expired(ledger: OneAccount, hold_id: str, held_pico: int, used_pico: int = 0) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, hold_id, held_pico))
    ledger.run(expire(ledger.id, ledger.key_hash, hold_id, EXPIRED_MS, used_pico))


def late(ledger: OneAccount, hold_id: str, used_pico: int, at_ms: int = LATE_MS) -> Entry:
    return ledger.at_first(capture_late(ledger.id, ledger.key_hash, hold_id, used_pico, at_ms))


def moved(entry: Entry) -> tuple[int, int, int]:
    return entry.amount_pico, entry.platform_pico, entry.overrun_pico


def test_late_usage_is_charged_and_leaves_the_hold_as_it_ended(ledger: OneAccount) -> None:
    expired(ledger, "h", 9, used_pico=2)
    before = ledger.holds[ledger.id, "h"]
    entry = late(ledger, "h", 5)
    assert entry == Entry(
        account_id=ledger.id,
        seq=5,
        kind=EntryKind.LATE_USAGE,
        reference="late:h",
        at_ms=LATE_MS,
        balance_after_pico=10 * DOLLAR - 7,
        held_after_pico=0,
        amount_pico=-5,
        platform=PlatformAccount.REVENUE,
        platform_pico=5,
        hold_id="h",
        key_hash=ledger.key_hash,
    )
    assert ledger.figures == (10 * DOLLAR, 7, 0)
    assert ledger.holds[ledger.id, "h"] == before
    assert (before.state, before.charged_pico) == (HoldState.EXPIRED, 2)


@pytest.mark.parametrize("used_at_expiry", [0, 2, 9])
def test_late_usage_above_the_rest_of_the_hold_is_an_overrun(
    ledger: OneAccount, used_at_expiry: int
) -> None:
    expired(ledger, "h", 9, used_at_expiry)
    rest = 9 - used_at_expiry
    assert moved(late(ledger, "h", rest + 3)) == (-rest, rest + 3, -3)


def test_late_usage_is_charged_only_as_far_as_credits_are_available(ledger: OneAccount) -> None:
    expired(ledger, "h", 9)
    ledger.run(adjust(ledger.id, 11 - 10 * DOLLAR))
    ledger.run(place(ledger.id, ledger.key_hash, "other", 7))
    assert moved(late(ledger, "h", 9)) == (-4, 9, -5)
    assert ledger.figures == (11, 4, 7)


def test_late_usage_may_use_the_overdraft_and_no_more() -> None:
    ledger = OneAccount()
    other = "user_0123456789abcdefghijKL"
    ledger.run(opening(other, min_balance_pico=-5))
    ledger.run(grant(other, 5))
    _, key = new_key(other)
    ledger.keys[key.hash] = key
    ledger.run(place(other, key.hash, "h", 9))
    ledger.run(expire(other, key.hash, "h", EXPIRED_MS, 1))
    ledger.run(adjust(other, -3))
    entry = ledger.at_first(capture_late(other, key.hash, "h", 8))
    assert moved(entry) == (-6, 8, -2)
    account = ledger.accounts[other]
    assert account.available_pico == account.min_balance_pico


def test_late_usage_of_a_closed_account_is_an_overrun(ledger: OneAccount) -> None:
    expired(ledger, "h", 9)
    ledger.run(adjust(ledger.id, -10 * DOLLAR))
    ledger.run(closing(ledger.id))
    assert moved(late(ledger, "h", 9)) == (0, 9, -9)


def test_late_usage_of_a_closed_account_does_not_use_its_overdraft() -> None:
    ledger = OneAccount()
    other = "user_0123456789abcdefghijKL"
    ledger.run(opening(other, min_balance_pico=-50))
    _, key = new_key(other)
    ledger.keys[key.hash] = key
    ledger.run(place(other, key.hash, "h", 9))
    ledger.run(expire(other, key.hash, "h", EXPIRED_MS))
    ledger.run(closing(other))
    assert moved(ledger.at_first(capture_late(other, key.hash, "h", 9))) == (0, 9, -9)


def test_late_usage_of_nothing_moves_no_money(ledger: OneAccount) -> None:
    expired(ledger, "h", 9, used_pico=4)
    assert moved(late(ledger, "h", 0)) == (0, 0, 0)
    assert ledger.figures == (10 * DOLLAR, 4, 0)


def test_late_usage_counts_in_the_windows_of_its_own_day(ledger: OneAccount) -> None:
    ledger.key_hash = ledger.add_key(limit_pico=9, limit_reset=LimitReset.DAILY)
    expired(ledger, "h", 9, used_pico=2)
    late(ledger, "h", 5)
    key = ledger.keys[ledger.key_hash]
    assert key.usage_day == LATE_MS // MS_PER_DAY
    assert (key.usage_daily_pico, key.usage_weekly_pico, key.usage_pico) == (5, 7, 7)
    assert key.held_pico == 0


@pytest.mark.parametrize("member", ["disabled", "deleted_at_ms", "expires_at_ms"])
def test_late_usage_of_a_key_that_is_no_longer_valid_is_charged(
    ledger: OneAccount, member: str
) -> None:
    expired(ledger, "h", 9)
    key = ledger.keys[ledger.key_hash]
    ledger.keys[key.hash] = msgspec.structs.replace(key, **{member: True})
    assert moved(late(ledger, "h", 5)) == (-5, 5, 0)


def test_late_usage_is_refused_while_its_hold_is_open(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", 9))
    command = capture_late(ledger.id, ledger.key_hash, "h", 5)
    assert str(ledger.refusal(command, HoldNotExpired)) == "Hold `h` is open. Capture it."


@pytest.mark.parametrize("end", [capture, void])
def test_late_usage_is_refused_when_its_hold_ended_otherwise(
    ledger: OneAccount, end: object
) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", 9))
    ended: c.Command = (
        capture(ledger.id, ledger.key_hash, "h", 1)
        if end is capture
        else void(ledger.id, ledger.key_hash, "h")
    )
    ledger.run(ended)
    ledger.refusal(capture_late(ledger.id, ledger.key_hash, "h", 5), HoldEnded)


def test_late_usage_is_refused_when_its_hold_is_unknown(ledger: OneAccount) -> None:
    expired(ledger, "h", 9)
    ledger.refusal(capture_late(ledger.id, ledger.key_hash, "other", 5), HoldNotFound)
    ledger.refusal(capture_late(ledger.id, ledger.add_key(), "h", 5), HoldNotFound)


def test_late_usage_has_one_reference_so_that_it_is_charged_once(ledger: OneAccount) -> None:
    expired(ledger, "h", 9)
    command = capture_late(ledger.id, ledger.key_hash, "h", 5)
    with pytest.raises(AssertionError, match="once for a hold"):
        msgspec.structs.replace(command, reference="another")
    assert ledger.run(command).entry == ledger.run(command).entry
    assert ledger.figures == (10 * DOLLAR, 5, 0)


picos = st.integers(0, 30)


@given(
    held_pico=picos, more_pico=picos, known_pico=picos, late_pico=picos, left_pico=picos,
    other_pico=picos,
)  # fmt: skip
def test_cost_is_what_expiry_and_late_usage_charge_plus_the_overrun(
    held_pico: int, more_pico: int, known_pico: int, late_pico: int, left_pico: int, other_pico: int
) -> None:
    """Nothing is lost and nothing is paid twice, whatever was spent in between."""
    ledger = OneAccount()
    ledger.run(place(ledger.id, ledger.key_hash, "h", held_pico))
    ledger.run(extend(ledger.id, ledger.key_hash, "h", "1", more_pico))
    expiry = ledger.at_first(expire(ledger.id, ledger.key_hash, "h", EXPIRED_MS, known_pico))
    ledger.run(adjust(ledger.id, left_pico - ledger.accounts[ledger.id].balance_pico))
    ledger.run(place(ledger.id, ledger.key_hash, "other", min(other_pico, left_pico)))
    spare = left_pico - min(other_pico, left_pico)
    entry = late(ledger, "h", late_pico)
    charged = -expiry.amount_pico - entry.amount_pico
    overrun = -expiry.overrun_pico - entry.overrun_pico
    assert charged + overrun == known_pico + late_pico
    assert charged <= held_pico + more_pico
    assert 0 <= -entry.amount_pico <= spare
    account = ledger.accounts[ledger.id]
    assert account.available_pico == spare + entry.amount_pico >= 0
