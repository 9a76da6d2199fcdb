import asyncio
import csv
import io
import json
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S
from tests.support import capture, place

MEMBERS = [
    "account_id",
    "seq",
    "kind",
    "reference",
    "at",
    "amount",
    "held",
    "balance_after",
    "held_after",
    "platform",
    "platform_amount",
    "overrun",
    "hold_id",
    "key_hash",
    "reason",
]
PIPE_IS_FULL = 2_000
"""This many entries are more text than a pipe buffers."""


def damage(console: Console, statement: str, *parameters: object) -> None:
    connection = sqlite3.connect(console.path)
    with connection:
        connection.execute(statement, parameters)
    connection.close()


def many_entries(console: Console) -> str:
    account = console.account()

    async def grant(gateway: Any) -> None:
        postings = (gateway.credits.grant(account, 1, "load") for _ in range(PIPE_IS_FULL))
        await asyncio.gather(*postings)

    console.do(grant)
    return account


def test_valid_ledger_passes_verification(console: Console) -> None:
    account = console.account("100.5")
    key = console.key(account)["hash"]

    async def call(gateway: Any) -> None:
        await gateway.store.execute(place(account, key, "gen-1", 10**12))
        await gateway.store.execute(capture(account, key, "gen-1", 1_230_000_000_000))

    console.do(call)
    assert console.run("ledger", "verify").out == (
        "Ledger verified: 1 account, 4 entries, 1 hold, 0 generations.\n"
    )
    assert console.call("ledger", "verify", "--json").json == {
        "ok": True,
        "accounts": 1,
        "entries": 4,
        "holds": 1,
        "generations": 0,
        "customers": "99.5",
        "platform": {
            "grants": "-100.5",
            "adjustments": "0",
            "revenue": "1.23",
            "overrun": "-0.23",
        },
        "findings": [],
        "archived": 0,
        "archives": [],
        "archives_not_seen": [],
    }


def test_broken_ledger_fails_verification(console: Console) -> None:
    accounts = sorted(console.account("5") for _ in range(3))
    for account in accounts[1:]:
        damage(console, "update account set credits_pico = 6 where id = ?", account)
    ended = console.run("ledger", "verify")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert ended.err.startswith(f"Error: Account {accounts[1]} is broken (I1): ")
    assert accounts[1] in ended.out
    assert accounts[2] in ended.out
    assert accounts[0] not in ended.out

    ended = console.call("ledger", "verify", "--json")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    record = json.loads(ended.out)
    assert (record["ok"], record["accounts"]) == (False, 3)
    assert {finding["account_id"] for finding in record["findings"]} == set(accounts[1:])
    assert list(record["findings"][0]) == ["invariant", "account_id", "message"]


def test_damaged_file_gives_a_one_line_error(console: Console) -> None:
    console.path.write_bytes(b"no database at all" * 1000)
    assert "is damaged or not a database" in console.call("ledger", "verify").refusal


def test_every_entry_is_listed_with_stable_fields(console: Console) -> None:
    account = console.account()
    console.call("credits", "grant", account, "100.5", "--reason", "pilot", "--ref", "pilot-1")
    console.account("1")
    ended = console.call("ledger", "entries", account, "--json")
    opened, granted = [json.loads(line) for line in ended.out.splitlines()]
    assert list(opened) == list(granted) == MEMBERS
    assert (opened["kind"], opened["reason"]) == ("open", "Acme Lab")
    assert (granted["seq"], granted["amount"], granted["platform"]) == (2, "100.5", "grants")
    head, *lines = console.call("ledger", "entries", account).out.splitlines()
    assert head.split()[:4] == ["seq", "at", "kind", "amount"]
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert lines[1].endswith("  pilot-1 pilot")


def test_export_contains_every_entry_of_every_account(console: Console, tmp_path: Path) -> None:
    accounts = [console.account(f"{dollars}.000000000001") for dollars in range(1, 4)]
    printed = console.run("ledger", "export").out
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [list(row) for row in rows] == [MEMBERS] * 6
    assert {row["account_id"] for row in rows} == set(accounts)

    ended = console.call("ledger", "export", "--output", "journal.jsonl")
    assert (ended.out, ended.err) == ("", "Wrote 6 entries to journal.jsonl.\n")
    assert (tmp_path / "journal.jsonl").read_text("utf-8") == printed
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o077 == 0

    one = ("ledger", "export", "--format", "csv", "--account", accounts[0])
    table = list(csv.DictReader(io.StringIO(console.call(*one).out)))
    assert [list(row) for row in table] == [MEMBERS] * 2
    assert [row["amount"] for row in table] == ["0", "1.000000000001"]
    assert {row["account_id"] for row in table} == {accounts[0]}


def test_export_overwrites_nothing_and_leaves_no_partial_file(
    console: Console, tmp_path: Path
) -> None:
    account = console.account("5")
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    export = ("ledger", "export", "--output")
    assert console.call(*export, "mine.txt").refusal == "mine.txt: File exists."
    assert mine.read_text() == "mine"
    assert "No such file or directory" in console.call(*export, "nowhere/x").refusal
    damage(console, "drop trigger entry_is_never_changed")
    damage(console, "update entry set at_ms = -1 where account_id = ? and seq = 2", account)
    assert "cannot be read" in console.call(*export, "half.jsonl").refusal
    assert not (tmp_path / "half.jsonl").exists()


@pytest.mark.parametrize("words", [["entries"], ["export", "--account"]])
def test_journal_of_an_unknown_account_is_an_error(console: Console, words: list[str]) -> None:
    console.call("db", "migrate")
    refusal = console.call("ledger", *words, "user_0000000000000000000000").refusal
    assert "does not exist. `modelgates account list`" in refusal


@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize("lines_read", [0, 1])
def test_closed_pipe_prints_no_error(console: Console, more: list[str], lines_read: int) -> None:
    account = many_entries(console) if lines_read else console.account("5")
    with console.start("ledger", "entries", account, *more) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(lines_read):
            process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(DEADLINE_S) == 1


def test_ctrl_c_stops_long_work_without_output(console: Console) -> None:
    account = many_entries(console)
    with console.start("ledger", "entries", account) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the command has started, and cannot end while the pipe is full
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (130, "")
    assert rest.count("\n") < PIPE_IS_FULL
