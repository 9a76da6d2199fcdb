import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest

from modelgates_server.core.audit.findings import GenerationRow
from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import Account, Entry, Hold
from modelgates_server.core.metering.archives import Archive
from modelgates_server.core.metering.generations import ActivityRow, StoredAnswer
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite import admin, schema
from modelgates_server.store.sqlite.opening import open_store
from tests.support import (
    PICO_PRICE,
    T0_MS,
    capture,
    finished,
    make_key,
    open_account,
    open_generation,
    place,
)

Struct = type[msgspec.Struct]
ID = f"user_{'A' * 22}"
HASH = "a" * 64

MIGRATE_WHEN_TOLD = """
import json, sys
from pathlib import Path
from modelgates_server.store.sqlite.admin import migrate_file
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(migrate_file(Path(line.strip()))), flush=True)
"""


def described(path: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("select type, name, sql from sqlite_schema order by 2").fetchall()
    finally:
        connection.close()


async def fill(path: Path) -> None:
    """One account with one captured and one open call."""
    store = open_store(path)
    await open_account(store, 10, account_id=ID)
    await make_key(store, ID, hash=HASH)
    await store.add_prices([PICO_PRICE])
    for hold_id in ("ended", "open"):
        await store.execute(place(ID, HASH, hold_id, 4), open_generation(ID, HASH, hold_id, 4))
    ended = finished(open_generation(ID, HASH, "ended", 4), Usage(input=3))
    await store.execute(
        capture(ID, HASH, "ended", 3), ended, StoredAnswer(ID, "ended", b"{}", T0_MS)
    )
    await store.close()


@pytest.fixture
def edited(sqlite_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection without the store's manners."""
    asyncio.run(fill(sqlite_path))
    connection = sqlite3.connect(sqlite_path, isolation_level=None)
    connection.execute("pragma foreign_keys = on")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("table", "struct"),
    [
        ("account", Account),
        ("entry", Entry),
        ("hold", Hold),
        ("api_key", Key),
        ("archive", Archive),
        ("answer", StoredAnswer),
        ("price", Price),
    ],
)
def test_columns_of_a_table_are_the_fields_of_its_struct(
    edited: sqlite3.Connection, table: str, struct: Struct
) -> None:
    # Not in one order: statements name them, and migrations can only append.
    assert set(columns_of(edited, table)) == set(struct.__struct_fields__)


def test_columns_of_generation_are_the_fields_of_its_struct_and_where_its_record_is(
    edited: sqlite3.Connection,
) -> None:
    expected = {*GenerationRow.__struct_fields__, "packed", "archive_id"}
    assert set(columns_of(edited, "generation")) == expected


def test_columns_of_activity_are_the_account_and_the_fields_of_its_struct(
    edited: sqlite3.Connection,
) -> None:
    expected = {"account_id", *ActivityRow.__struct_fields__}
    assert set(columns_of(edited, "activity")) == expected


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"pragma table_info({table})")]


def test_no_amount_and_no_time_can_become_a_float(edited: sqlite3.Connection) -> None:
    tables = edited.execute("pragma table_list").fetchall()
    strict = {row[1]: row[5] for row in tables if not row[1].startswith("sqlite_")}
    names: tuple[str, ...] = ("account", "entry", "hold", "api_key", "key_secret", "issuance")
    names += ("generation", "activity", "answer", "price", "record_dictionary", "archive")
    assert strict == dict.fromkeys(names, 1)
    for table in strict:
        for _, name, kind, *_ in edited.execute(f"pragma table_info({table})"):
            if name.endswith(("_pico", "_ms", "day", "seq", "_tokens", "requests")):
                assert kind == "INTEGER", f"{table}.{name}"


ENTRY = (
    f"insert into entry values ('{ID}', 9, 'KIND', 'r', 0, 0, 0, AMOUNT, 0, 'grants', PLATFORM, "
    "OVERRUN, 'HOLD', null, null, null)"
)

END_IT = "update hold set state = 'captured', ended_at_ms = 1,"


def entry(
    amount: object = 5, platform: object = -5, overrun: int = 0, kind: str = "grant", hold: str = ""
) -> str:
    filled = ENTRY.replace("AMOUNT", str(amount)).replace("PLATFORM", str(platform))
    return filled.replace("OVERRUN", str(overrun)).replace("KIND", kind).replace("HOLD", hold)


def test_database_accepts_rows_that_the_ledger_writes(edited: sqlite3.Connection) -> None:
    edited.execute(entry())
    edited.execute(entry().replace("'r'", "'r2'").replace(" 9,", " 10,"))


@pytest.mark.parametrize(
    ("forbidden", "told"),
    [
        (entry(platform=-4), "CHECK"),
        (entry(amount=-5, platform=4, overrun=1), "CHECK"),
        (entry(amount=0.5, platform=-0.5), "cannot store REAL"),
        (entry(amount="9223372036854775807 + 1"), "cannot store REAL"),
        (entry(amount="'many'"), "cannot store TEXT"),
        (entry().replace(" 9,", " 1,"), "UNIQUE"),
        (entry().replace("'r'", "'grant'"), "UNIQUE"),
        (entry(kind="void", hold="ended"), "UNIQUE"),
        (entry().replace("'grants'", "null"), "CHECK"),
        (entry().replace(ID, f"user_{'B' * 22}"), "FOREIGN KEY"),
        ("update entry set amount_pico = 0", "entries are never changed"),
        ("update entry set reason = 'better' where seq = 2", "entries are never changed"),
        ("delete from entry", "entries are never deleted"),
        ("delete from hold", "holds are never deleted"),
        ("update hold set state = 'open' where id = 'ended'", "a hold ends once"),
        ("update hold set charged_pico = 4 where id = 'ended'", "a hold ends once"),
        ("update hold set state = 'captured' where id = 'open'", "CHECK"),
        (f"{END_IT} charged_pico = 5 where id = 'open'", "CHECK"),
        ("update hold set amount_pico = -1 where id = 'open'", "CHECK"),
        ("update account set credits_pico = 6", "CHECK"),
        ("update account set usage_pico = -1", "CHECK"),
        ("update account set held_pico = -1", "CHECK"),
        ("update account set min_balance_pico = 1", "CHECK"),
        ("update account set credits_pico = 10.5", "cannot store REAL"),
        ("update account set credits_pico = 9223372036854775807 + 1", "cannot store REAL"),
        ("update api_key set limit_pico = -1", "CHECK"),
        ("update api_key set limit_reset = 'yearly'", "CHECK"),
        ("update api_key set kind = 'root'", "CHECK"),
        ("update api_key set usage_pico = -1", "CHECK"),
        ("update api_key set hash = 'short'", "CHECK|FOREIGN KEY"),
        ("update generation set cost_pico = -1", "a generation ends once|CHECK"),
        ("update generation set cost_pico = -1 where id = 'open'", "CHECK"),
        ("update generation set state = 'nonsense' where id = 'open'", "CHECK"),
        ("update generation set state = 'voided', cost_pico = 1 where id = 'open'", "CHECK"),
        ("update generation set record = '{}' where id = 'ended'", "a generation ends once"),
        ("update generation set id = 'x' where id = 'open'", "FOREIGN KEY"),
        ("insert into generation select * from generation", "UNIQUE"),
        (
            f"insert into generation values ('{ID}', 'x', 'open', 0, null, '{{}}', null, null)",
            "FOREIGN KEY",
        ),
        ("delete from generation", "generations are never deleted"),
        *(
            (f"update activity set {name} = -1", "CHECK")
            for name in ActivityRow.__struct_fields__[4:-1]
        ),
        ("update activity set key_hash = 'x'", "FOREIGN KEY"),
        ("update activity set account_id = 'x'", "FOREIGN KEY"),
        ("update activity set usage_pico = 9223372036854775807 + 1", "cannot store REAL"),
        ("insert into activity select * from activity", "UNIQUE"),
        ("update answer set generation_id = 'x'", "FOREIGN KEY"),
        ("update price set source = 'better'", "prices are never changed"),
        ("delete from price", "prices are never deleted"),
        ("delete from account", "FOREIGN KEY"),
        ("delete from api_key", "FOREIGN KEY"),
    ],
)
def test_database_refuses_rows_that_the_ledger_never_writes(
    edited: sqlite3.Connection, forbidden: str, told: str
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=told):
        edited.execute(forbidden)


async def test_every_connection_syncs_fully_and_waits_fairly(sqlite_path: Path) -> None:
    store = open_store(sqlite_path)
    await open_account(store)
    reader, writer = store._reader, store._writer._connection
    assert writer is not None
    for connection in (reader, writer):
        settings = {
            name: connection.execute(f"pragma {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
        }
        expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
        assert settings == {**expected, "trusted_schema": 0}
    assert reader.execute("pragma query_only").fetchone()[0] == 1
    # SQLite's own way of waiting for another writer starves one of two.
    assert writer.execute("pragma busy_timeout").fetchone()[0] == 0
    await store.close()


async def test_database_of_version_0_1_is_migrated_with_all_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled, old = tmp_path / "filled", tmp_path / "old"
    await fill(filled)
    first = schema.migrations()[:1]
    with monkeypatch.context() as before:
        before.setattr(schema, "migrations", lambda: first)
        assert admin.migrate_file(old) == [1]
    tables = ("account", "api_key", "issuance", "hold", "entry")
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("attach ? as filled", (str(filled),))
        for table in tables:
            names = ", ".join(columns_of(connection, table))
            connection.execute(
                f"insert into main.{table} ({names}) select {names} from filled.{table}"
            )
        connection.commit()
    with pytest.raises(StoreUnavailable, match="has schema 1, but this program needs "):
        open_store(old)
    assert admin.status(old)["schema"] == 1
    admin.backup(old, tmp_path / "backup", lambda _, __: None)
    for path in (old, tmp_path / "backup"):
        assert admin.migrate_file(path) == list(range(2, schema.newest_version() + 1))
        assert described(path) == described(filled)
        store = open_store(path)
        result = await verify(store)
        assert (result.findings, result.entries, result.holds) == ([], 5, 2)
        assert [hold.id for hold, _ in await store.open_holds(ID, limit=9)] == ["open"]
        assert await store.generation(ID, "open") is None
        await store.execute(capture(ID, HASH, "open", 2))
        call = open_generation(ID, HASH, "new", 4)
        await store.execute(place(ID, HASH, "new", 4), call)
        await store.execute(capture(ID, HASH, "new", 3), finished(call, Usage(input=3)))
        result = await verify(store)
        assert (result.findings, result.holds, result.generations) == ([], 3, 1)
        await store.close()


def test_migrating_again_changes_nothing(sqlite_path: Path) -> None:
    assert admin.migrate_file(sqlite_path) == list(range(1, schema.newest_version() + 1))
    before = described(sqlite_path), sqlite_path.read_bytes()
    assert admin.migrate_file(sqlite_path) == []
    assert (described(sqlite_path), sqlite_path.read_bytes()) == before


async def test_opening_and_migrating_a_new_file_give_the_same_database(tmp_path: Path) -> None:
    opened, empty, migrated = (tmp_path / name for name in ("opened", "empty", "migrated"))
    empty.touch()
    for path in (opened, empty):
        await open_store(path).close()
    admin.migrate_file(migrated)
    assert described(opened) == described(empty) == described(migrated)


def test_migrations_are_numbered_without_gap() -> None:
    numbers = [number for number, _ in schema.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.fixture
def migrators() -> Iterator[list[tuple[IO[str], IO[str]]]]:
    """Queues that give four processes the file to migrate, and return their results."""
    command = [sys.executable, "-c", MIGRATE_WHEN_TOLD]
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        pipes = []
        for _ in range(4):
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
            stack.enter_context(process)
            assert process.stdin
            assert process.stdout
            pipes.append((process.stdin, process.stdout))
        assert [answers.readline() for _, answers in pipes] == ["ready\n"] * 4
        yield pipes


def test_several_processes_that_migrate_at_once_apply_each_migration_once(
    tmp_path: Path, migrators: list[tuple[IO[str], IO[str]]]
) -> None:
    all_of_them = [number for number, _ in schema.migrations()]
    for number in range(40):
        for questions, _ in migrators:
            questions.write(f"{tmp_path / str(number)}\n")
        for questions, _ in migrators:
            questions.flush()
        applied = sorted(json.loads(answers.readline()) for _, answers in migrators)
        assert applied == [[], [], [], all_of_them]


def test_older_database_is_refused_until_it_is_migrated(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.migrate_file(sqlite_path)
    known = schema.migrations()
    later = (known[-1][0] + 1, "alter table account add column later text;\n")
    monkeypatch.setattr(schema, "migrations", lambda: [*known, later])
    before = described(sqlite_path)
    with pytest.raises(StoreUnavailable) as refused:
        open_store(sqlite_path)
    assert str(refused.value) == (
        f"The database has schema {known[-1][0]}, but this program needs {later[0]}. Back it up "
        "(modelgates db backup FILE), then run modelgates db migrate."
    )
    assert described(sqlite_path) == before
    assert admin.migrate_file(sqlite_path) == [later[0]]
    connection = sqlite3.connect(sqlite_path)
    schema.check_version(connection)
    connection.close()


def test_migration_that_fails_leaves_the_database_unchanged(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.migrate_file(sqlite_path)
    before, known = described(sqlite_path), schema.migrations()
    script = "alter table account add column later text;\ninsert into nowhere values (1);\n"
    monkeypatch.setattr(schema, "migrations", lambda: [*known, (known[-1][0] + 1, script)])
    with pytest.raises(StoreUnavailable, match="no such table: nowhere"):
        admin.migrate_file(sqlite_path)
    assert described(sqlite_path) == before
