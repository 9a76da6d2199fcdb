"""Commands that read: they need no permission to write, and change no file."""

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.console import Console
from tests.cli.test_db import busy_writer
from tests.cli.unprivileged import forbid_writing, run_unprivileged


@pytest.fixture
def account(console: Console) -> str:
    """An account on the console's database, with a grant and a key."""
    account_id = console.account("5")
    console.key(account_id)
    return account_id


@pytest.fixture
def folders() -> Iterator[list[Path]]:
    """Three that other users may enter, which pytest's own are not.

    One for a rehearsal, one for the database, and one where everyone may write.
    """
    with ExitStack() as stack:
        paths = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(3)]
        paths[2].chmod(0o777)
        yield paths
        paths[1].chmod(0o700)


def reads(account: str, key_hash: str) -> list[list[str]]:
    """Every command that only reads."""
    lines = (
        "ledger verify --json",
        f"ledger entries {account} --json",
        "ledger export",
        "db status --json",
        f"credits show {account} --json",
        f"account show {account} --json",
        "account list --json",
        f"key list --account {account} --json",
        "prices show sandbox/echo --json",
        "usage report --by key --json",
        "spool show --json",
        f"key show {key_hash} --json",
        f"key repair {key_hash} --dry-run --json",
        "archive --before 2026-11-01 --to . --dry-run --json",
    )
    return [line.split() for line in lines]


def hash_of(console: Console, account: str) -> str:
    """The hash of the account's key."""
    [key] = console.call("key", "list", "--account", account, "--json").json
    key_hash: str = key["hash"]
    return key_hash


def contents(folder: Path) -> dict[str, Any]:
    """Everything that a command could change in a folder, without the times of last access."""
    found: dict[str, Any] = {}
    for path in (folder, *folder.iterdir()):
        stat = path.stat()
        data = b"" if path == folder else path.read_bytes()
        found[path.name] = (stat.st_size, stat.st_mtime_ns, stat.st_mode, stat.st_uid, data)
    return found


def leave_a_log(console: Console, account: str, folder: Path) -> None:
    """Copies the database as a kill would leave it: the last grant is only in the log."""
    with closing(sqlite3.connect(console.path)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from entry").fetchone()  # keeps the log from being deleted
        console.run("credits", "grant", account, "1", "--json")
        for name in ("modelgates.db", "modelgates.db-wal"):
            shutil.copy(console.folder / name, folder)


def put_database(console: Console, kind: str, account: str, folder: Path) -> None:
    """Puts a database with three entries into a folder; the last entry is a grant of a dollar."""
    if kind == "crashed":
        leave_a_log(console, account, folder)
        return
    console.call("credits", "grant", account, "1", "--ref", "last", "--json")
    if kind == "backup":
        assert console.run("db", "backup", str(folder / "modelgates.db")).code == 0
    else:
        shutil.copy(console.path, folder)


@pytest.mark.parametrize("kind", ["closed", "crashed", "backup"])
def test_read_only_folder_is_read_and_stays_unchanged(
    kind: str, console: Console, account: str, folders: list[Path]
) -> None:
    rehearsal, folder, output = folders
    put_database(console, kind, account, folder)
    for file in folder.iterdir():
        shutil.copy(file, rehearsal)
    forbid_writing(folder)
    before = contents(folder)
    environment = {**console.environment, "MODELGATES_DATABASE_URL": "sqlite:///modelgates.db"}
    backup = ["db", "backup", f"{output}/copy{{round}}.db", "--json"]
    commands = [*reads(account, hash_of(console, account)), backup]
    results = run_unprivileged(environment, rehearsal, folder, *commands)
    ended = {" ".join(words): each for words, each in zip(commands, results, strict=True)}
    assert contents(folder) == before
    assert [each.code for each in ended.values()] == [0] * len(commands), ended
    assert ended["ledger verify --json"].json["ok"] is True
    assert ended["db status --json"].json["entries"] == 3
    assert ended[f"credits show {account} --json"].json["total_credits"] == "6"
    with closing(sqlite3.connect(output / "copy1.db")) as copy:
        assert copy.execute("select count(*) from entry").fetchone() == (3,)


@pytest.mark.parametrize("kind", ["closed", "crashed", "backup"])
def test_writable_files_are_read_and_stay_unchanged(
    kind: str, console: Console, account: str, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    put_database(console, kind, account, folder)
    commands = reads(account, hash_of(console, account))
    console.environment["MODELGATES_DATABASE_URL"] = f"sqlite:///{folder}/modelgates.db"
    before = {name: found for name, found in contents(folder).items() if name != folder.name}
    for words in commands:
        ended = console.call(*words)
        assert ended.code == 0, ended
    assert console.call("credits", "show", account, "--json").json["total_credits"] == "6"
    after = {name: found for name, found in contents(folder).items() if name != folder.name}
    assert after == before


def test_read_only_files_are_read_while_another_process_writes(
    console: Console, account: str, folders: list[Path]
) -> None:
    rehearsal, folder, _ = folders
    for target in (rehearsal, folder):
        shutil.copy(console.path, target)
    console.environment["MODELGATES_DATABASE_URL"] = f"sqlite:///{folder}/modelgates.db"
    commands = reads(account, hash_of(console, account))
    with busy_writer(console, account) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        forbid_writing(folder)
        granted = int(writer.stdout.readline())
        environment = {**console.environment, "MODELGATES_DATABASE_URL": "sqlite:///modelgates.db"}
        ended = run_unprivileged(environment, rehearsal, folder, *commands)
        assert [each.code for each in ended] == [0] * len(commands), ended
        assert ended[0].json["ok"] is True
        assert int(ended[4].json["total_credits"]) >= 5 + granted
        assert writer.poll() is None


def test_copy_without_room_is_an_error_that_names_the_remedy(
    console: Console, account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = tmp_path / "other"
    folder.mkdir()
    leave_a_log(console, account, folder)
    console.environment["MODELGATES_DATABASE_URL"] = f"sqlite:///{folder}/modelgates.db"
    monkeypatch.setattr(shutil, "copyfile", full)
    assert "Set `TMPDIR` to a folder with more room." in console.call("db", "status").refusal
