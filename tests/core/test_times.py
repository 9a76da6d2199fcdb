from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.times import (
    MS_PER_DAY,
    LimitReset,
    day_of,
    format_instant,
    month_of,
    parse_instant,
    resets_at_ms,
    week_of,
)

DAILY, WEEKLY, MONTHLY = LimitReset.DAILY, LimitReset.WEEKLY, LimitReset.MONTHLY
moments = st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone


def ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def next_window(reset: LimitReset, moment: datetime) -> datetime:
    """The first midnight at which `datetime` itself shows another day, ISO week or month."""
    names: dict[LimitReset, Callable[[datetime], object]] = {
        DAILY: lambda m: m.date(),
        WEEKLY: lambda m: m.isocalendar()[:2],
        MONTHLY: lambda m: (m.year, m.month),
    }
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    while names[reset](midnight) == names[reset](moment):
        midnight += timedelta(days=1)
    return midnight


@given(moments, st.sampled_from(LimitReset))
@example(utc(2026, 12, 31, 23, 59, 59), MONTHLY)
@example(utc(2027, 1, 1), WEEKLY)
@example(utc(2028, 2, 29, 12), MONTHLY)
@example(utc(2100, 2, 28, 23), MONTHLY)
def test_window_ends_as_in_the_calendar(moment: datetime, reset: LimitReset) -> None:
    expected = next_window(reset, moment)
    assert resets_at_ms(reset, day_of(ms(moment))) == ms(expected)


@given(moments, moments)
def test_two_days_share_a_window_as_in_the_calendar(one: datetime, other: datetime) -> None:
    days = day_of(ms(one)), day_of(ms(other))
    assert (days[0] == days[1]) == (one.date() == other.date())
    assert (week_of(days[0]) == week_of(days[1])) == (
        one.isocalendar()[:2] == other.isocalendar()[:2]
    )
    assert (month_of(days[0]) == month_of(days[1])) == (
        (one.year, one.month) == (other.year, other.month)
    )


@pytest.mark.parametrize(
    ("reset", "last", "first"),
    [
        (DAILY, utc(2026, 11, 23, 23, 59, 59, 999_000), utc(2026, 11, 24)),
        (WEEKLY, utc(2026, 11, 22, 23, 59, 59, 999_000), utc(2026, 11, 23)),
        (WEEKLY, utc(2026, 11, 23), utc(2026, 11, 30)),
        (WEEKLY, utc(2026, 12, 31), utc(2027, 1, 4)),
        (WEEKLY, utc(1970, 1, 1), utc(1970, 1, 5)),
        (MONTHLY, utc(2026, 1, 31, 23, 59), utc(2026, 2, 1)),
        (MONTHLY, utc(2027, 2, 28), utc(2027, 3, 1)),
        (MONTHLY, utc(2028, 2, 28), utc(2028, 3, 1)),
        (MONTHLY, utc(2028, 2, 29), utc(2028, 3, 1)),
        (MONTHLY, utc(2026, 4, 30), utc(2026, 5, 1)),
        (MONTHLY, utc(2026, 12, 31), utc(2027, 1, 1)),
        # Daylight saving time begins or ends somewhere on each of these days, but not in UTC.
        (DAILY, utc(2026, 3, 29, 1), utc(2026, 3, 30)),
        (DAILY, utc(2026, 10, 25, 1), utc(2026, 10, 26)),
        (DAILY, utc(2026, 11, 1, 6), utc(2026, 11, 2)),
    ],
)
def test_limits_reset_at_midnight_utc_on_mondays_and_on_the_first(
    reset: LimitReset, last: datetime, first: datetime
) -> None:
    assert resets_at_ms(reset, day_of(ms(last))) == ms(first)


@given(st.integers(0, ms(utc(9999, 12, 31)) + MS_PER_DAY - 1))
def test_instant_survives_the_round_trip_through_text(at_ms: int) -> None:
    text = format_instant(at_ms)
    assert parse_instant(text) == at_ms
    assert len(text) == len("2026-11-23T13:12:00.123Z")


def test_instant_is_formatted_as_documented() -> None:
    assert format_instant(ms(utc(2026, 11, 23, 13, 12, 0, 123_000))) == "2026-11-23T13:12:00.123Z"
    assert format_instant(0) == "1970-01-01T00:00:00.000Z"


@given(moments, st.integers(-23 * 60, 23 * 60))
def test_instant_is_the_same_with_another_offset(moment: datetime, minutes: int) -> None:
    elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert parse_instant(elsewhere.isoformat()) == ms(moment)


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "2030-01-01", "2030-01-01T00:00:00", "2030-02-30T00:00:00Z", "1893456000",
     "2030-01-01T25:00:00Z", "٢٠٣٠-01-01T00:00:00Z", "2030-01-01T00:00:00Z" * 9, "\udc80"],
)  # fmt: skip
def test_text_that_is_not_a_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_instant(text)
    assert str(refusal.value) == (
        f"{text[:64]!r} is not an ISO 8601 time with a UTC offset. "
        "Write it like 2030-01-01T00:00:00Z."
    )


@pytest.mark.parametrize(
    "text", ["1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-01:00"]
)
def test_time_outside_1970_to_9999_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is out of range\. Give a time from 1970 to 9999\."):
        parse_instant(text)


def test_last_second_of_9999_is_accepted() -> None:
    assert format_instant(parse_instant("9999-12-31T23:59:59Z")) == "9999-12-31T23:59:59.000Z"


@given(st.text(max_size=40))
def test_parser_handles_every_text(text: str) -> None:
    try:
        at_ms = parse_instant(text)
    except InvalidInput:
        return
    assert at_ms >= 0
