from datetime import UTC, datetime

import pytest

from modelgates_server.core.errors import InsufficientCredits, KeyLimitExceeded
from modelgates_server.core.keys import (
    Key,
    KeyChange,
    WindowUsage,
    limit_resets_at_ms,
    spent_pico,
    windows_at,
)
from modelgates_server.core.times import MS_PER_DAY, LimitReset
from tests.core.conftest import OneAccount
from tests.support import DOLLAR, HOUR_MS, T0_MS, capture, expire, extend, place, void

DAILY, WEEKLY, MONTHLY = LimitReset.DAILY, LimitReset.WEEKLY, LimitReset.MONTHLY


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1000  # type: ignore[misc,arg-type]


def spend(ledger: OneAccount, key_hash: str, hold_id: str, amount_pico: int, at_ms: int) -> Key:
    ledger.run(place(ledger.id, key_hash, hold_id, amount_pico, at_ms))
    ledger.run(capture(ledger.id, key_hash, hold_id, amount_pico, at_ms))
    return ledger.keys[key_hash]


def test_key_limit_is_spent_to_the_last_pico_and_no_further(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10)
    spend(ledger, key_hash, "first", 7, T0_MS)
    refused = ledger.refusal(place(ledger.id, key_hash, "over", 4), KeyLimitExceeded)
    assert (refused.limit_pico, refused.spent_pico, refused.held_pico) == (10, 7, 0)
    assert (refused.asked_pico, refused.resets_at_ms) == (4, None)
    assert str(refused) == "Key limit exceeded (total limit)."
    spend(ledger, key_hash, "last", 3, T0_MS)
    ledger.refusal(place(ledger.id, key_hash, "more", 1), KeyLimitExceeded)


def test_held_amount_counts_against_the_key_limit(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10)
    ledger.run(place(ledger.id, key_hash, "h", 6))
    refused = ledger.refusal(place(ledger.id, key_hash, "more", 5), KeyLimitExceeded)
    assert (refused.spent_pico, refused.held_pico) == (0, 6)
    ledger.run(void(ledger.id, key_hash, "h"))
    ledger.run(place(ledger.id, key_hash, "more", 10))


def test_expired_hold_no_longer_counts_against_the_key_limit(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10)
    ledger.run(place(ledger.id, key_hash, "h", 10))
    ledger.run(expire(ledger.id, key_hash, "h", T0_MS + HOUR_MS, amount_pico=4))
    assert ledger.keys[key_hash].usage_pico == 4
    ledger.run(place(ledger.id, key_hash, "next", 6))


def test_extension_is_refused_when_it_exceeds_the_key_limit(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10)
    ledger.run(place(ledger.id, key_hash, "h", 6))
    ledger.refusal(extend(ledger.id, key_hash, "h", "1", 5), KeyLimitExceeded)
    ledger.run(extend(ledger.id, key_hash, "h", "1", 4))


def test_overrun_does_not_count_against_the_key_limit(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10)
    ledger.run(place(ledger.id, key_hash, "h", 6))
    ledger.run(capture(ledger.id, key_hash, "h", 60))
    assert ledger.keys[key_hash].usage_pico == 6


def test_key_limit_of_zero_refuses_only_paid_calls(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=0)
    ledger.refusal(place(ledger.id, key_hash, "paid", 1), KeyLimitExceeded)
    ledger.run(place(ledger.id, key_hash, "free", 0))
    ledger.refusal(extend(ledger.id, key_hash, "free", "1", 1), KeyLimitExceeded)
    ledger.run(capture(ledger.id, key_hash, "free", 0))


def test_free_call_is_accepted_when_the_key_limit_is_spent_or_lowered(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10)
    spend(ledger, key_hash, "all", 10, T0_MS)
    ledger.run(place(ledger.id, key_hash, "free", 0))
    ledger.change_key(key_hash, KeyChange(limit_pico=3), T0_MS)
    ledger.run(place(ledger.id, key_hash, "free again", 0))
    ledger.refusal(place(ledger.id, key_hash, "paid", 1), KeyLimitExceeded)


def test_raised_key_limit_accepts_calls_at_once(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10)
    spend(ledger, key_hash, "all", 10, T0_MS)
    ledger.change_key(key_hash, KeyChange(limit_pico=12), T0_MS)
    spend(ledger, key_hash, "more", 2, T0_MS)
    ledger.change_key(key_hash, KeyChange(limit_pico=None), T0_MS)
    spend(ledger, key_hash, "much more", 2 * DOLLAR, T0_MS)


def test_key_limit_does_not_apply_to_another_key(ledger: OneAccount) -> None:
    spend(ledger, ledger.add_key(limit_pico=10), "one", 10, T0_MS)
    spend(ledger, ledger.add_key(limit_pico=10), "other", 10, T0_MS)


def test_key_limit_above_the_credits_adds_no_credits(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=100 * DOLLAR)
    ledger.refusal(place(ledger.id, key_hash, "h", 11 * DOLLAR), InsufficientCredits)


WINDOWS = [
    (DAILY, ms(2026, 11, 23), ms(2026, 11, 24)),
    (WEEKLY, ms(2026, 11, 23), ms(2026, 11, 30)),
    (MONTHLY, ms(2026, 11, 1), ms(2026, 12, 1)),
    (MONTHLY, ms(2028, 2, 1), ms(2028, 3, 1)),
    (MONTHLY, ms(2026, 12, 1), ms(2027, 1, 1)),
    (WEEKLY, ms(2026, 12, 28), ms(2027, 1, 4)),
]


@pytest.mark.parametrize(("reset", "start_ms", "end_ms"), WINDOWS)
def test_key_limit_applies_to_the_last_millisecond_of_its_window(
    ledger: OneAccount, reset: LimitReset, start_ms: int, end_ms: int
) -> None:
    key_hash = ledger.add_key(limit_pico=10, limit_reset=reset)
    key = spend(ledger, key_hash, "first", 10, start_ms)
    assert limit_resets_at_ms(key, start_ms) == end_ms
    late = place(ledger.id, key_hash, "late", 1, end_ms - 1)
    refused = ledger.refusal(late, KeyLimitExceeded)
    assert str(refused) == f"Key limit exceeded ({reset} limit)."
    assert (refused.asked_pico, refused.resets_at_ms) == (1, end_ms)
    key = spend(ledger, key_hash, "next", 10, end_ms)
    assert (key.usage_pico, spent_pico(key, end_ms)) == (20, 10)
    ledger.refusal(place(ledger.id, key_hash, "over", 1, end_ms), KeyLimitExceeded)


def test_month_with_a_leap_day_is_one_window(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10, limit_reset=MONTHLY)
    spend(ledger, key_hash, "h", 10, ms(2028, 2, 28))
    leap_day = place(ledger.id, key_hash, "leap", 1, ms(2028, 2, 29, 23, 59))
    ledger.refusal(leap_day, KeyLimitExceeded)


def test_usage_is_zero_after_a_skipped_window(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10, limit_reset=DAILY)
    spend(ledger, key_hash, "h", 10, T0_MS)
    much_later = T0_MS + 400 * MS_PER_DAY
    assert windows_at(ledger.keys[key_hash], much_later) == WindowUsage(0, 0, 0)
    spend(ledger, key_hash, "next", 10, much_later)


def test_call_is_charged_to_the_window_in_which_it_ends(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10, limit_reset=DAILY)
    evening, morning = ms(2026, 11, 23, 23, 59), ms(2026, 11, 24, 0, 1)
    ledger.run(place(ledger.id, key_hash, "h", 6, evening))
    # The open hold counts in the new window as well, because it will be charged there.
    ledger.refusal(place(ledger.id, key_hash, "more", 5, morning), KeyLimitExceeded)
    ledger.run(capture(ledger.id, key_hash, "h", 6, morning))
    key = ledger.keys[key_hash]
    assert windows_at(key, morning) == WindowUsage(6, 6, 6)
    assert windows_at(key, morning + MS_PER_DAY).daily_pico == 0


def test_all_windows_are_counted_without_a_limit(ledger: OneAccount) -> None:
    key_hash = ledger.key_hash
    spend(ledger, key_hash, "sunday", 1, ms(2026, 11, 29))
    spend(ledger, key_hash, "monday", 2, ms(2026, 11, 30))
    key = spend(ledger, key_hash, "tuesday", 4, ms(2026, 12, 1))
    assert windows_at(key, ms(2026, 12, 1)) == WindowUsage(4, 6, 4)
    assert key.usage_pico == 7


def test_changed_reset_counts_earlier_usage_of_its_window(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10, limit_reset=DAILY)
    spend(ledger, key_hash, "monday", 9, ms(2026, 11, 30))
    spend(ledger, key_hash, "tuesday", 8, ms(2026, 12, 1))
    tuesday = ms(2026, 12, 1, 1)
    spent = {}
    for reset in (None, DAILY, WEEKLY, MONTHLY):
        key = ledger.change_key(key_hash, KeyChange(limit_reset=reset), tuesday)
        spent[reset] = spent_pico(key, tuesday)
    assert spent == {None: 17, DAILY: 8, WEEKLY: 17, MONTHLY: 8}


@pytest.mark.parametrize("reset", LimitReset)
def test_window_is_not_reopened_when_the_clock_steps_back(
    ledger: OneAccount, reset: LimitReset
) -> None:
    key_hash = ledger.add_key(limit_pico=10, limit_reset=reset)
    now, yesterday = ms(2026, 12, 1), ms(2026, 11, 29, 23)
    spend(ledger, key_hash, "before", 4, yesterday)
    spend(ledger, key_hash, "now", 10, now)
    ledger.refusal(place(ledger.id, key_hash, "back", 1, yesterday), KeyLimitExceeded)
    key = ledger.keys[key_hash]
    assert spent_pico(key, yesterday) == 10
    assert limit_resets_at_ms(key, yesterday) == limit_resets_at_ms(key, now)


def test_charge_counts_in_the_latest_window_when_the_clock_stepped_back(
    ledger: OneAccount,
) -> None:
    key_hash = ledger.add_key(limit_pico=10, limit_reset=DAILY)
    yesterday = T0_MS - MS_PER_DAY
    spend(ledger, key_hash, "now", 3, T0_MS)
    key = spend(ledger, key_hash, "back", 4, yesterday)
    assert windows_at(key, T0_MS) == WindowUsage(7, 7, 7)
    assert key.usage_day == T0_MS // MS_PER_DAY


def test_void_counts_nothing_in_a_new_window(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10, limit_reset=DAILY)
    spend(ledger, key_hash, "first", 10, T0_MS)
    tomorrow = T0_MS + MS_PER_DAY
    ledger.run(place(ledger.id, key_hash, "h", 10, tomorrow))
    ledger.run(void(ledger.id, key_hash, "h", tomorrow))
    assert windows_at(ledger.keys[key_hash], tomorrow) == WindowUsage(0, 10, 10)
    spend(ledger, key_hash, "all", 10, tomorrow)


def test_lifetime_limit_never_resets(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=10)
    key = spend(ledger, key_hash, "all", 10, T0_MS)
    assert limit_resets_at_ms(key, T0_MS) is None
    in_ten_years = T0_MS + 3650 * MS_PER_DAY
    ledger.refusal(place(ledger.id, key_hash, "h", 1, in_ten_years), KeyLimitExceeded)


def test_last_used_is_the_time_of_the_latest_hold(ledger: OneAccount) -> None:
    assert ledger.keys[ledger.key_hash].last_used_at_ms is None
    key = spend(ledger, ledger.key_hash, "h", 1, T0_MS + 5)
    assert key.last_used_at_ms == T0_MS + 5


def test_free_call_with_a_wrong_clock_moves_no_window(ledger: OneAccount) -> None:
    key_hash = ledger.add_key(limit_pico=DOLLAR, limit_reset=LimitReset.DAILY)
    future = T0_MS + 3650 * MS_PER_DAY
    ledger.run(place(ledger.id, key_hash, "free", 0, at_ms=future))
    ledger.run(void(ledger.id, key_hash, "free", at_ms=future))
    assert ledger.keys[key_hash].usage_day == 0
