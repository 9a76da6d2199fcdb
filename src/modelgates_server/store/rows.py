"""Rows of either database become the values of the core, and back."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from modelgates_server.core.books import Account, Entry, EntryKind, Hold, HoldState, Platform
from modelgates_server.core.keys import Key, KeyKind
from modelgates_server.core.times import LimitReset
from modelgates_server.service.ports import Caller

Row = Sequence[Any]
T = TypeVar("T")

# Looked up instead of constructed: an enum call costs as much as reading the row.
_KEY_KINDS = {kind.value: kind for kind in KeyKind}
_HOLD_STATES = {state.value: state for state in HoldState}
_ENTRY_KINDS = {kind.value: kind for kind in EntryKind}
_PLATFORM = {platform.value: platform for platform in Platform}
_LIMIT_RESETS = {reset.value: reset for reset in LimitReset}


def account_of(row: Row) -> Account:
    """`select * from account`."""
    return Account(*row)


def hold_of(row: Row) -> Hold:
    """`select * from hold`."""
    account_id, hold_id, key_hash, state, *rest = row
    return Hold(account_id, hold_id, key_hash, _HOLD_STATES[state], *rest)


def entry_of(row: Row) -> Entry:
    """`select * from entry`."""
    values: list[Any] = list(row)
    values[2] = _ENTRY_KINDS[row[2]]
    values[9] = row[9] and _PLATFORM[row[9]]
    return Entry(*values)


def key_of(row: Row) -> Key:
    """`select * from api_key`."""
    key_hash, account, kind, name, label, created, limit, reset, byok, disabled, *rest = row
    return Key(
        key_hash,
        account,
        _KEY_KINDS[kind],
        name,
        label,
        created,
        limit,
        reset and _LIMIT_RESETS[reset],
        bool(byok),
        bool(disabled),
        *rest,
    )


def caller_of(row: Row) -> Caller:
    """The statement `caller`."""
    return Caller(row[0], row[1], _KEY_KINDS[row[2]], row[3] == 1, *row[4:])


def as_found(value: type[T], read: Callable[[Row], T]) -> Callable[[Row], T]:
    """For those who check the books: a word nobody wrote is handed on, for the audit to name."""

    def read_anyway(row: Row) -> T:
        try:
            return read(row)
        except KeyError:
            return value(*row)

    return read_anyway


def account_row(account: Account) -> Row:
    """All columns, for an insert."""
    return (
        account.id,
        account.name,
        account.min_balance_pico,
        account.created_at_ms,
        account.closed_at_ms,
        account.credits_pico,
        account.usage_pico,
        account.held_pico,
        account.last_seq,
    )


def hold_row(hold: Hold) -> Row:
    """All columns, for an insert."""
    return (
        hold.account_id,
        hold.id,
        hold.key_hash,
        hold.state.value,
        hold.amount_pico,
        hold.created_at_ms,
        hold.expires_at_ms,
        hold.charged_pico,
        hold.ended_at_ms,
    )


def entry_row(entry: Entry) -> Row:
    """All columns, for an insert."""
    return (
        entry.account_id,
        entry.seq,
        entry.kind.value,
        entry.reference,
        entry.at_ms,
        entry.balance_after_pico,
        entry.held_after_pico,
        entry.amount_pico,
        entry.held_pico,
        entry.platform and entry.platform.value,
        entry.platform_pico,
        entry.overrun_pico,
        entry.hold_id,
        entry.key_hash,
        entry.reason,
        entry.min_balance_pico,
    )
