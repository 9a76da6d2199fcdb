import os
import pty
import signal
from typing import Any

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S

MEMBERS = [
    "id",
    "name",
    "min_balance",
    "created_at",
    "closed_at",
    "total_credits",
    "total_usage",
    "held",
    "available",
]


def answered(console: Console, answer: bytes, *words: str) -> tuple[int, str]:
    """Runs a command whose input is a terminal, and types the answer to its question."""
    terminal, input_end = pty.openpty()
    try:
        with console.start(*words, stdin=input_end) as process:
            assert process.stderr is not None
            first = process.stderr.read(1)
            if answer == b"^C":
                process.send_signal(signal.SIGINT)
            else:
                os.write(terminal, answer)
            _, rest = process.communicate(timeout=DEADLINE_S)
        return process.returncode, first + rest
    finally:
        os.close(terminal)
        os.close(input_end)


def test_account_key_and_grant_are_created_by_the_first_commands(console: Console) -> None:
    account = console.run("account", "create", "Acme Lab", "--json")
    assert account.out.startswith('{"id":"user_')
    assert ',"name":"Acme Lab",' in account.out
    account_id = account.json["id"]

    key = ("key", "create", "--account", account_id, "--json", "--kind")
    management = console.run(*key, "management")
    assert management.out.startswith('{"key":"sk-mg-v1-')
    assert management.json["hash"]
    limited = console.run(*key, "inference", "--limit", "5", "--limit-reset", "monthly").json
    assert (limited["limit"], limited["limit_reset"]) == ("5", "monthly")

    grant = ("credits", "grant", account_id, "100.5", "--reason", "pilot", "--ref", "pilot-1")
    assert console.run(*grant, "--json").json["amount"] == "100.5"
    assert console.run("credits", "show", account_id, "--json").out == (
        '{"total_credits":"100.5","total_usage":"0","held":"0","available":"100.5"}\n'
    )


def test_fields_of_an_account_are_stable(console: Console) -> None:
    created = console.call("account", "create", "Acme Lab", "--min-balance", "-2.5", "--json").json
    assert list(created) == MEMBERS
    assert (created["name"], created["min_balance"]) == ("Acme Lab", "-2.5")
    assert created["created_at"].endswith("Z")
    assert created["closed_at"] is None
    assert console.call("account", "show", created["id"], "--json").json == created
    assert console.call("account", "list", "--json").json == [created]


def test_list_contains_every_account(console: Console) -> None:
    console.call("db", "migrate")
    assert console.call("account", "list", "--json").json == []

    async def open_many(gateway: Any) -> list[str]:
        return [(await gateway.accounts.open(f"number {n}")).id for n in range(201)]

    opened = console.do(open_many)
    assert [row["id"] for row in console.call("account", "list", "--json").json] == sorted(opened)


def test_closed_account_stays_in_the_list(console: Console) -> None:
    account = console.account()
    closed = console.call("account", "close", account, "--yes", "--json").json
    assert closed["closed_at"] is not None
    assert console.call("account", "list", "--json").json == [closed]
    assert console.call("account", "close", account, "--yes").code == 0, "a repeat changes nothing"


def test_account_is_not_closed_without_confirmation(console: Console) -> None:
    account = console.account()
    close = ("account", "close", account)
    assert "pass --yes" in console.call(*close).refusal
    code, err = answered(console, b"n\n", *close)
    assert (code, err.count("\n")) == (1, 1)
    assert err.endswith("Error: Not confirmed. Nothing was changed.\n")
    assert answered(console, b"^C", *close)[0] == 130
    assert console.call("account", "show", account, "--json").json["closed_at"] is None
    assert answered(console, b"y\n", *close)[0] == 0
    assert console.call("account", "show", account, "--json").json["closed_at"] is not None


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["account", "create", ""], "The name must have 1 to 255 characters"),
        (["account", "create", "x" * 256], "The name must have 1 to 255 characters"),
        (["account", "create", "red \x1b[31m"], "control or other unprintable character"),
        (["account", "create", "Acme", "--min-balance", "1"], "minimum balance 1 is out of range"),
        (["account", "create", "Acme", "--min-balance", "NaN"], "'NaN' is not an exact decimal"),
        (["account", "show", "user_unknown"], "Account 'user_unknown' does not exist"),
        (["account", "show", "' or 1=1 --"], "does not exist"),
        (["account", "close", "user_0000000000000000000000", "--yes"], "does not exist"),
    ],
)
def test_invalid_account_is_rejected(console: Console, words: list[str], why: str) -> None:
    console.call("db", "migrate")
    assert why in console.call(*words).refusal
    assert console.call("account", "list", "--json").json == []


def test_account_with_credits_is_not_closed(console: Console) -> None:
    account = console.account("5")
    assert "has a balance of 5" in console.call("account", "close", account, "--yes").refusal


def test_name_outside_ascii_is_preserved(console: Console) -> None:
    console.environment["PYTHONIOENCODING"] = "latin-1"
    name = "[red]世界[/red] :smile:"
    created = console.run("account", "create", name, "--json")
    assert name in created.out
    assert "\\u4e16\\u754c[/red] :smile:" in console.run("account", "list").out
