import csv
import io
import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from modelgates_server.core.errors import AccountNotFound, StoreUnavailable
from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.service import accounts, export
from modelgates_server.service.export import COLUMNS, export_csv, export_jsonl
from modelgates_server.service.ports import Store
from tests.support import (
    DOLLAR,
    capture,
    grant,
    make_key,
    new_account_id,
    open_account,
    place,
)

FORMULA = '=HYPERLINK("http://example.org","1")'


async def as_json(store: Store, account_id: str | None = None) -> list[dict[str, object]]:
    out = io.StringIO()
    count = await export_jsonl(store, out.write, account_id)
    lines = out.getvalue().splitlines()
    assert count == len(lines)
    return [json.loads(line) for line in lines]


async def as_csv(store: Store, account_id: str | None = None) -> list[dict[str, str]]:
    out = io.StringIO(newline="")
    count = await export_csv(store, out.write, account_id)
    rows = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert count == len(rows)
    return rows


async def granted(store: Store, amount_pico: int, reason: str = "test") -> str:
    account_id = await open_account(store)
    await store.execute(msgspec.structs.replace(grant(account_id, amount_pico), reason=reason))
    return account_id


async def test_export_contains_every_field_of_an_entry(store: Store) -> None:
    account_id = await open_account(store, 10 * DOLLAR)
    _, key = await make_key(store, account_id)
    await store.execute(place(account_id, key.hash, "gen-1", DOLLAR))
    await store.execute(capture(account_id, key.hash, "gen-1", DOLLAR + 1))
    rows = await as_json(store)
    assert rows[0] == {
        "account_id": account_id,
        "seq": 1,
        "kind": "open",
        "reference": "open",
        "at": "2026-11-23T13:12:00.000Z",
        "amount": "0",
        "held": "0",
        "balance_after": "0",
        "held_after": "0",
        "platform": None,
        "platform_amount": "0",
        "overrun": "0",
        "hold_id": None,
        "key_hash": None,
        "reason": "test",
    }
    assert rows[3] == {
        "account_id": account_id,
        "seq": 4,
        "kind": "usage",
        "reference": "end:gen-1",
        "at": "2026-11-23T13:12:00.000Z",
        "amount": "-1",
        "held": "-1",
        "balance_after": "9",
        "held_after": "0",
        "platform": "revenue",
        "platform_amount": "1.000000000001",
        "overrun": "-0.000000000001",
        "hold_id": "gen-1",
        "key_hash": key.hash,
        "reason": None,
    }


async def test_json_and_csv_exports_agree(store: Store) -> None:
    for amount_pico in (1, DOLLAR // 3, ENTRY_MAX_PICO):
        await granted(store, amount_pico)
    told = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in await as_json(store)
    ]
    assert await as_csv(store) == told
    assert list(told[0]) == list(COLUMNS)


@pytest.mark.parametrize("amount_pico", [1, 123_456, DOLLAR // 3, ENTRY_MAX_PICO])
async def test_amount_keeps_every_digit(store: Store, amount_pico: int) -> None:
    account_id = await granted(store, amount_pico)
    for row in ((await as_json(store, account_id))[1], (await as_csv(store, account_id))[1]):
        for name in ("amount", "balance_after"):
            assert Decimal(str(row[name])).scaleb(12) == amount_pico
        assert Decimal(str(row["platform_amount"])).scaleb(12) == -amount_pico


async def test_accounts_are_exported_whole_and_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_PAGE", 2)
    ids = sorted([await granted(store, 1) for _ in range(3)])
    rows = await as_json(store)
    assert [(row["account_id"], row["seq"]) for row in rows] == [
        (account_id, seq) for account_id in ids for seq in (1, 2)
    ]
    assert await as_json(store, ids[1]) == rows[2:4]


async def test_export_of_an_empty_ledger_has_only_its_columns(store: Store) -> None:
    out = io.StringIO()
    assert await as_json(store) == []
    assert await export_csv(store, out.write) == 0
    assert out.getvalue() == ",".join(COLUMNS) + "\n"


async def test_export_of_an_unknown_account_is_refused(store: Store) -> None:
    with pytest.raises(AccountNotFound):
        await as_csv(store, new_account_id())


@pytest.mark.parametrize("reason", ["=1+1", "+1", "-1", "@a", "＝1+1", FORMULA])  # noqa: RUF001
async def test_reason_is_not_exported_as_a_formula(store: Store, reason: str) -> None:
    account_id = await granted(store, DOLLAR, reason)
    assert (await as_csv(store, account_id))[1]["reason"] == f"'{reason}"
    assert (await as_json(store, account_id))[1]["reason"] == reason


async def test_reference_is_not_exported_as_a_formula(store: Store) -> None:
    account_id = await open_account(store)
    await store.execute(grant(account_id, 1, FORMULA))
    assert (await as_csv(store, account_id))[1]["reference"] == f"'{FORMULA}"


async def test_negative_amount_stays_a_number(store: Store) -> None:
    account_id = await granted(store, DOLLAR)
    assert (await as_csv(store, account_id))[1]["platform_amount"] == "-1"


@pytest.mark.parametrize("reason", ['a,b;"c"', "Grüße, 数", "'quoted'", "a=1+1"])
async def test_ordinary_text_is_exported_unchanged(store: Store, reason: str) -> None:
    account_id = await granted(store, DOLLAR, reason)
    assert (await as_csv(store, account_id))[1]["reason"] == reason
    assert (await as_json(store, account_id))[1]["reason"] == reason


async def test_export_fails_when_an_entry_is_damaged(store: Store, sqlite_path: Path) -> None:
    account_id = await granted(store, DOLLAR)
    with closing(sqlite3.connect(sqlite_path)) as connection:
        connection.execute("drop trigger entry_is_never_changed")
        connection.execute("update entry set kind = 'nonsense' where seq = 2")
        connection.commit()
    message = f"Entry 2 of account '{account_id}' cannot be read: kind holds 'nonsense'"
    with pytest.raises(StoreUnavailable, match=message):
        await as_csv(store)


def test_every_column_is_documented() -> None:
    assert export.__doc__ is not None
    for name in COLUMNS:
        assert name in export.__doc__
