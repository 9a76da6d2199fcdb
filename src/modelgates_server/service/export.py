"""Writes journals as JSON Lines or CSV, for other programs and accounting.

The columns are stable: new ones are only added at the end. Amounts are exact decimals of dollars as
text, `at` is ISO 8601 in UTC, and what an entry does not have is null (an empty cell in CSV).

account_id, seq     which line of which journal; `seq` counts from 1 without a gap
kind, reference     what the entry records, and the reference of the command it came from
at                  the time of the request
amount, held        what the entry moves: the balance, and what is held
balance_after       the account's balance once the entry stands; `held_after` likewise
platform            the platform account on the other side, `platform_amount` what it gets
overrun             use above the hold, at the platform's expense: negative or 0
hold_id, key_hash   the hold and the key that the entry concerns
reason              why; for `open` the account's name
"""

import csv
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Protocol

import msgspec

from modelgates_server.core.audit.findings import oddity
from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.ledger.records import Entry
from modelgates_server.core.money import format_pico
from modelgates_server.core.times import format_instant
from modelgates_server.service.accounts import every_account
from modelgates_server.service.ports import Journal, Ledger

Cell = str | int | None
Write = Callable[[str], object]
"""Takes text, like the method of a text file; the file's encoding should be UTF-8."""

_CELLS: dict[str, Callable[[Entry], Cell]] = {
    "account_id": lambda entry: entry.account_id,
    "seq": lambda entry: entry.seq,
    "kind": lambda entry: entry.kind.value,
    "reference": lambda entry: entry.reference,
    "at": lambda entry: format_instant(entry.at_ms),
    "amount": lambda entry: format_pico(entry.amount_pico),
    "held": lambda entry: format_pico(entry.held_pico),
    "balance_after": lambda entry: format_pico(entry.balance_after_pico),
    "held_after": lambda entry: format_pico(entry.held_after_pico),
    "platform": lambda entry: entry.platform and entry.platform.value,
    "platform_amount": lambda entry: format_pico(entry.platform_pico),
    "overrun": lambda entry: format_pico(entry.overrun_pico),
    "hold_id": lambda entry: entry.hold_id,
    "key_hash": lambda entry: entry.key_hash,
    "reason": lambda entry: entry.reason,
}

COLUMNS = tuple(_CELLS)

_FREE_TEXTS = ("reference", "hold_id", "reason")
# What makes a spreadsheet take a cell for a formula (OWASP, CSV injection), in full width as well.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001


class Exported(Ledger, Journal, Protocol):
    """The ports that an export reads."""


async def export_jsonl(store: Exported, write: Write, account_id: str | None = None) -> int:
    """Write one JSON object per entry of one account or of all; returns how many.

    Every account is exported as of one moment. Raises `AccountNotFound`, and `StoreUnavailable` at
    an entry that cannot be read.
    """
    return await _export(
        store, account_id, lambda row: write(msgspec.json.encode(row).decode() + "\n")
    )


async def export_csv(store: Exported, write: Write, account_id: str | None = None) -> int:
    """Write a line of column names and one line per entry; otherwise like `export_jsonl`.

    A text that a spreadsheet would run as a formula, such as the reason `=1+1`, gets an apostrophe
    in front, so that it starts like none. JSON Lines has every text as it is.
    """
    lines = csv.DictWriter(_File(write), COLUMNS, lineterminator="\n")
    lines.writeheader()
    return await _export(
        store,
        account_id,
        lambda row: lines.writerow(row | {name: _as_text(row[name]) for name in _FREE_TEXTS}),
    )


class _File(NamedTuple):
    write: Write


def _as_text(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


async def _export(
    store: Exported, account_id: str | None, take: Callable[[dict[str, Cell]], object]
) -> int:
    count = 0
    async for name in _account_ids(store, account_id):
        async with store.account_snapshot(name) as snapshot:
            async for page in snapshot.entries():
                for entry in page:
                    take(_row(entry))
                count += len(page)
    return count


async def _account_ids(store: Exported, account_id: str | None) -> AsyncIterator[str]:
    if account_id is not None:
        yield account_id
        return
    async for account in every_account(store):
        yield account.id


def _row(entry: Entry) -> dict[str, Cell]:
    odd = oddity(entry)
    if odd is not None:
        raise StoreUnavailable(
            f"entry {entry.seq!r} of account {entry.account_id!r} cannot be read: {odd}; "
            "`modelgates ledger verify` says what else is damaged"
        )
    return {name: cell_of(entry) for name, cell_of in _CELLS.items()}
