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


def spend(books: OneAccount, key_hash: str, hold_id: str, amount_pico: int, at_ms: int) -> Key:
    books.run(place(books.id, key_hash, hold_id, amount_pico, at_ms))
    books.run(capture(books.id, key_hash, hold_id, amount_pico, at_ms))
    return books.keys[key_hash]


def test_the_last_pico_of_a_limit_is_spent_and_no_pico_more(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10)
    spend(books, key_hash, "first", 7, T0_MS)
    refused = books.refusal(place(books.id, key_hash, "over", 4), KeyLimitExceeded)
    assert (refused.limit_pico, refused.spent_pico, refused.held_pico) == (10, 7, 0)
    assert (refused.asked_pico, refused.resets_at_ms) == (4, None)
    assert str(refused) == "Key limit exceeded (total limit)."
    spend(books, key_hash, "last", 3, T0_MS)
    books.refusal(place(books.id, key_hash, "more", 1), KeyLimitExceeded)


def test_what_is_held_counts_against_the_limit_before_it_is_spent(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10)
    books.run(place(books.id, key_hash, "h", 6))
    refused = books.refusal(place(books.id, key_hash, "more", 5), KeyLimitExceeded)
    assert (refused.spent_pico, refused.held_pico) == (0, 6)
    books.run(void(books.id, key_hash, "h"))
    books.run(place(books.id, key_hash, "more", 10))


def test_an_expired_hold_counts_against_the_limit_no_more(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10)
    books.run(place(books.id, key_hash, "h", 10))
    books.run(expire(books.id, key_hash, "h", T0_MS + HOUR_MS, amount_pico=4))
    assert books.keys[key_hash].usage_pico == 4
    books.run(place(books.id, key_hash, "next", 6))


def test_an_extension_is_checked_against_the_limit(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10)
    books.run(place(books.id, key_hash, "h", 6))
    books.refusal(extend(books.id, key_hash, "h", "1", 5), KeyLimitExceeded)
    books.run(extend(books.id, key_hash, "h", "1", 4))


def test_overrun_is_not_charged_to_the_limit(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10)
    books.run(place(books.id, key_hash, "h", 6))
    books.run(capture(books.id, key_hash, "h", 60))
    assert books.keys[key_hash].usage_pico == 6


def test_a_limit_of_zero_refuses_every_paid_call_and_no_free_one(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=0)
    books.refusal(place(books.id, key_hash, "paid", 1), KeyLimitExceeded)
    books.run(place(books.id, key_hash, "free", 0))
    books.refusal(extend(books.id, key_hash, "free", "1", 1), KeyLimitExceeded)
    books.run(capture(books.id, key_hash, "free", 0))


def test_a_free_call_passes_a_limit_that_is_spent_or_lowered(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10)
    spend(books, key_hash, "all", 10, T0_MS)
    books.run(place(books.id, key_hash, "free", 0))
    books.change_key(key_hash, KeyChange(limit_pico=3), T0_MS)
    books.run(place(books.id, key_hash, "free again", 0))
    books.refusal(place(books.id, key_hash, "paid", 1), KeyLimitExceeded)


def test_a_raised_limit_takes_calls_at_once(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10)
    spend(books, key_hash, "all", 10, T0_MS)
    books.change_key(key_hash, KeyChange(limit_pico=12), T0_MS)
    spend(books, key_hash, "more", 2, T0_MS)
    books.change_key(key_hash, KeyChange(limit_pico=None), T0_MS)
    spend(books, key_hash, "much more", 2 * DOLLAR, T0_MS)


def test_the_limit_of_one_key_does_not_bind_another(books: OneAccount) -> None:
    spend(books, books.add_key(limit_pico=10), "one", 10, T0_MS)
    spend(books, books.add_key(limit_pico=10), "other", 10, T0_MS)


def test_a_limit_above_the_credits_mints_none(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=100 * DOLLAR)
    books.refusal(place(books.id, key_hash, "h", 11 * DOLLAR), InsufficientCredits)


WINDOWS = [
    (DAILY, ms(2026, 11, 23), ms(2026, 11, 24)),
    (WEEKLY, ms(2026, 11, 23), ms(2026, 11, 30)),
    (MONTHLY, ms(2026, 11, 1), ms(2026, 12, 1)),
    (MONTHLY, ms(2028, 2, 1), ms(2028, 3, 1)),
    (MONTHLY, ms(2026, 12, 1), ms(2027, 1, 1)),
    (WEEKLY, ms(2026, 12, 28), ms(2027, 1, 4)),
]


@pytest.mark.parametrize(("reset", "start_ms", "end_ms"), WINDOWS)
def test_a_limit_holds_to_the_last_millisecond_of_its_window_and_no_longer(
    books: OneAccount, reset: LimitReset, start_ms: int, end_ms: int
) -> None:
    key_hash = books.add_key(limit_pico=10, limit_reset=reset)
    key = spend(books, key_hash, "first", 10, start_ms)
    assert limit_resets_at_ms(key, start_ms) == end_ms
    late = place(books.id, key_hash, "late", 1, end_ms - 1)
    refused = books.refusal(late, KeyLimitExceeded)
    assert str(refused) == f"Key limit exceeded ({reset} limit)."
    assert (refused.asked_pico, refused.resets_at_ms) == (1, end_ms)
    key = spend(books, key_hash, "next", 10, end_ms)
    assert (key.usage_pico, spent_pico(key, end_ms)) == (20, 10)
    books.refusal(place(books.id, key_hash, "over", 1, end_ms), KeyLimitExceeded)


def test_a_month_with_a_leap_day_is_one_window(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10, limit_reset=MONTHLY)
    spend(books, key_hash, "h", 10, ms(2028, 2, 28))
    leap_day = place(books.id, key_hash, "leap", 1, ms(2028, 2, 29, 23, 59))
    books.refusal(leap_day, KeyLimitExceeded)


def test_a_skipped_window_leaves_nothing_behind(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10, limit_reset=DAILY)
    spend(books, key_hash, "h", 10, T0_MS)
    much_later = T0_MS + 400 * MS_PER_DAY
    assert windows_at(books.keys[key_hash], much_later) == WindowUsage(0, 0, 0)
    spend(books, key_hash, "next", 10, much_later)


def test_a_call_is_charged_to_the_window_it_ends_in(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10, limit_reset=DAILY)
    evening, morning = ms(2026, 11, 23, 23, 59), ms(2026, 11, 24, 0, 1)
    books.run(place(books.id, key_hash, "h", 6, evening))
    # Until it ends it counts in the new window as well: it will be charged there.
    books.refusal(place(books.id, key_hash, "more", 5, morning), KeyLimitExceeded)
    books.run(capture(books.id, key_hash, "h", 6, morning))
    key = books.keys[key_hash]
    assert windows_at(key, morning) == WindowUsage(6, 6, 6)
    assert windows_at(key, morning + MS_PER_DAY).daily_pico == 0


def test_all_windows_count_whatever_the_limit_is(books: OneAccount) -> None:
    key_hash = books.key_hash
    spend(books, key_hash, "sunday", 1, ms(2026, 11, 29))
    spend(books, key_hash, "monday", 2, ms(2026, 11, 30))
    key = spend(books, key_hash, "tuesday", 4, ms(2026, 12, 1))
    assert windows_at(key, ms(2026, 12, 1)) == WindowUsage(4, 6, 4)
    assert key.usage_pico == 7


def test_a_changed_interval_finds_what_its_window_has_spent(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10, limit_reset=DAILY)
    spend(books, key_hash, "monday", 9, ms(2026, 11, 30))
    spend(books, key_hash, "tuesday", 8, ms(2026, 12, 1))
    tuesday = ms(2026, 12, 1, 1)
    spent = {}
    for reset in (None, DAILY, WEEKLY, MONTHLY):
        key = books.change_key(key_hash, KeyChange(limit_reset=reset), tuesday)
        spent[reset] = spent_pico(key, tuesday)
    assert spent == {None: 17, DAILY: 8, WEEKLY: 17, MONTHLY: 8}


@pytest.mark.parametrize("reset", LimitReset)
def test_a_clock_that_steps_back_does_not_reopen_a_window(
    books: OneAccount, reset: LimitReset
) -> None:
    key_hash = books.add_key(limit_pico=10, limit_reset=reset)
    now, yesterday = ms(2026, 12, 1), ms(2026, 11, 29, 23)
    spend(books, key_hash, "before", 4, yesterday)
    spend(books, key_hash, "now", 10, now)
    books.refusal(place(books.id, key_hash, "back", 1, yesterday), KeyLimitExceeded)
    key = books.keys[key_hash]
    assert spent_pico(key, yesterday) == 10
    assert limit_resets_at_ms(key, yesterday) == limit_resets_at_ms(key, now)


def test_a_charge_of_a_clock_that_stepped_back_counts_in_the_latest_window(
    books: OneAccount,
) -> None:
    key_hash = books.add_key(limit_pico=10, limit_reset=DAILY)
    yesterday = T0_MS - MS_PER_DAY
    spend(books, key_hash, "now", 3, T0_MS)
    key = spend(books, key_hash, "back", 4, yesterday)
    assert windows_at(key, T0_MS) == WindowUsage(7, 7, 7)
    assert key.usage_day == T0_MS // MS_PER_DAY


def test_a_void_spends_nothing_of_a_new_window(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10, limit_reset=DAILY)
    spend(books, key_hash, "first", 10, T0_MS)
    tomorrow = T0_MS + MS_PER_DAY
    books.run(place(books.id, key_hash, "h", 10, tomorrow))
    books.run(void(books.id, key_hash, "h", tomorrow))
    assert windows_at(books.keys[key_hash], tomorrow) == WindowUsage(0, 10, 10)
    spend(books, key_hash, "all", 10, tomorrow)


def test_a_lifetime_limit_never_starts_afresh(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=10)
    key = spend(books, key_hash, "all", 10, T0_MS)
    assert limit_resets_at_ms(key, T0_MS) is None
    in_ten_years = T0_MS + 3650 * MS_PER_DAY
    books.refusal(place(books.id, key_hash, "h", 1, in_ten_years), KeyLimitExceeded)


def test_last_used_is_when_a_hold_was_placed(books: OneAccount) -> None:
    assert books.keys[books.key_hash].last_used_at_ms is None
    key = spend(books, books.key_hash, "h", 1, T0_MS + 5)
    assert key.last_used_at_ms == T0_MS + 5


def test_a_free_call_at_a_wrong_clock_freezes_no_window(books: OneAccount) -> None:
    key_hash = books.add_key(limit_pico=DOLLAR, limit_reset=LimitReset.DAILY)
    future = T0_MS + 3650 * MS_PER_DAY
    books.run(place(books.id, key_hash, "free", 0, at_ms=future))
    books.run(void(books.id, key_hash, "free", at_ms=future))
    assert books.keys[key_hash].usage_day == 0
