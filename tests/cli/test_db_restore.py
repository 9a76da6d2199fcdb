"""`modelgates db restore`: a backup takes the place of the database, and nothing else is lost."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service.spool_ports import PendingSettlement
from modelgates_server.store.emergency import emergency_folder
from modelgates_server.store.spool import FolderSpool
from modelgates_server.store.sqlite import schema
from tests.cli.console import Console
from tests.cli.test_db import busy_writer
from tests.deadlines import DEADLINE_S
from tests.server import running_server
from tests.support import finished, open_generation, place

FIELDS = [
    "path",
    "kept",
    "bytes",
    "schema",
    "verified",
    "accounts",
    "entries",
    "spooled",
    "set_aside",
    "set_aside_in",
]
# Restores like the command, and kills itself before the step whose number is given.
KILLED_AT_STEP = """
import os, shutil, signal, sys
from pathlib import Path
from modelgates_server.bootstrap import restoring
from modelgates_server.store.spool import FolderSpool

step, path, backup = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])

def counted(name):
    real = getattr(os, name)
    def run(*args, **options):
        global step
        if step == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        step -= 1
        return real(*args, **options)
    setattr(os, name, run)

for name in ("link", "rename", "fsync", "chown", "unlink"):
    counted(name)
restoring.restore_backup(path, backup, [FolderSpool(path.with_name("spool"))], 0, lambda _: None)
"""


@pytest.fixture
def account(console: Console) -> str:
    """An account whose credits are 5 in the backup, and 6 in the database."""
    account_id = console.account("5")
    console.run("db", "backup", "backup.db")
    console.call("credits", "grant", account_id, "1", "--json")
    return account_id


def credits_of(console: Console, account: str, path: Path | None = None) -> str:
    before = console.environment["MODELGATES_DATABASE_URL"]
    if path is not None:
        console.environment["MODELGATES_DATABASE_URL"] = f"sqlite:///{path}"
    assert console.call("ledger", "verify").code == 0
    shown: str = console.call("credits", "show", account, "--json").json["total_credits"]
    console.environment["MODELGATES_DATABASE_URL"] = before
    return shown


def restore(console: Console, backup: str = "backup.db") -> dict[str, Any]:
    restored: dict[str, Any] = console.call("db", "restore", backup, "--json").json
    return restored


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_backup_replaces_the_database_which_is_kept(console: Console, account: str) -> None:
    restored = restore(console)
    assert list(restored) == FIELDS
    assert restored["path"] == str(console.path)
    assert (restored["verified"], restored["accounts"], restored["entries"]) == (True, 1, 2)
    assert restored["kept"].startswith(f"{console.path}.before-restore-2")
    assert credits_of(console, account) == "5"
    assert credits_of(console, account, Path(restored["kept"])) == "6"
    assert console.path.stat().st_mode & 0o777 == 0o600
    names = {path.name for path in console.folder.iterdir()}
    kept = Path(restored["kept"]).name
    assert names == {"modelgates.db", "modelgates.db-backup", "backup.db", kept}
    assert console.call("credits", "grant", account, "1", "--json").code == 0


def test_people_read_where_the_old_database_is(console: Console, account: str) -> None:
    del account
    ended = console.call("db", "restore", "backup.db")
    assert (ended.code, ended.err) == (0, "")
    assert "before-restore-" in ended.out


def test_log_of_a_killed_process_is_kept_with_its_database(console: Console, account: str) -> None:
    with busy_writer(console, account) as writer:
        assert writer.stdout is not None
        granted = writer.stdout.readline()
        writer.kill()
    assert (console.folder / "modelgates.db-wal").stat().st_size
    kept = Path(restore(console)["kept"])
    assert int(credits_of(console, account, kept)) >= 6 + int(granted)
    assert credits_of(console, account) == "5"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_database_of_a_running_server_is_not_replaced(
    workers: str, console: Console, account: str
) -> None:
    before = console.path.stat().st_ino
    with running_server(console.folder, MODELGATES_WORKERS=workers):
        assert "is in use. Stop the server" in console.run("db", "restore", "backup.db").refusal
        assert not list(console.folder.glob("*before-restore*"))
    assert console.path.stat().st_ino == before
    restore(console)
    assert credits_of(console, account) == "5"


def test_database_of_a_busy_process_is_not_replaced(console: Console, account: str) -> None:
    with busy_writer(console, account) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(5):
            assert (
                "is in use. Stop the server" in console.call("db", "restore", "backup.db").refusal
            )
        assert writer.poll() is None
    assert int(credits_of(console, account)) > 6


def test_damaged_database_is_replaced_and_kept_as_it_is(console: Console, account: str) -> None:
    damaged = b"not a database" * 999
    console.path.write_bytes(damaged)
    log = console.folder / "modelgates.db-wal"
    log.write_bytes(b"a log")
    kept = Path(restore(console)["kept"])
    assert kept.read_bytes() == damaged
    assert kept.with_name(f"{kept.name}-wal").read_bytes() == b"a log"
    assert not log.exists()
    assert credits_of(console, account) == "5"


def test_missing_database_is_restored_without_the_log_that_it_left(
    console: Console, account: str
) -> None:
    console.path.unlink()
    log = console.folder / "modelgates.db-wal"
    log.write_bytes(b"a log")
    assert restore(console)["kept"] is None
    assert not log.exists()
    assert [path.read_bytes() for path in console.folder.glob("*-wal")] == [b"a log"]
    assert credits_of(console, account) == "5"


def edit(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "There is no backup at"),
        ("empty", "There is no backup at"),
        ("text", "The backup backup.db is damaged or not a database. Choose another backup."),
        ("cut", "The backup backup.db is damaged or not a database. Choose another backup."),
        ("foreign", "is the SQLite database of another program. Give the path of a backup."),
        ("newer", "has schema 99, but this program knows only"),
        ("page", "is damaged ("),
        ("wrong", "fails verification: account user_"),
        ("itself", "is the database itself"),
    ],
)
def test_unusable_backup_is_rejected_and_nothing_changes(
    kind: str, reason: str, console: Console, account: str
) -> None:
    backup = console.folder / "backup.db"
    if kind in ("missing", "foreign"):
        backup.unlink()
    if kind == "foreign":
        edit(backup, "create table theirs (x)")
    elif kind == "newer":
        edit(backup, "pragma user_version = 99")
    elif kind == "page":
        content = bytearray(backup.read_bytes())
        content[4096 * 3 : 4096 * 4] = b"\xff" * 4096
        backup.write_bytes(content)
    elif kind == "wrong":
        edit(backup, f"update account set credits_pico = 1 where id = '{account}'")
    elif kind == "cut":
        os.truncate(backup, 5 * 4096)
    elif kind in ("text", "empty"):
        backup.write_bytes(b"text" * 999 if kind == "text" else b"")
    before = contents(console.folder)
    name = "modelgates.db" if kind == "itself" else "backup.db"
    refusal = console.call("db", "restore", name).refusal
    assert reason in refusal
    assert not re.search(r"Restore it|Create one|MODELGATES_DATABASE_URL", refusal), "the database?"
    assert contents(console.folder) == before


def test_database_of_another_program_is_not_replaced(console: Console, account: str) -> None:
    del account
    console.path.unlink()
    edit(console.path, "create table theirs (x)")
    before = contents(console.folder)
    refusal = console.call("db", "restore", "backup.db").refusal
    assert "the SQLite database of another program" in refusal
    assert contents(console.folder) == before


def test_backup_with_an_older_schema_is_restored_and_needs_a_migration(
    console: Console, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del account
    newest = schema.newest_version()
    with monkeypatch.context() as patch:
        known = schema.migrations()[:1]
        patch.setattr(schema, "migrations", lambda: known)
        console.environment["MODELGATES_DATABASE_URL"] = f"sqlite:///{console.folder}/old.db"
        assert console.call("db", "migrate").code == 0
    console.environment["MODELGATES_DATABASE_URL"] = f"sqlite:///{console.path}"
    ended = console.call("db", "restore", "old.db", "--json")
    assert (ended.json["schema"], ended.json["verified"]) == (1, False)
    assert "Run `modelgates db migrate`, then `modelgates ledger verify`." in ended.err
    assert console.call("db", "migrate", "--json").json == {"applied": [*range(2, newest + 1)]}
    assert console.call("ledger", "verify").code == 0


@pytest.mark.parametrize("where", ["spool", "emergency"])
def test_waiting_end_is_kept_for_the_calls_of_the_backup_and_set_aside_for_others(
    where: str, console: Console
) -> None:
    account = console.account("5")
    key = console.key(account)["hash"]
    console.environment["MODELGATES_EMERGENCY_DIR"] = str(console.folder / "elsewhere")
    spool = console.folder / {"spool": "modelgates.db-spool", "emergency": "elsewhere"}[where]
    ends = FolderSpool(spool) if where == "spool" else emergency_folder(spool)

    async def place_hold(gateway: Any, hold_id: str) -> None:
        opened = open_generation(account, key, hold_id, 4)
        await gateway.store.execute(place(account, key, hold_id, 4), opened)
        await ends.put(PendingSettlement(finished(opened, Usage(input=3))))

    console.do(lambda gateway: place_hold(gateway, "known"))
    console.run("db", "backup", "backup.db")
    console.do(lambda gateway: place_hold(gateway, "later"))
    (spool / "unreadable.json").write_text("{")
    ended = console.call("db", "restore", "backup.db", "--json")
    assert (ended.json["spooled"], ended.json["set_aside"]) == (1, 1)
    [set_aside] = map(Path, ended.json["set_aside_in"])
    assert set_aside.parent == spool
    assert {path.stem for path in spool.iterdir()} == {"known", "unreadable", set_aside.name}
    assert [path.name for path in set_aside.iterdir()] == ["later.json"]
    assert "1 waiting call of the backup will be charged" in ended.err
    assert "1 waiting call began after the backup and cannot be charged" in ended.err
    (spool / "unreadable.json").unlink()
    assert console.call("spool", "replay").code == 0, "only the end of the backup's call waits"
    shown = console.call("account", "show", account, "--json").json
    assert (Decimal(shown["total_usage"]), Decimal(shown["held"])) == (Decimal("3e-12"), Decimal(0))
    assert console.call("ledger", "verify").code == 0


def test_restore_leaves_the_old_or_the_new_database_when_it_is_killed_at_any_step(
    console: Console, account: str
) -> None:
    original = console.path.read_bytes()
    done = False
    step = 0
    seen = set()
    while not done:
        ran = subprocess.run(
            [sys.executable, "-c", KILLED_AT_STEP, str(step), console.path, "backup.db"],
            cwd=console.folder,
            env=console.environment,
            check=False,
            timeout=DEADLINE_S,
        )
        done = ran.returncode == 0
        assert done or ran.returncode == -signal.SIGKILL
        found = credits_of(console, account)
        seen.add(found)
        assert found in {"5", "6"}
        if found == "5":
            [kept] = console.folder.glob("modelgates.db.before-restore-*")
            assert credits_of(console, account, kept) == "6"
        # The next restore works, and removes what the killed one left.
        restore(console)
        assert credits_of(console, account) == "5"
        assert not list(console.folder.glob("*.restoring*"))
        for path in console.folder.glob("modelgates.db*"):
            path.unlink()
        console.path.write_bytes(original)
        step += 1
    assert seen == {"5", "6"}
    assert step > 5


def test_database_is_kept_on_a_file_system_without_links(
    console: Console, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    kept = Path(restore(console)["kept"])
    assert credits_of(console, account, kept) == "6"
    assert credits_of(console, account) == "5"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_restored_database_belongs_to_the_owner_of_the_old_one(
    console: Console, account: str
) -> None:
    del account
    shutil.chown(console.path, 65534, 65534)
    restore(console)
    assert (console.path.stat().st_uid, console.path.stat().st_gid) == (65534, 65534)
