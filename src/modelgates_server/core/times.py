"""Instants are milliseconds since 1970-01-01T00:00:00Z; limit windows are UTC calendar periods."""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from modelgates_server.core.errors import InvalidInput

MS_PER_DAY = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LAST_MS = (date(9999, 12, 31).toordinal() + 1 - _EPOCH_ORDINAL) * MS_PER_DAY - 1


class LimitReset(StrEnum):
    """How often a key's limit starts afresh: 00:00 UTC, Mondays, the 1st (OpenRouter's rule)."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


def day_of(at_ms: int) -> int:
    """Days since the epoch, UTC."""
    return at_ms // MS_PER_DAY


def week_of(day: int) -> int:
    """Number of the week that starts on a Monday; 1970-01-01 was a Thursday."""
    return (day + 3) // 7


def month_of(day: int) -> int:
    """Number of the calendar month."""
    moment = date.fromordinal(day + _EPOCH_ORDINAL)
    return moment.year * 12 + moment.month - 1


def resets_at_ms(reset: LimitReset, day: int) -> int:
    """The first instant after the window that `day` lies in."""
    if reset is LimitReset.DAILY:
        return (day + 1) * MS_PER_DAY
    if reset is LimitReset.WEEKLY:
        return ((week_of(day) + 1) * 7 - 3) * MS_PER_DAY
    year, month = divmod(month_of(day) + 1, 12)
    return (date(year, month + 1, 1).toordinal() - _EPOCH_ORDINAL) * MS_PER_DAY


def format_instant(at_ms: int) -> str:
    """ISO 8601 with milliseconds and `Z`: `2026-11-23T13:12:00.123Z`."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def parse_instant(text: str) -> int:
    """Read an ISO 8601 date and time with an offset, such as `2030-01-01T00:00:00Z`.

    Raises `InvalidInput` when it is no such text, has no offset, or lies outside 1970 to 9999.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInput(f"{text[:64]!r} is not a UTC time like 2030-01-01T00:00:00Z")
    at_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= at_ms <= _LAST_MS:
        raise InvalidInput(f"{text[:64]!r} lies outside the years 1970 to 9999")
    return at_ms
