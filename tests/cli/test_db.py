import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelgates_server.store.sqlite.schema import newest_version
from tests.cli.console import Console

STATUS = [
    "path",
    "bytes",
    "sqlite",
    "schema",
    "schema_needed",
    "accounts",
    "keys",
    "entries",
    "open_holds",
]
WRITER = """
import asyncio, sys
from modelgates_server import bootstrap

async def write(account):
    async with bootstrap.open_gateway() as gateway:
        granted = 0
        while True:
            postings = (gateway.credits.grant(account, 10**12, "load") for _ in range(8))
            await asyncio.gather(*postings)
            granted += 8
            print(granted, flush=True)

asyncio.run(write(sys.argv[1]))
"""


@contextmanager
def busy_writer(console: Console, account: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the database open and writes to it without a pause."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, account],
        env=console.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_commands_work_while_another_process_writes(console: Console, tmp_path: Path) -> None:
    account = console.account()
    with busy_writer(console, account) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for n in range(5):
            grant = ("credits", "grant", account, "1", "--ref", f"mine-{n}", "--json")
            assert console.call(*grant).json["replayed"] is False
            console.key(account, "viewer")
            shown = console.call("credits", "show", account, "--json").json
            assert int(shown["total_credits"]) > n
        assert console.run("ledger", "verify", "--json").json["ok"] is True
        copy = str(tmp_path / "copy.db")
        assert console.run("db", "backup", copy, "--json").json["path"] == copy
        assert console.call("db", "status", "--json").json["keys"] == 5
        writer.kill()
        *_, acknowledged = writer.stdout.read().split()
    total = int(console.call("credits", "show", account, "--json").json["total_credits"])
    assert total >= int(acknowledged) + 5
    assert console.call("ledger", "verify", "--json").json["entries"] == 1 + total


def test_backup_contains_the_whole_ledger(console: Console, tmp_path: Path) -> None:
    account = console.account("100.5")
    key = console.key(account)
    copy = tmp_path / "copies" / "ledger.db"
    copy.parent.mkdir()
    written = console.run("db", "backup", str(copy), "--json").json
    assert written == {"path": str(copy), "bytes": copy.stat().st_size}
    assert [file.name for file in copy.parent.iterdir()] == ["ledger.db"]
    before = console.call("ledger", "export").out

    console.environment["MODELGATES_DATABASE_URL"] = f"sqlite:///{copy}"
    assert console.call("ledger", "export").out == before
    assert console.call("ledger", "verify").code == 0
    assert console.call("key", "show", key["hash"], "--json").json["hash"] == key["hash"]
    assert console.call("credits", "grant", account, "1", "--json").json["seq"] == 3


def test_backup_does_not_overwrite_files(console: Console, tmp_path: Path) -> None:
    console.account()
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    assert (
        "mine.txt exists. Choose another name" in console.call("db", "backup", "mine.txt").refusal
    )
    assert mine.read_text() == "mine"
    assert "nowhere" in console.call("db", "backup", "nowhere/copy.db").refusal


def test_fields_of_the_status_are_stable(console: Console) -> None:
    account = console.account("5")
    console.key(account)
    status = console.call("db", "status", "--json").json
    assert list(status) == STATUS
    assert status["path"] == str(console.path)
    assert status["schema"] == status["schema_needed"] == newest_version()
    assert [status[name] for name in STATUS[-4:]] == [1, 1, 2, 0]


def test_migration_is_applied_once(console: Console) -> None:
    first = console.run("db", "migrate", "--json").json
    assert first == {"applied": list(range(1, newest_version() + 1))}
    assert console.call("db", "migrate", "--json").json == {"applied": []}
    assert console.call("db", "migrate").out == "Nothing to migrate: the schema is up to date.\n"


@pytest.mark.parametrize("verb", [["status"], ["backup", "copy.db"]])
def test_read_only_command_creates_no_database(console: Console, verb: list[str]) -> None:
    assert "There is no database at" in console.call("db", *verb).refusal
    assert list(console.folder.iterdir()) == []


def test_newer_schema_gives_a_one_line_error(console: Console) -> None:
    console.account()
    connection = sqlite3.connect(console.path)
    connection.execute("pragma user_version = 99")
    connection.close()
    for words in (["account", "list"], ["ledger", "verify"], ["serve"], ["account", "create", "x"]):
        refusal = console.call(*words).refusal
        assert "schema 99" in refusal
        assert "Upgrade this one" in refusal
    assert console.call("db", "status", "--json").json["schema"] == 99


def test_database_of_another_program_gives_a_one_line_error(console: Console) -> None:
    connection = sqlite3.connect(console.path)
    connection.execute("create table t (x)")
    connection.close()
    for words in (["account", "list"], ["db", "migrate"], ["db", "status"], ["serve"]):
        assert "the SQLite database of another program" in console.call(*words).refusal


def test_locked_file_gives_a_one_line_error(console: Console) -> None:
    console.account()
    connection = sqlite3.connect(console.path, isolation_level=None)
    connection.execute("pragma locking_mode = exclusive")
    connection.execute("begin exclusive")
    try:
        for words in (["account", "list"], ["ledger", "verify"], ["serve"]):
            assert "locked by another program" in console.call(*words).refusal
    finally:
        connection.close()


def test_unwritable_folder_gives_a_one_line_error(console: Console, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    # Root can write to any folder except that of the kernel.
    folder = Path("/proc") if os.geteuid() == 0 else closed
    console.environment["MODELGATES_DATABASE_URL"] = f"sqlite:///{folder}/modelgates.db"
    for words in (["account", "create", "Acme"], ["serve"], ["db", "migrate"]):
        refusal = console.run(*words).refusal
        assert f"{folder}/modelgates.db cannot be opened" in refusal
    console.environment["MODELGATES_DATABASE_URL"] = f"sqlite:///{tmp_path}/nowhere/modelgates.db"
    assert "does not exist" in console.run("account", "create", "Acme").refusal


@pytest.mark.parametrize(
    "words", ["account list", "key list --account user_x", "credits show user_x", "ledger verify"]
)
def test_missing_database_is_an_error_and_not_an_empty_ledger(console: Console, words: str) -> None:
    assert "There is no database at" in console.call(*words.split()).refusal
    assert list(console.folder.glob("modelgates.db*")) == []


@pytest.mark.parametrize("command", ["serve", "account create x", "db migrate"])
@pytest.mark.parametrize("is_missing", [False, True])
@pytest.mark.parametrize("left", ["wal", "backup"])
def test_database_that_was_lost_is_not_replaced_by_an_empty_one(
    left: str, is_missing: bool, command: str, console: Console
) -> None:
    console.account()
    remains = console.path.with_name(f"{console.path.name}-{left}")
    if left == "wal":
        remains.write_bytes(b"commits that SQLite would delete")
    else:
        console.call("db", "backup", "copy.db")
    content = remains.read_bytes()
    console.path.write_bytes(b"")
    if is_missing:
        console.path.unlink()
    refusal = console.call(*command.split()).refusal
    assert f"{remains.name} shows that there was one. Restore a backup" in refusal
    assert remains.read_bytes() == content
    assert not is_missing or not console.path.exists()
    remains.unlink()
    if command != "serve":
        assert console.call(*command.split()).code == 0


def test_ledger_and_backup_are_readable_by_their_owner_only(
    console: Console, tmp_path: Path
) -> None:
    console.account("5")
    assert console.run("db", "backup", str(tmp_path / "copy.db")).code == 0
    for file in (*console.folder.glob("modelgates.db*"), tmp_path / "copy.db"):
        assert file.stat().st_mode & 0o077 == 0, file


def test_misspelled_setting_is_rejected(console: Console) -> None:
    console.environment["MODELGATES_DATABSE_URL"] = "sqlite:///other.db"
    refusal = console.run("account", "create", "Acme").refusal
    assert refusal == (
        "`MODELGATES_DATABSE_URL` is not a setting. Did you mean `MODELGATES_DATABASE_URL`?"
    )


def test_misspelled_setting_in_dotenv_is_rejected(console: Console) -> None:
    (console.folder / ".env").write_text("OTHER=1\nMODELGATES_DATABSE_URL=sqlite:///other.db\n")
    refusal = console.run("account", "create", "Acme").refusal
    assert refusal.startswith("`MODELGATES_DATABSE_URL` is not a setting.")


@pytest.mark.parametrize("url", ["postgresql://db", "sqlite://", "sqlite:///", "modelgates.db"])
def test_unsupported_database_url_gives_a_one_line_error(console: Console, url: str) -> None:
    console.environment["MODELGATES_DATABASE_URL"] = url
    for words in (["account", "list"], ["db", "status"], ["serve"]):
        assert "must look like `sqlite:///" in console.call(*words).refusal


def test_setting_out_of_range_gives_a_one_line_error(console: Console) -> None:
    console.environment["MODELGATES_PORT"] = "70000"
    refusal = console.run("account", "list").refusal
    assert "`MODELGATES_PORT` must be less than or equal to 65535, not `70000`." in refusal
