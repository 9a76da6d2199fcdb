"""No read gets slower as the ledger grows, as query plans and counted steps show."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modelgates_server.core.keys import KeyKind
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import QUARTER_HOURS_PER_DAY, day_of
from modelgates_server.store import sqlite
from modelgates_server.store.rows import STRUCTS
from modelgates_server.store.sql import bind, load_statements
from modelgates_server.store.sqlite.admin import migrate_file
from modelgates_server.store.sqlite.opening import open_store
from tests.support import (
    HOLD_MS,
    T0_MS,
    capture,
    finished,
    make_key,
    open_account,
    open_generation,
    place,
)

READS = load_statements(sqlite.__name__, "reads.sql", STRUCTS)
WRITES = load_statements(sqlite.__name__, "ledger.sql", STRUCTS)
# These are for operators, a start and a thread of maintenance, which ask for everything.
WHOLE_TABLES = {
    *("keys_dated_after", "strays", "counts", "prices", "archives", "record_dictionaries"),
}
TABLES = (
    *("account", "entry", "hold", "api_key", "issuance"),
    *("generation", "activity", "answer", "price"),
)
# An index that has open holds and nothing else may be read from end to end.
OPEN_ONLY = "SCAN hold USING COVERING INDEX hold_open_of_account"
FEW, MANY = f"user_{'A' * 22}", f"user_{'B' * 22}"
FEW_HASH, MANY_HASH = "a" * 64, "b" * 64
ALL_KINDS = '["management", "inference", "viewer"]'


async def fill(path: Path) -> None:
    """One account of 10 entries, one of 3,000, of which half are holds that have ended."""
    store = open_store(path)
    for account_id, key_hash, count in ((FEW, FEW_HASH, 4), (MANY, MANY_HASH, 1499)):
        await open_account(store, 1_000_000, account_id=account_id)
        await make_key(store, account_id, hash=key_hash)
        calls = [
            open_generation(
                account_id, key_hash, str(n), 5, idempotency=str(n), model=f"model-{n % 100}"
            )
            for n in range(count)
        ]
        await asyncio.gather(
            *(store.execute(place(account_id, key_hash, call.id, 5), call) for call in calls)
        )
        await asyncio.gather(
            *(
                store.execute(
                    capture(account_id, key_hash, call.id, 3),
                    finished(call, Usage(input=3)),
                    StoredAnswer(account_id, call.id, b"{}", T0_MS),
                )
                for call in calls
            )
        )
    await asyncio.gather(*(make_key(store, MANY, kind=KeyKind.VIEWER) for _ in range(300)))
    await store.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("plans") / "modelgates.db"
    asyncio.run(fill(path))
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


def steps(connection: sqlite3.Connection, statement: str, *parameters: object) -> int:
    """How many instructions of SQLite's machine a statement takes."""
    count = 0

    def one_more() -> int:
        nonlocal count
        count += 1
        return 0

    connection.execute(statement, parameters).fetchall()  # reads the schema, once
    connection.set_progress_handler(one_more, 1)
    connection.execute(statement, parameters).fetchall()
    connection.set_progress_handler(None, 1)
    return count


def plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    sql = bind(statement).sql
    parameters = [None] * sql.count("?")
    return [row[3] for row in connection.execute(f"explain query plan {sql}", parameters)]


@pytest.mark.parametrize("name", sorted({*READS, *WRITES} - WHOLE_TABLES))
def test_no_statement_reads_a_whole_table(filled: sqlite3.Connection, name: str) -> None:
    for statement in (READS.get(name), WRITES.get(name)):
        for detail in plan(filled, statement) if statement else []:
            whole = detail.startswith(
                tuple(f"SCAN {table}" for table in (*TABLES, "k", "a", "h", "g"))
            )
            assert not whole or detail == OPEN_ONLY


@pytest.mark.parametrize(
    "name",
    [
        *(
            "authenticated_key",
            "account_and_key",
            "account",
            "accounts",
            "key",
            "keys",
            "entries",
            "expired_holds",
        ),
        *(
            "open_holds",
            "generation",
            "generation_by_id",
            "latest_by_idempotency_key",
            "answer",
            "newest_activity",
            "price",
        ),
        *("all_entries", "generation_row", "all_activity"),
    ],
)
def test_no_read_sorts_rows_that_an_index_has_in_order(
    filled: sqlite3.Connection, name: str
) -> None:
    details = plan(filled, READS[name])
    assert any(detail.startswith("SEARCH") for detail in details), details
    assert not any("TEMP B-TREE" in detail for detail in details), details


@pytest.mark.parametrize(
    ("name", "few", "many"),
    [
        ("account", (FEW,), (MANY,)),
        ("authenticated_key", (FEW_HASH,), (MANY_HASH,)),
        ("key", (FEW_HASH,), (MANY_HASH,)),
        ("entries", (FEW, 0, 5), (MANY, 0, 5)),
        ("entries", (FEW, 5, 5), (MANY, 2900, 5)),
        ("open_holds", (FEW, 5), (MANY, 5)),
        ("generation", (FEW, "2"), (MANY, "2")),
        ("generation_by_id", ("3",), ("1400",)),
        ("latest_by_idempotency_key", (FEW, "2"), (MANY, "2")),
        ("answer", (FEW, "2"), (MANY, "2")),
    ],
)
def test_reading_10_of_3000_entries_takes_as_many_steps_as_10_of_10(
    filled: sqlite3.Connection, name: str, few: tuple[object, ...], many: tuple[object, ...]
) -> None:
    assert steps(filled, READS[name], *few) == steps(filled, READS[name], *many) > 0


def test_reading_a_page_of_300_keys_depends_only_on_its_rows(filled: sqlite3.Connection) -> None:
    one = steps(filled, READS["keys"], FEW, 1, -1, ALL_KINDS, 1, 0)
    three = steps(filled, READS["keys"], MANY, 1, -1, ALL_KINDS, 3, 0)
    assert three <= 3 * one


def test_reading_a_day_of_activity_depends_only_on_its_rows(filled: sqlite3.Connection) -> None:
    def reading(account_id: str, day: int, **others: object) -> int:
        values = {
            "account_id": account_id,
            "day": day,
            "from_quarter_hour": day * QUARTER_HOURS_PER_DAY,
            "to_quarter_hour": (day + 1) * QUARTER_HOURS_PER_DAY,
            "key_hash": None,
            "after_key_hash": "g",
            "after_endpoint_id": "",
            "after_model": "",
            "limit": 1000,
            **others,
        }
        sql, names = bind(READS["activity_of_day"])
        return steps(filled, sql, *(values[name] for name in names))

    today = day_of(T0_MS)
    four, hundred = reading(FEW, today), reading(MANY, today)
    assert hundred <= 25 * four
    assert reading(MANY, today + 1) < four
    assert reading(MANY, today, limit=4) < hundred


def test_newest_activity_is_found_as_fast_among_many_rows(filled: sqlite3.Connection) -> None:
    few = steps(filled, READS["newest_activity"], FEW, 2**62)
    assert steps(filled, READS["newest_activity"], MANY, 2**62) == few


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("expired_holds", (T0_MS + HOLD_MS, 500)), ("open_holds", (MANY, 9)), ("all_open_holds", ())],
)
def test_reading_open_holds_does_not_depend_on_ended_ones(
    filled: sqlite3.Connection, sqlite_path: Path, name: str, parameters: tuple[object, ...]
) -> None:
    migrate_file(sqlite_path)
    with closing(sqlite3.connect(sqlite_path)) as empty:
        expected = steps(empty, READS[name], *parameters)
    assert steps(filled, READS[name], *parameters) == expected
