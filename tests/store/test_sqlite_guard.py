"""A damaged database is found at the start or by a read, and is not used from then on."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelgates_server.core.errors import StoreDamaged
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service.part_states import PartState, Status, database_state
from modelgates_server.store.sqlite.guard import find_damage
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.sqlite.store import SqliteStore
from tests.support import (
    PICO_PRICE,
    T0_MS,
    capture,
    finished,
    grant,
    make_key,
    open_account,
    open_generation,
    place,
)

ACCOUNTS = tuple(f"user_{letter * 22}" for letter in "ABC")
PAGE = 4096
LET_ENTRIES_CHANGE = "drop trigger entry_is_never_changed; drop trigger entry_is_never_deleted;"
KEEP_TRIGGERS = """
create trigger entry_is_never_changed before update on entry
begin select raise(abort, 'entries are never changed'); end;
create trigger entry_is_never_deleted before delete on entry
begin select raise(abort, 'entries are never deleted'); end;
"""


async def fill(path: Path) -> None:
    store = open_store(path)
    for number, account_id in enumerate(ACCOUNTS):
        await open_account(store, 1000, account_id=account_id)
        await make_key(store, account_id, hash=f"{number}" * 64)
    await store.add_prices([PICO_PRICE])
    for number in range(150):
        await store.execute(grant(ACCOUNTS[number % 2], 1, f"grant-{number}"))
    await one_call(store, ACCOUNTS[2], "2" * 64)
    await store.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "modelgates.db"
    asyncio.run(fill(path))
    return path


@pytest.fixture
def ledger(filled: Path, sqlite_path: Path) -> Path:
    """A closed database with 3 accounts and more entries than the check looks at."""
    shutil.copy(filled, sqlite_path)
    return sqlite_path


async def one_call(store: SqliteStore, account_id: str, key_hash: str) -> None:
    call = open_generation(account_id, key_hash, "h", 4)
    await store.execute(place(account_id, key_hash, "h", 4), call)
    answer = StoredAnswer(account_id, "h", b"{}", T0_MS)
    await store.execute(
        capture(account_id, key_hash, "h", 3), finished(call, Usage(input=3)), answer
    )


def edit(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def found(path: Path) -> str | None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return find_damage(connection)


async def test_intact_database_is_used(ledger: Path) -> None:
    assert found(ledger) is None
    store = open_store(ledger, guarded=True)
    assert await database_state(store) == PartState(Status.OK)
    assert (await store.execute(grant(ACCOUNTS[0], 1, "more"))).entry.amount_pico == 1
    await store.close()


def test_new_database_has_no_damage(sqlite_path: Path) -> None:
    open_store(sqlite_path, guarded=True)
    assert found(sqlite_path) is None


HARMLESS = "create table _replica (id); create index mine on account (name); analyze"
DAMAGE = {
    "drop trigger entry_is_never_changed": "the trigger entry_is_never_changed is missing",
    "drop index entry_reference": "the index entry_reference is missing",
    "drop table answer": "the table answer is missing",
    "create trigger mine before insert on entry begin select 1; end": "the trigger mine was added",
    "drop trigger price_is_never_changed; create trigger price_is_never_changed "
    "before update on price begin select 1; end": "the trigger price_is_never_changed was changed",
    "drop index hold_open; create index hold_open on hold (id)": "the index hold_open was changed",
    f"update account set credits_pico = credits_pico + 1 where id = '{ACCOUNTS[1]}'": (
        f"account {ACCOUNTS[1]} contradict each other"
    ),
    f"update account set last_seq = last_seq + 1 where id = '{ACCOUNTS[0]}'": (
        f"account {ACCOUNTS[0]} contradict each other"
    ),
    f"delete from account where id = '{ACCOUNTS[2]}'": "contradict each other",
    f"{LET_ENTRIES_CHANGE} delete from entry where rowid = 100; {KEEP_TRIGGERS}": (
        "entry number 100 is missing"
    ),
    f"{LET_ENTRIES_CHANGE} delete from entry where rowid = 3; {KEEP_TRIGGERS}": (
        "entry number 3 is missing"
    ),
    f"{LET_ENTRIES_CHANGE} delete from entry where rowid > 150; {KEEP_TRIGGERS}": (
        "contradict each other"
    ),
    f"{LET_ENTRIES_CHANGE} update entry set held_pico = 1 where rowid = 140; {KEEP_TRIGGERS}": (
        "contradict each other"
    ),
}


@pytest.mark.parametrize("script", DAMAGE)
async def test_damage_at_the_start_is_named_and_nothing_is_served(
    ledger: Path, script: str
) -> None:
    edit(ledger, script)
    assert DAMAGE[script] in (found(ledger) or "")
    store = open_store(ledger, guarded=True)
    state = await database_state(store)
    assert (state.status, state.cause) == (
        Status.UNAVAILABLE,
        "The database is damaged. Restore a backup.",
    )
    assert DAMAGE[script] in state.detail
    for use in (
        store.account(ACCOUNTS[0]),
        store.authenticated_key("0" * 64),
        store.execute(grant(ACCOUNTS[0], 1, "more")),
    ):
        with pytest.raises(StoreDamaged, match="Restore it from a backup"):
            await use
    await store.close()


def test_objects_of_other_tools_are_no_damage(ledger: Path) -> None:
    edit(ledger, HARMLESS)
    assert found(ledger) is None


def damage_page(path: Path, table: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        query = "select rootpage from sqlite_schema where name = ?"
        page = connection.execute(query, [table]).fetchone()[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xff" * PAGE)


async def test_database_is_not_used_after_the_first_read_that_fails(ledger: Path) -> None:
    damage_page(ledger, "price")
    store = open_store(ledger, guarded=True)
    assert (await database_state(store)).status is Status.OK
    assert await store.account(ACCOUNTS[0]) is not None
    with pytest.raises(StoreDamaged):
        await store.prices()
    assert (await database_state(store)).status is Status.UNAVAILABLE
    for use in (
        store.account(ACCOUNTS[0]),
        store.authenticated_key("0" * 64),
        store.execute(grant(ACCOUNTS[0], 1, "more")),
    ):
        with pytest.raises(StoreDamaged):
            await use
    await store.close()


async def test_database_is_not_used_after_the_first_write_that_fails(ledger: Path) -> None:
    damage_page(ledger, "entry_reference")
    store = open_store(ledger, guarded=True)
    with pytest.raises(StoreDamaged):
        await store.execute(grant(ACCOUNTS[0], 1, "more"))
    with pytest.raises(StoreDamaged):
        await store.account(ACCOUNTS[0])
    await store.close()


def test_file_that_was_cut_is_damaged(ledger: Path) -> None:
    with ledger.open("r+b") as file:
        file.truncate(ledger.stat().st_size // PAGE // 2 * PAGE)
    with pytest.raises(StoreDamaged):
        open_store(ledger, guarded=True)


async def test_older_copy_that_is_written_over_the_file_in_use_is_noticed(ledger: Path) -> None:
    older = ledger.with_name("older.db")
    shutil.copy(ledger, older)
    store = open_store(ledger)
    await store.execute(grant(ACCOUNTS[0], 1, "more"))
    await store.close()
    store = open_store(ledger, guarded=True)
    await store.ping()
    with older.open("rb") as source, ledger.open("r+b") as target:
        shutil.copyfileobj(source, target)
    store._reader.execute("pragma shrink_memory")
    assert (await database_state(store)).status is Status.UNAVAILABLE
    await store.close()


async def test_command_goes_on_after_damage(ledger: Path) -> None:
    damage_page(ledger, "price")
    store = open_store(ledger)
    with pytest.raises(StoreDamaged):
        await store.prices()
    assert await store.account(ACCOUNTS[0]) is not None
    await store.close()


def steps_of_the_check(path: Path) -> int:
    """How many instructions of SQLite it takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.set_progress_handler(count, 1)
        assert find_damage(connection) is None
    return steps


async def test_check_takes_no_longer_for_a_large_ledger(ledger: Path) -> None:
    before = steps_of_the_check(ledger)
    store = open_store(ledger)
    await asyncio.gather(
        *(store.execute(grant(ACCOUNTS[n % 3], 1, f"later-{n}")) for n in range(3000))
    )
    await store.close()
    assert steps_of_the_check(ledger) < 1.5 * before
