"""`modelgates usage report`: its totals are those of the journal."""

import csv
import io
import json
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY, day_of, format_day
from tests.cli.console import Console
from tests.support import DOLLAR, PICO_PRICE, T0_MS, capture, finished, open_generation, place

FIELDS = [
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cached_tokens",
    "usage",
]
MODELS = ("acme/large", "=acme/small")


async def make_calls(gateway: Any, account: str, key: str, days: range) -> None:
    """One call of each model on each day, with a cost that no float can have."""
    await gateway.store.add_prices([PICO_PRICE])
    for day in days:
        for number, model in enumerate(MODELS):
            name = f"{key[:8]}-{day}-{number}"
            at_ms = T0_MS + day * MS_PER_DAY
            call = open_generation(account, key, name, DOLLAR, model=model)
            await gateway.store.execute(place(account, key, name, DOLLAR), call)
            used = 10**11 + day * 10 + number + 1
            end = msgspec.structs.replace(capture(account, key, name, used), at_ms=at_ms)
            await gateway.store.execute(end, finished(call, Usage(input=used), at_ms))


@pytest.fixture
def accounts(console: Console) -> list[str]:
    """Two accounts: 70 days with two keys, and 3 days with one."""
    ids = [console.account("1000"), console.account("1000")]
    first, second = console.key(ids[0]), console.key(ids[0], "inference", "--name", "+1")
    third = console.key(ids[1])
    for account, key, days in (
        (ids[0], first, range(70)),
        (ids[0], second, range(0, 70, 7)),
        (ids[1], third, range(3)),
    ):
        console.do(partial(make_calls, account=account, key=key["hash"], days=days))
    return ids


def report(console: Console, *words: str) -> Any:
    return console.call("usage", "report", *words, "--json").json


def journal_usage(console: Console, account: str | None, first: str, last: str) -> Decimal:
    """The usage entries of the journal from one day to another."""
    lines = console.call("ledger", "export").out.splitlines()
    entries = [json.loads(line) for line in lines]
    return -sum(
        (
            Decimal(entry["amount"])
            for entry in entries
            if entry["kind"] == "usage"
            and account in (None, entry["account_id"])
            and first <= entry["at"][:10] <= last
        ),
        Decimal(0),
    )


@pytest.mark.parametrize("by", [None, "key", "model", "day"])
def test_totals_are_those_of_the_journal(
    by: str | None, console: Console, accounts: list[str]
) -> None:
    words = () if by is None else ("--by", by)
    start = day_of(T0_MS)
    ranges = [(0, 10_000), (0, 0), (1, 40), (65, 200), (200, 300)]
    for account in (None, accounts[0]):
        for days in ranges:
            first, last = (format_day(start + day) for day in days)
            chosen = () if account is None else ("--account", account)
            got = report(console, "--from", first, "--to", last, *words, *chosen)
            expected = journal_usage(console, account, first, last)
            assert Decimal(got["total"]["usage"]) == expected
            for name in FIELDS:
                rows_sum = sum((Decimal(row[name]) for row in got["rows"]), Decimal(0))
                assert rows_sum == Decimal(got["total"][name])
    whole = report(console, *words)
    assert Decimal(whole["total"]["usage"]) == journal_usage(console, None, "", "9")
    assert console.call("ledger", "verify").code == 0


def test_rows_are_grouped_and_sorted(console: Console, accounts: list[str]) -> None:
    def groups(by: str, name: str) -> list[tuple[str, str]]:
        rows = report(console, "--by", by)["rows"]
        return [(row["account_id"], row[name]) for row in rows]

    assert [row["account_id"] for row in report(console)["rows"]] == sorted(accounts)
    for by, name, count in (("key", "key_hash", 3), ("model", "model", 4), ("day", "date", 73)):
        found = groups(by, name)
        assert found == sorted(found)
        assert len(set(found)) == len(found) == count
    assert report(console, "--by", "key", "--account", accounts[1])["rows"][0]["requests"] == 6


def test_fields_of_json_are_stable(console: Console, accounts: list[str]) -> None:
    got = report(console, "--to", "2026-11-23", "--by", "key")
    assert list(got) == ["from", "to", "by", "rows", "total"]
    assert (got["from"], got["to"], got["by"]) == (None, "2026-11-23", "key")
    assert list(report(console)["rows"][0]) == ["account_id", *FIELDS]
    rows = report(console, "--by", "key")["rows"]
    assert list(rows[0]) == ["account_id", "key_hash", "key_name", *FIELDS]
    del accounts


def test_csv_has_the_same_rows_without_formulas(console: Console, accounts: list[str]) -> None:
    del accounts
    for by in ("key", "model", "day"):
        rows = report(console, "--by", by)["rows"]
        printed = console.call("usage", "report", "--by", by, "--csv").out
        lines = list(csv.DictReader(io.StringIO(printed)))
        assert len(lines) == len(rows)
        assert [line["usage"] for line in lines] == [row["usage"] for row in rows]
        assert not any(cell.startswith(("=", "+")) for line in lines for cell in line.values())


def test_people_read_a_table_with_a_total(console: Console, accounts: list[str]) -> None:
    lines = console.call("usage", "report", "--by", "model").out.splitlines()
    assert len(lines) == 1 + 4 + 1
    assert lines[0].split()[:3] == ["account", "id", "model"]
    assert lines[-1].split()[0] == "total"
    total = report(console, "--by", "model")["total"]
    assert lines[-1].split()[-1] == total["usage"]
    del accounts


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--from 2026-11-31", "is not a day. Write it like 2026-11-23."),
        ("--to yesterday", "is not a day."),
        ("--from 2026-12-01 --to 2026-11-01", "`--from` 2026-12-01 is after `--to` 2026-11-01"),
        ("--csv --json", "exclude each other"),
        ("--account user_x", "does not exist"),
    ],
)
def test_invalid_option_gives_a_one_line_error(words: str, reason: str, console: Console) -> None:
    console.account()
    assert reason in console.call("usage", "report", *words.split()).refusal


def test_ledger_without_usage_has_an_empty_report(console: Console, tmp_path: Path) -> None:
    del tmp_path
    console.account("5")
    got = report(console)
    assert (got["rows"], got["total"]["usage"]) == ([], "0")
