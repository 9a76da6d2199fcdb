"""A migration: folds the generations of each day of activity by quarter hours.

The sums of a day are the same afterwards, exactly. If generations cannot be read, or do not add up
to their day, the rest of the day is in its first quarter hour.
"""

from collections.abc import Callable, Iterator
from itertools import groupby, islice
from typing import Annotated, Any, NamedTuple

import msgspec

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import QUARTER_HOURS_PER_DAY, quarter_hour_of
from modelgates_server.store.sql import load_statements
from modelgates_server.store.sqlite.connection import Connection

_PAGE = 5000
_Row = tuple[Any, ...]
_Day = tuple[str, int, str, str, str]
"""Account, day, key, endpoint, model: the primary key of the old table."""

_DAY_COLUMNS = 5
_Int = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class _Recorded(msgspec.Struct):
    """The fields of a generation's record that its activity comes from."""

    key_hash: str
    endpoint_id: str
    model: str
    state: str = "open"
    ended_at_ms: _Int | None = None
    cost_pico: _Int = 0
    usage: Usage | None = None


class _Figures(NamedTuple):
    """The sums of a row, in the order of the columns."""

    requests: int
    usage_pico: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int


_NOTHING = _Figures(*[0] * len(_Figures._fields))
_recorded = msgspec.json.Decoder(_Recorded)
_DECODE_ERRORS = (msgspec.DecodeError, AssertionError, RecursionError, UnicodeDecodeError)

_SQL = load_statements(__package__, "refold.sql", {})


def by_quarter_hours(connection: Connection, report: Callable[[str], None]) -> None:
    """Fill the table `activity` from `activity_by_day` and the generations, and check the sums."""
    execute = connection.execute
    execute(_SQL["create_fold"])
    _fold(connection, report)
    report("Writing the activity")
    connection.executemany(_SQL["insert_activity"], _rows(connection))
    if row := execute(_SQL["changed_sums"]).fetchone():
        raise StoreUnavailable(
            f"The activity of account {row[0]} cannot be split into quarter hours: the sums of day "
            f"{row[1]} would change. Nothing was migrated. Report this as a bug."
        )
    execute(_SQL["drop_fold"])
    execute(_SQL["drop_days"])


def _fold(connection: Connection, report: Callable[[str], None]) -> None:
    """Add up all generations by quarter hours in the table `fold`."""
    (last,) = connection.execute(_SQL["last_generation"]).fetchone()
    generations = iter(connection.execute(_SQL["generations"]))
    while page := list(islice(generations, _PAGE)):
        rows = (_folded(account_id, record) for _, account_id, record in page)
        connection.executemany(_SQL["add_to_fold"], filter(None, rows))
        report(f"{page[-1][0]} of {last} calls folded")


def _folded(account_id: str, record: str) -> _Row | None:
    """The row that a generation adds to `fold`; None if it adds none or cannot be read."""
    try:
        call = _recorded.decode(record)
    except _DECODE_ERRORS:
        return None
    if call.ended_at_ms is None or not (call.state == "captured" or call.cost_pico):
        return None
    usage = call.usage or Usage()
    quarter_hour = quarter_hour_of(call.ended_at_ms)
    figures = _Figures(
        1,
        call.cost_pico,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.reasoning,
        usage.cache_read,
    )
    if max(figures) > 2**62:
        return None
    day = quarter_hour // QUARTER_HOURS_PER_DAY
    return (account_id, day, call.key_hash, call.endpoint_id, call.model, quarter_hour, *figures)


def _rows(connection: Connection) -> Iterator[_Row]:
    """The rows of the new table: those of each old row, whose order both tables have."""
    folds = groupby(connection.execute(_SQL["fold"]), key=lambda row: row[:_DAY_COLUMNS])
    fold = next(folds, None)
    for row in connection.execute(_SQL["days"]):
        day: _Day = row[:_DAY_COLUMNS]
        parts: dict[int, _Figures] = {}
        while fold is not None and fold[0] <= day:
            if fold[0] == day:
                parts = {part[5]: _Figures(*part[6:]) for part in fold[1]}
            fold = next(folds, None)
        account_id, number, key_hash, endpoint_id, model, provider, *sums = row
        for quarter_hour, figures in _split(number, _Figures(*sums), parts):
            yield (account_id, quarter_hour, key_hash, endpoint_id, model, provider, *figures)


def _split(day: int, total: _Figures, parts: dict[int, _Figures]) -> Iterator[tuple[int, _Figures]]:
    """The figures of a day by quarter hours: `parts`, and what they lack in the first one."""
    first = day * QUARTER_HOURS_PER_DAY
    known = [sum(column) for column in zip(*parts.values(), strict=True)] or _NOTHING
    if tuple(known) != total:
        rest = [all_ - part for all_, part in zip(total, known, strict=True)]
        begin = parts.get(first, _NOTHING)
        parts = {**parts, first: _Figures(*map(sum, zip(begin, rest, strict=True)))}
        if min(parts[first]) < 0 or not parts[first].requests:
            parts = {first: total}
    yield from sorted(parts.items())
