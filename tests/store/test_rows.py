"""Rows become structs and structs rows, by the names of the fields alone."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from modelgates_server.core.keys import Key, KeyKind
from modelgates_server.core.ledger.records import (
    Account,
    Entry,
    EntryKind,
    Hold,
    HoldState,
    PlatformAccount,
)
from modelgates_server.core.times import LimitReset
from modelgates_server.store import rows

HOLD = Hold("user_A", "h", "a" * 64, HoldState.OPEN, 5, 1, 2)
USAGE = Entry(
    *("user_A", 3, EntryKind.USAGE, "end:h", 7, 5, 0, -2, -5),
    platform=PlatformAccount.REVENUE,
    platform_pico=2,
    hold_id="h",
    key_hash="a" * 64,
)
VOID = Entry("user_A", 3, EntryKind.VOID, "end:h", 7, 5, 0, 0, -5, hold_id="h", key_hash="a" * 64)
KEY = Key("a" * 64, "user_A", KeyKind.INFERENCE, "name", "label", 1)
LIMITED = msgspec.structs.replace(
    KEY, limit_pico=5, limit_reset=LimitReset.WEEKLY, include_byok_in_limit=True, disabled=True
)
ACCOUNT = Account("user_A", "name", 0, 1)


def stored(value: Any) -> tuple[Any, ...]:
    """The values that a database returns: text for enums, 0 and 1 for booleans."""
    members = msgspec.to_builtins(value).values()
    return tuple(int(member) if member in (True, False) else member for member in members)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (HOLD, rows.hold_of),
        (USAGE, rows.entry_of),
        (VOID, rows.entry_of),
        (KEY, rows.key_of),
        (LIMITED, rows.key_of),
        (ACCOUNT, rows.account_of),
    ],
)
def test_row_is_read_as_it_was_written(value: Any, read: Callable[[rows.Row], Any]) -> None:
    write = rows.writer(type(value), type(value).__struct_fields__, {})
    row = write(value)
    assert tuple(row) == stored(value)
    assert {type(member) for member in row} <= {str, int, bool, type(None)}, "no enum is left"
    again = read(stored(value))
    assert again == value
    assert [type(a) for a in msgspec.structs.astuple(again)] == [
        type(v) for v in msgspec.structs.astuple(value)
    ]


def test_row_is_written_in_the_order_of_the_given_names() -> None:
    assert list(rows.writer(Hold, ("id", "state", "account_id"), {})(HOLD)) == [
        "h",
        "open",
        "user_A",
    ]
    names = ("id", "twice", "account_id", "key_hash")
    write = rows.writer(Hold, names, {"twice": lambda hold: hold.amount_pico * 2})
    assert list(write(HOLD)) == ["h", 10, "user_A", "a" * 64]


def test_unknown_field_name_is_refused_when_statements_are_loaded() -> None:
    write = rows.writer(Hold, ("id", "stat"), {})
    with pytest.raises(AttributeError, match="stat"):
        write(HOLD)


@pytest.mark.parametrize(
    ("row", "read"),
    [
        (("user_A", "h", "a", "lost", 5, 1, 2, None, None), rows.hold_of),
        (("user_A", "h", "a", None, 5, 1, 2, None, None), rows.hold_of),
        ((*stored(KEY)[:9], 2, *stored(KEY)[10:]), rows.key_of),
        ((*stored(KEY)[:7], "yearly", *stored(KEY)[8:]), rows.key_of),
    ],
)
def test_invalid_value_raises_and_is_given_to_audits_unchanged(
    row: tuple[Any, ...], read: Callable[[rows.Row], Any]
) -> None:
    with pytest.raises(KeyError):
        read(row)
    struct = Hold if read is rows.hold_of else Key
    handed = rows.as_stored(struct, read)(row)
    assert msgspec.structs.astuple(handed) == row
