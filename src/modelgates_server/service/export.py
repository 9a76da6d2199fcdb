"""Writes journals as JSON Lines or CSV, for other programs and accounting.

The columns are stable: new ones are only added at the end. Amounts are exact decimals of dollars as
text, `at` is ISO 8601 in UTC, and a missing value is null (an empty cell in CSV).

account_id, seq     the journal, and the line in it; `seq` counts from 1 without a gap
kind, reference     the kind of the entry, and the reference of its command
at                  the time of the request
amount, held        the change of the balance, and of the held amount
balance_after       the account's balance after the entry; `held_after` likewise
platform            the platform account on the other side; `platform_amount` is its change
overrun             usage above the hold, paid by the platform: negative or 0
hold_id, key_hash   the hold and the key of the entry
reason              the reason; for `open` the account's name
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
"""Writes text, like the method of a text file with encoding UTF-8."""

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
# Characters that make a spreadsheet run a cell as a formula (OWASP, CSV injection), and their
# full-width forms.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001


class Exported(Ledger, Journal, Protocol):
    """The ports that an export reads."""


async def export_jsonl(store: Exported, write: Write, account_id: str | None = None) -> int:
    """Write one JSON object per entry, of one account or of all; returns the number of entries.

    Every account is exported as of one moment. Raises `AccountNotFound`, or `StoreUnavailable` if
    an entry cannot be read.
    """
    return await _export(
        store, account_id, lambda row: write(msgspec.json.encode(row).decode() + "\n")
    )


async def export_csv(store: Exported, write: Write, account_id: str | None = None) -> int:
    """Write a line of column names and one line per entry; otherwise like `export_jsonl`.

    A text that a spreadsheet would run as a formula, such as the reason `=1+1`, gets a leading
    apostrophe. JSON Lines contains every text unchanged.
    """
    lines = csv.DictWriter(TextFile(write), COLUMNS, lineterminator="\n")
    lines.writeheader()
    return await _export(
        store,
        account_id,
        lambda row: lines.writerow(
            row | {name: safe_for_spreadsheets(row[name]) for name in _FREE_TEXTS}
        ),
    )


class TextFile(NamedTuple):
    """A file for `csv`, which only writes."""

    write: Write


def safe_for_spreadsheets(cell: Cell) -> Cell:
    """Returns a cell that no spreadsheet runs as a formula."""
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
            f"Entry {entry.seq!r} of account {entry.account_id!r} cannot be read: {odd}. "
            "Run `modelgates ledger verify` to find all damage."
        )
    return {name: cell_of(entry) for name, cell_of in _CELLS.items()}
