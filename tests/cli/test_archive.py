"""`modelgates archive`: what it says, and what the other commands say about archives."""

import asyncio
import json

import pytest

from modelgates_server.core.money import format_pico
from tests.cli.console import Console
from tests.store.archived import ACCOUNTS, BEFORE, OLD_IDS, fill

NAME = f"generations-before-{BEFORE}"
COUNT = len(ACCOUNTS) * len(OLD_IDS)
COST = format_pico(len(ACCOUNTS) * sum(len(each) for each in OLD_IDS - {"voided", "free"}))
TO = ("--to", "archives")


@pytest.fixture
def filled(console: Console, monkeypatch: pytest.MonkeyPatch) -> Console:
    """A ledger whose old calls were made on a day that has passed long ago."""
    asyncio.run(fill(console.path))
    (console.folder / "archives").mkdir()
    monkeypatch.chdir(console.folder)
    return console


def test_archive_is_made_and_shown_by_the_other_commands(filled: Console) -> None:
    where = filled.folder / "archives"
    assert filled.call("archive", "--before", BEFORE, *TO, "--dry-run").out == (
        f"{COUNT} records would be archived. Nothing was changed.\n"
    )
    assert filled.call("archive", "--before", BEFORE, *TO).out == (
        f"Archived {COUNT} records that cost {COST} in archives/{NAME}.jsonl.zst.\n"
    )
    again = filled.call("archive", "--before", BEFORE, *TO).out
    assert again == "No other call ended before that day and still has its record.\n"
    assert filled.call("ledger", "verify").out.splitlines()[1:] == [
        f"{COUNT} records in 1 archive. Not seen: {NAME}. Give their folder in --archives."
    ]
    assert filled.call("ledger", "verify", "--archives", str(where)).out.splitlines()[1:] == [
        f"{COUNT} records in 1 archive verified, too."
    ]
    result = filled.call("ledger", "verify", "--archives", str(where), "--json").json
    assert (result["archived"], result["archives"], result["archives_not_seen"]) == (
        COUNT,
        [NAME],
        [],
    )
    refusal = filled.call("generation", "show", "keyed").refusal
    assert refusal == (
        "This record is no longer in the database. It is in the archive "
        f"{NAME}: give its folder in --archives."
    )
    show = ("generation", "show", "keyed", "--account", ACCOUNTS[1], "--json", "--archives")
    shown = filled.call(*show, "archives").json
    assert (shown["id"], shown["account_id"]) == ("keyed", ACCOUNTS[1])
    assert filled.call("archive", "--compact").code == 0
    assert filled.call("ledger", "verify", "--archives", str(where)).code == 0


def test_archive_prints_json(filled: Console) -> None:
    day = ("--before", BEFORE, *TO, "--json")
    assert filled.call("archive", *day, "--dry-run").json == {"generations": COUNT}
    printed = filled.call("archive", *day).json
    [made] = printed.pop("archives")
    assert printed == {"unreadable": 0, "ignored": []}
    manifest = json.loads((filled.folder / "archives" / f"{NAME}.json").read_text())
    assert made == {
        "name": NAME,
        "sha256": manifest["sha256"],
        "generations": COUNT,
        "cost": COST,
        "first_ended_at": "2026-11-23T13:12:00.000Z",
        "last_ended_at": "2026-11-23T13:12:00.000Z",
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "Give a day in `--before` and a folder in `--to`, or `--compact`."),
        (("--before", BEFORE), "Give a day in `--before` and a folder in `--to`"),
        (("--compact", "--dry-run"), "`--compact` works alone"),
        (("--before", "soon", *TO), "'soon' is not a day. Write it like 2026-11-23."),
        (("--before", "20261101", *TO), "'20261101' is not a day"),
        (("--before", "2999-01-01", *TO), "2999-01-01 is too recent"),
        (("--before", BEFORE, "--to", "missing"), "The folder missing does not exist"),
    ],
)
def test_wrong_options_are_rejected(filled: Console, options: tuple[str, ...], told: str) -> None:
    assert told in filled.call("archive", *options).refusal


def test_unknown_generation_is_in_no_archive(filled: Console) -> None:
    filled.call("archive", "--before", BEFORE, *TO)
    ended = filled.call("generation", "show", "unknown", "--archives", "archives")
    assert "was not found" in ended.refusal
