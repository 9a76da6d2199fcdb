"""Instants are milliseconds since 1970-01-01T00:00:00Z; limit windows are UTC calendar periods."""

import re
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from modelgates_server.core.errors import InvalidInput

MS_PER_DAY = 86_400_000
QUARTER_HOURS_PER_DAY = 96
_MS_PER_QUARTER_HOUR = MS_PER_DAY // QUARTER_HOURS_PER_DAY
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DAY = re.compile(r"(19[789]|[2-9]\d\d)\d-\d\d-\d\d", re.ASCII)
_LAST_MS = (date(9999, 12, 31).toordinal() + 1 - _EPOCH_ORDINAL) * MS_PER_DAY - 1


class LimitReset(StrEnum):
    """How often a key's limit resets: at 00:00 UTC daily, on Mondays or on the 1st.

    OpenRouter uses the same windows.
    """

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


def day_of(at_ms: int) -> int:
    """Returns the number of UTC days since the epoch."""
    return at_ms // MS_PER_DAY


def quarter_hour_of(at_ms: int) -> int:
    """Returns the number of quarter hours since the epoch. No time zone's day begins within one."""
    return at_ms // _MS_PER_QUARTER_HOUR


def parse_day(text: str) -> int:
    """Parses a UTC day such as `2026-11-23`; raises `InvalidInput` for other texts."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        pass  # such as 31 February
    raise InvalidInput(f"{text[:64]!r} is not a day. Write it like 2026-11-23.")


def format_day(day: int) -> str:
    """Returns a day in ISO 8601: `2026-11-23`."""
    return date.fromordinal(day + _EPOCH_ORDINAL).isoformat()


def week_of(day: int) -> int:
    """Returns the number of the week. Weeks start on Mondays; 1970-01-01 was a Thursday."""
    return (day + 3) // 7


def month_of(day: int) -> int:
    """Returns the number of the calendar month, counted from year 0."""
    moment = date.fromordinal(day + _EPOCH_ORDINAL)
    return moment.year * 12 + moment.month - 1


def resets_at_ms(reset: LimitReset, day: int) -> int:
    """Returns the first instant after the window that contains `day`."""
    if reset is LimitReset.DAILY:
        return (day + 1) * MS_PER_DAY
    if reset is LimitReset.WEEKLY:
        return ((week_of(day) + 1) * 7 - 3) * MS_PER_DAY
    year, month = divmod(month_of(day) + 1, 12)
    return (date(year, month + 1, 1).toordinal() - _EPOCH_ORDINAL) * MS_PER_DAY


def format_instant(at_ms: int) -> str:
    """Returns ISO 8601 with milliseconds and `Z`: `2026-11-23T13:12:00.123Z`."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def parse_instant(text: str) -> int:
    """Parses an ISO 8601 date and time with an offset, such as `2030-01-01T00:00:00Z`.

    Raises `InvalidInput` for other texts, for times without an offset, and for times before 1970
    or after 9999.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInput(
            f"{text[:64]!r} is not an ISO 8601 time with a UTC offset. "
            "Write it like 2030-01-01T00:00:00Z."
        )
    at_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= at_ms <= _LAST_MS:
        raise InvalidInput(f"{text[:64]!r} is out of range. Give a time from 1970 to 9999.")
    return at_ms
