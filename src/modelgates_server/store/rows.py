"""Rows of either database become the values of the core, and back."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from modelgates_server.core.audit.findings import GenerationRow
from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.keys import Key, KeyKind
from modelgates_server.core.ledger.records import (
    Account,
    Entry,
    EntryKind,
    Hold,
    HoldState,
    PlatformAccount,
)
from modelgates_server.core.metering.generations import (
    ActivityRow,
    Generation,
    StoredAnswer,
    with_error_codes,
)
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.times import LimitReset
from modelgates_server.service.ports import AuthenticatedKey, OpenHolds

Row = Sequence[Any]
T = TypeVar("T")

# Looked up instead of constructed: an enum call costs as much as reading the row.
_KEY_KINDS = {kind.value: kind for kind in KeyKind}
_HOLD_STATES = {state.value: state for state in HoldState}
_ENTRY_KINDS = {kind.value: kind for kind in EntryKind}
_PLATFORM = {platform.value: platform for platform in PlatformAccount}
_LIMIT_RESETS = {reset.value: reset for reset in LimitReset}

_ACCOUNT_COLUMNS = len(Account.__struct_fields__)
_ACTIVITY = ActivityRow.__struct_fields__
_generation = msgspec.json.Decoder(Generation)
_json = msgspec.json.Encoder()
# What reading JSON that nobody wrote so may come to; the core asserts what it builds.
_NOT_OURS = (msgspec.DecodeError, AssertionError, IndexError, RecursionError, TypeError)


def account_of(row: Row) -> Account:
    """`select * from account`."""
    return Account(*row)


def hold_of(row: Row) -> Hold:
    """`select * from hold`."""
    account_id, hold_id, key_hash, state, *rest = row
    return Hold(account_id, hold_id, key_hash, _HOLD_STATES[state], *rest)


def open_holds_of(row: Row) -> OpenHolds:
    """The statement `all_open_holds`."""
    count, millions, rest, oldest_at_ms = row
    return OpenHolds(count, millions * 1_000_000 + rest, oldest_at_ms)


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


def spender_of(row: Row) -> tuple[Account, Key]:
    """The statement `spender`."""
    return account_of(row[:_ACCOUNT_COLUMNS]), key_of(row[_ACCOUNT_COLUMNS:])


def caller_of(row: Row) -> AuthenticatedKey:
    """The statement `caller`."""
    return AuthenticatedKey(row[0], row[1], _KEY_KINDS[row[2]], row[3] == 1, *row[4:])


def generation_of(row: Row) -> Generation:
    """Id and record; raises `StoreUnavailable` for a record that nobody wrote so."""
    generation_id, record = row
    try:
        return with_error_codes(_generation.decode(record))
    except _NOT_OURS as error:
        raise _damaged("generation", generation_id, error) from error


def generation_row_of(row: Row) -> GenerationRow:
    """`select * from generation`; raises as `generation_of` does."""
    account_id, generation_id, state, cost_pico, idempotency, record = row
    generation = generation_of((generation_id, record))
    return GenerationRow(
        account_id, generation_id, _HOLD_STATES[state], cost_pico, idempotency, generation
    )


def answer_of(row: Row) -> StoredAnswer:
    """`select * from answer`."""
    return StoredAnswer(*row)


def activity_of(row: Row) -> ActivityRow:
    """`select * from activity`."""
    return ActivityRow(**dict(zip(_ACTIVITY, row[1:], strict=True)))


def price_of(row: Row) -> Price:
    """`select * from price`; raises `StoreUnavailable` for one that nobody wrote so."""
    price_id, endpoint_id, from_ms, source, tiers = row
    try:
        return msgspec.convert(
            {
                "id": price_id,
                "endpoint_id": endpoint_id,
                "from_ms": from_ms,
                "source": source,
                "tiers": msgspec.json.decode(tiers),
            },
            Price,
        )
    except _NOT_OURS as error:
        raise _damaged("price", price_id, error) from error


def _damaged(what: str, name: object, error: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        f"{what} {name!r} cannot be read ({error}): restore the database from a backup"
    )


def as_found(value: type[T], read: Callable[[Row], T]) -> Callable[[Row], T]:
    """For those who check the books: what nobody wrote so is handed on, for the audit to name."""

    def read_anyway(row: Row) -> T:
        try:
            return read(row)
        except (KeyError, StoreUnavailable):
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


def generation_row(generation: Generation) -> Row:
    """All columns, for an insert."""
    return (
        generation.account_id,
        generation.id,
        generation.state.value,
        generation.cost_pico,
        generation.idempotency,
        _json.encode(generation).decode(),
    )


def answer_row(answer: StoredAnswer) -> Row:
    """All columns, for an insert."""
    return msgspec.structs.astuple(answer)


def activity_row(account_id: str, activity: ActivityRow) -> Row:
    """All columns, for an insert."""
    return (account_id, *msgspec.structs.astuple(activity))


def price_row(price: Price) -> Row:
    """All columns, for an insert."""
    return (
        price.id,
        price.endpoint_id,
        price.from_ms,
        price.source,
        _json.encode(price.tiers).decode(),
    )
