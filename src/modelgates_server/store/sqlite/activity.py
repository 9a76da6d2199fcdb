"""Reads a page of an account's activity, day by day."""

from operator import attrgetter

import msgspec

from modelgates_server.core.metering.generations import DailyActivity
from modelgates_server.core.times import QUARTER_HOURS_PER_DAY
from modelgates_server.service.ports import ActivityPosition
from modelgates_server.store.sql import bind
from modelgates_server.store.sqlite.connection import Connection
from modelgates_server.store.sqlite.snapshot import READS

_NO_END = 2**62
_BEFORE_ALL = "g"  # greater than every hash, which is hexadecimal

_of_day = bind(READS["activity_of_day"])
_decoder = msgspec.json.Decoder(list[DailyActivity])
_position = attrgetter("key_hash", "endpoint_id", "model")


def page(
    connection: Connection,
    account_id: str,
    *,
    from_day: int,
    to_day: int | None,
    key_hash: str | None,
    after: ActivityPosition | None,
    limit: int,
) -> list[DailyActivity]:
    """See `GenerationReader.activity`. Only days that have rows are looked at, one at a time."""
    end = _NO_END if to_day is None else (to_day + 1) * QUARTER_HOURS_PER_DAY
    if after is not None:
        end = min(end, (after.day + 1) * QUARTER_HOURS_PER_DAY)
    found: list[DailyActivity] = []
    while len(found) < limit:
        row = connection.execute(READS["newest_activity"], (account_id, end)).fetchone()
        if row[0] is None or row[0] < from_day * QUARTER_HOURS_PER_DAY:
            break
        day = row[0] // QUARTER_HOURS_PER_DAY
        position = (_BEFORE_ALL, "", "")
        if after is not None and after.day == day:
            position = after[1:]
        found += _rows_of_day(connection, account_id, day, key_hash, position, limit - len(found))
        end = day * QUARTER_HOURS_PER_DAY
    return found


def _rows_of_day(
    connection: Connection,
    account_id: str,
    day: int,
    key_hash: str | None,
    after: tuple[str, str, str],
    limit: int,
) -> list[DailyActivity]:
    values = {
        "account_id": account_id,
        "day": day,
        "from_quarter_hour": day * QUARTER_HOURS_PER_DAY,
        "to_quarter_hour": (day + 1) * QUARTER_HOURS_PER_DAY,
        "key_hash": key_hash,
        **dict(zip(("after_key_hash", "after_endpoint_id", "after_model"), after, strict=True)),
        "limit": limit,
    }
    found: list[DailyActivity] = []
    for (text,) in connection.execute(_of_day.sql, [values[name] for name in _of_day.names]):
        # SQLite promises no order within an aggregate.
        found += sorted(_decoder.decode(text), key=_position, reverse=True)
    return found
