import asyncio
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.store.sqlite import connection as connecting
from modelgates_server.store.sqlite.connection import Connection, connect_stdlib
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.sqlite.schema import newest_version
from tests.deadlines import DEADLINE_S
from tests.support import grant, make_key, open_account

# Root may write everywhere, so the process gives that up when everything is imported.
OPEN_AS_NOBODY = """
import os, sys
from pathlib import Path
from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.store.sqlite import schema
from modelgates_server.store.sqlite.opening import open_store
known = schema.migrations()
schema.migrations = lambda: known
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    open_store(Path(sys.argv[1]))
    print("open", flush=True)
except StoreUnavailable as refused:
    print(refused, flush=True)
os._exit(0)
"""

LOCKED = (
    "The database {} is locked by another program. Close the program that has it open "
    "(an SQLite shell, a copy in progress), and retry."
)


def refused_to_open(path: Path) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        open_store(path)
    message = str(refused.value)
    assert "\n" not in message
    return message


def edit(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


async def fill(path: Path) -> str:
    store = open_store(path)
    account_id = await open_account(store, 5)
    await store.close()
    return account_id


@pytest.fixture
def other(sqlite_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """Another program that may lock the file; the store waits for it only briefly."""
    monkeypatch.setattr(connecting, "_WAIT_MS", 50)
    connection = sqlite3.connect(sqlite_path, isolation_level=None)
    yield connection
    connection.close()


def test_newer_database_is_not_touched_by_an_older_program(sqlite_path: Path) -> None:
    asyncio.run(fill(sqlite_path))
    edit(sqlite_path, "pragma user_version = 99")
    before = sqlite_path.read_bytes()
    assert refused_to_open(sqlite_path) == (
        f"The database has schema 99, but this program knows only {newest_version()}: a newer "
        "ModelGates has migrated it. Upgrade this one."
    )
    assert sqlite_path.read_bytes() == before


async def test_ping_reports_a_database_that_was_migrated_while_open(sqlite_path: Path) -> None:
    await fill(sqlite_path)
    store = open_store(sqlite_path)
    await store.ping()
    edit(sqlite_path, "pragma user_version = 99")
    with pytest.raises(StoreUnavailable, match="has schema 99"):
        await store.ping()
    await store.close()


@pytest.mark.parametrize(
    "foreign", ["create table theirs (x)", "pragma user_version = 1", "pragma application_id = 7"]
)
def test_database_of_another_program_is_not_touched(sqlite_path: Path, foreign: str) -> None:
    edit(sqlite_path, "create table theirs (x)")
    if not foreign.startswith("create"):
        edit(sqlite_path, foreign)
    before = sqlite_path.read_bytes()
    assert "the SQLite database of another program" in refused_to_open(sqlite_path)
    assert sqlite_path.read_bytes() == before
    assert [path.name for path in sqlite_path.parent.iterdir()] == [sqlite_path.name]


def test_file_that_is_not_a_database_is_not_touched(sqlite_path: Path) -> None:
    sqlite_path.write_bytes(b"dear diary " * 999)
    assert refused_to_open(sqlite_path) == (
        f"The database {sqlite_path} is damaged or not a database (file is not a database). "
        "Restore it from a backup."
    )
    assert sqlite_path.read_bytes() == b"dear diary " * 999


async def test_damaged_page_is_an_error_and_never_a_wrong_number(sqlite_path: Path) -> None:
    account_id = await fill(sqlite_path)
    with closing(sqlite3.connect(sqlite_path)) as connection:
        query = "select rootpage from sqlite_schema where name = 'account'"
        page = connection.execute(query).fetchone()[0]
    with sqlite_path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    store = open_store(sqlite_path)
    with pytest.raises(StoreUnavailable, match=r"is damaged or not a database \(.*\)\. Restore it"):
        await store.account(account_id)
    with pytest.raises(StoreUnavailable, match=r"is damaged or not a database \(.*\)\. Restore it"):
        await store.execute(grant(account_id, 1, "more"))
    await store.close()


def test_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "modelgates.db"
    assert refused_to_open(path) == (
        f"The database {path} cannot be opened: the folder {path.parent} does not exist."
    )


def test_folder_in_place_of_the_file_is_reported(tmp_path: Path) -> None:
    assert f"The database {tmp_path} cannot be opened" in refused_to_open(tmp_path)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """One that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield folder
        folder.chmod(0o755)


def test_folder_or_file_without_write_permission_is_reported_at_start(
    public_folder: Path,
) -> None:
    path = public_folder / "modelgates.db"

    def opened() -> str:
        command = [sys.executable, "-c", OPEN_AS_NOBODY, str(path)]
        return subprocess.check_output(command, text=True, timeout=DEADLINE_S).strip()

    public_folder.chmod(0o555)
    hint = "Make sure that its folder is writable."
    assert opened() == f"The database {path} cannot be opened. {hint}"
    assert not path.exists()
    public_folder.chmod(0o777)
    assert opened() == "open"
    path.chmod(0o444)
    hint = "Make the file and its folder writable."
    assert opened() == f"The database {path} cannot be written. {hint}"
    path.chmod(0o666)
    public_folder.chmod(0o555)
    assert "writable" in opened()


async def test_locked_file_is_reported_and_works_again_when_unlocked(
    sqlite_path: Path, other: sqlite3.Connection
) -> None:
    account_id = await fill(sqlite_path)
    store = open_store(sqlite_path)
    other.execute("begin immediate")
    assert refused_to_open(sqlite_path) == LOCKED.format(sqlite_path)
    with pytest.raises(StoreUnavailable) as refused:
        await store.execute(grant(account_id, 1, "more"))
    assert str(refused.value) == LOCKED.format(sqlite_path)
    assert await store.account(account_id) is not None
    other.execute("rollback")
    assert not (await store.execute(grant(account_id, 1, "more"))).replayed
    await store.close()


async def test_exclusively_locked_file_is_reported(
    sqlite_path: Path, other: sqlite3.Connection
) -> None:
    await fill(sqlite_path)
    other.execute("pragma locking_mode = exclusive")
    other.execute("begin immediate")
    assert refused_to_open(sqlite_path) == LOCKED.format(sqlite_path)
    other.close()
    await open_store(sqlite_path).close()


@pytest.mark.parametrize("way", ["moved", "replaced"])
async def test_replaced_database_file_is_never_written(sqlite_path: Path, way: str) -> None:
    account_id = await fill(sqlite_path)
    copied, elsewhere = sqlite_path.with_name("copy.db"), sqlite_path.with_name("elsewhere.db")
    shutil.copy(sqlite_path, copied)
    store = open_store(sqlite_path)
    await store.execute(grant(account_id, 1, "before"))
    shutil.move(sqlite_path, elsewhere)
    if way == "replaced":
        shutil.move(copied, sqlite_path)
    message = f"The database {sqlite_path} was moved or replaced while in use"
    for number in range(2):
        with pytest.raises(StoreUnavailable, match=message):
            await store.execute(grant(account_id, 1, f"lost {number}"))
    with pytest.raises(StoreUnavailable, match=message):
        await make_key(store, account_id)
    with pytest.raises(StoreUnavailable, match=message):
        await store.ping()
    await store.close()


async def test_file_that_is_moved_back_is_written_again(sqlite_path: Path) -> None:
    account_id = await fill(sqlite_path)
    store = open_store(sqlite_path)
    await store.execute(grant(account_id, 1, "before"))
    elsewhere = sqlite_path.with_name("elsewhere.db")
    shutil.move(sqlite_path, elsewhere)
    with pytest.raises(StoreUnavailable):
        await store.execute(grant(account_id, 1, "after"))
    shutil.move(elsewhere, sqlite_path)
    assert not (await store.execute(grant(account_id, 1, "after"))).replayed
    await store.close()


async def test_ping_succeeds_when_writing_works_again_though_nothing_was_written(
    sqlite_path: Path, other: Connection
) -> None:
    account_id = await fill(sqlite_path)
    store = open_store(sqlite_path)
    other.execute("begin immediate")
    with pytest.raises(StoreUnavailable):
        await store.execute(grant(account_id, 1, "while locked"))
    with pytest.raises(StoreUnavailable):
        await store.ping()
    other.execute("rollback")
    await store.ping()
    await store.close()


async def test_full_disk_is_reported_and_loses_no_acknowledged_change(
    sqlite_path: Path,
) -> None:
    account_id = await fill(sqlite_path)
    pages = [20]

    def connect(path: Path) -> Connection:
        opened = connect_stdlib(path)
        opened.execute(f"pragma max_page_count = {pages[0]}")
        return opened

    store = open_store(sqlite_path, connect=connect)
    grants = [grant(account_id, 1, f"{number} {'x' * 240}") for number in range(1000)]
    results = [await asyncio.gather(store.execute(g), return_exceptions=True) for g in grants]
    refusals = {str(result) for (result,) in results if isinstance(result, StoreUnavailable)}
    assert refusals == {
        f"The database {sqlite_path} cannot grow because the disk is full. Free some space."
    }
    acknowledged = sum(not isinstance(result, Exception) for (result,) in results)
    account = await store.account(account_id)
    assert account is not None
    assert account.credits_pico == 5 + acknowledged > 5
    pages[0] = 10_000
    receipts = await asyncio.gather(*(store.execute(g) for g in grants))
    assert sum(receipt.replayed for receipt in receipts) == acknowledged
    assert await store.damage() == []
    await store.close()
