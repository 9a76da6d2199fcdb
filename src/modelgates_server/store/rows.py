"""Converts rows of any database to values of the core and back, by the fields of the structs."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from operator import attrgetter
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.key_rotation import KeySecret
from modelgates_server.core.keys import Key, KeyCreationRecord
from modelgates_server.core.ledger.records import Account, Entry, Hold
from modelgates_server.core.metering.archives import Archive
from modelgates_server.core.metering.generations import ActivityRow, StoredAnswer
from modelgates_server.core.pricing.prices import Price
from modelgates_server.service.ports import AuthenticatedKey, OpenHolds

Row = Sequence[Any]
T = TypeVar("T")

STRUCTS: Mapping[str, type[msgspec.Struct]] = {
    "account": Account,
    "activity": ActivityRow,
    "answer": StoredAnswer,
    "archive": Archive,
    "entry": Entry,
    "hold": Hold,
    "key": Key,
    "key_creation_record": KeyCreationRecord,
    "key_secret": KeySecret,
    "price": Price,
}
"""The names that statements use for the columns of a struct."""

_json = msgspec.json.Encoder()
DECODE_ERRORS = (msgspec.DecodeError, AssertionError, IndexError, RecursionError, TypeError)
"""Errors of reading JSON that another program wrote; the constructors of the core assert."""


def reader(struct: Callable[..., T], *, keywords: bool = False) -> Callable[[Row], T]:
    """A function that builds a struct from its columns, in the order of its fields.

    Enums and booleans are looked up, which is faster than constructing them; an invalid value
    raises `KeyError`. Set `keywords` for a struct whose fields are keyword-only.
    """
    hints = get_type_hints(struct)
    names = tuple(hints)
    tables = [(names.index(name), _values(hint)) for name, hint in hints.items() if _values(hint)]

    def read(row: Row) -> T:
        values = list(row)
        for index, table in tables:
            values[index] = table[values[index]]
        return struct(*values)

    if keywords:
        assert not tables, "keyword-only fields are not converted"
        return lambda row: struct(**dict(zip(names, row, strict=True)))
    return read if tables else lambda row: struct(*row)


def _values(hint: Any) -> dict[Any, Any]:
    """The values of an enum or boolean by their stored form; empty for other types."""
    types = get_args(hint) or (hint,)
    if bool in types:
        return {0: False, 1: True}
    values = {member.value: member for enum in _enums(hint) for member in enum}
    return values | ({None: None} if values and type(None) in types else {})


def _enums(hint: Any) -> list[type[StrEnum]]:
    types = get_args(hint) or (hint,)
    return [kind for kind in types if isinstance(kind, type) and issubclass(kind, StrEnum)]


def writer(
    struct: type[T], names: Sequence[str], encoders: Mapping[str, Callable[[T], Any]]
) -> Callable[[T], Row]:
    """A function that returns the columns with these names from the fields of a struct.

    `encoders` compute columns that are not fields. Enums are converted to text here, because
    database drivers are slower at it.
    """
    hints = get_type_hints(struct)
    members = [name for name in names if name not in encoders]
    get_members: Callable[[T], Row] = attrgetter(*members)
    if members == list(hints):
        get_members = msgspec.structs.astuple  # type: ignore[assignment] # structs only, and faster
    enums = [index for index, name in enumerate(members) if _enums(hints.get(name))]
    encoded = [(index, encoders[name]) for index, name in enumerate(names) if name in encoders]
    if not enums and not encoded:
        return get_members

    def write(value: T) -> Row:
        row = list(get_members(value))
        for index in enums:
            if row[index] is not None:
                row[index] = row[index]._value_  # the same as `value`, which is a slow property
        for index, encode in encoded:
            row.insert(index, encode(value))
        return row

    return write


account_of = reader(Account)
hold_of = reader(Hold)
entry_of = reader(Entry)
key_of = reader(Key)
key_creation_record_of = reader(KeyCreationRecord)
key_secret_of = reader(KeySecret)
answer_of = reader(StoredAnswer)
archive_of = reader(Archive)
activity_of = reader(ActivityRow, keywords=True)
authenticated_key_of = reader(AuthenticatedKey)

_ACCOUNT_COLUMNS = len(Account.__struct_fields__)


def account_and_key_of(row: Row) -> tuple[Account, Key]:
    """Read the columns of an account, then those of a key."""
    return account_of(row[:_ACCOUNT_COLUMNS]), key_of(row[_ACCOUNT_COLUMNS:])


def open_holds_of(row: Row) -> OpenHolds:
    """Read a row of the statement `all_open_holds`."""
    count, millions, rest, oldest_at_ms = row
    return OpenHolds(count, millions * 1_000_000 + rest, oldest_at_ms)


def price_of(row: Row) -> Price:
    """Read all columns; raises `StoreUnavailable` if one is invalid."""
    columns = dict(zip(Price.__struct_fields__, row, strict=True))
    try:
        columns["tiers"] = msgspec.json.decode(columns["tiers"])
        return msgspec.convert(columns, Price)
    except DECODE_ERRORS as error:
        raise damaged("price", columns["id"], error) from error


def damaged(kind: str, name: object, error: Exception) -> StoreUnavailable:
    """The error for a row that cannot be read."""
    return StoreUnavailable(
        f"The {kind} {name!r} cannot be read ({error}). Restore the database from a backup."
    )


def as_stored(value: type[T], read: Callable[[Row], T]) -> Callable[[Row], T]:
    """A reader for audits: it returns a row that cannot be read unchanged, to be reported."""

    def read_anyway(row: Row) -> T:
        try:
            return read(row)
        except (KeyError, StoreUnavailable):
            return value(*row)

    return read_anyway


def tiers_json(price: Price) -> str:
    """Encode the column `tiers`."""
    return _json.encode(price.tiers).decode()
