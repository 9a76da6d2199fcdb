"""Activity by days becomes activity by quarter hours, and no sum changes."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite import admin, refold, schema
from modelgates_server.store.sqlite.opening import open_store
from tests.support import (
    T0_MS,
    capture,
    finished,
    make_key,
    open_account,
    open_generation,
    place,
    void,
    voided_generation,
)

QUARTER_MS = 900_000
DAY_MS = T0_MS - T0_MS % MS_PER_DAY
FIRST = DAY_MS // QUARTER_MS
"""The first quarter hour of a day."""

SUMS = (
    *("requests", "usage_pico", "prompt_tokens", "completion_tokens"),
    *("reasoning_tokens", "cached_tokens"),
)
DAYS = f"""
select account_id, DAY, key_hash, endpoint_id, model, provider,
       {", ".join(f"sum({name}) as {name}" for name in SUMS)}
  from activity group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3, 4, 5, 6"""
NEW_DAYS = DAYS.replace("DAY,", "quarter_hour / 96 as day,")
ROWS = "select * from activity order by 1, 2, 3, 4, 5"
ENDS_MS = (0, 1, QUARTER_MS - 1, QUARTER_MS, 5 * QUARTER_MS, MS_PER_DAY - 1, MS_PER_DAY)
"""When calls end, after the beginning of the day."""


async def fill(path: Path) -> None:
    """Two accounts, each with two keys and two models, whose calls end at each of `ENDS_MS`."""
    store = open_store(path)
    for _ in range(2):
        account_id = await open_account(store, 10**9)
        for key_number in range(2):
            _, key = await make_key(store, account_id)
            for number, end_ms in enumerate(ENDS_MS):
                call_id = f"gen-{key_number}-{number}"
                at_ms, model = DAY_MS + end_ms, f"maker/{number % 2}"
                call = open_generation(
                    account_id, key.hash, call_id, 500, DAY_MS, model=model, endpoint_id=model
                )
                await store.execute(place(account_id, key.hash, call_id, 500, DAY_MS), call)
                usage = Usage(input=number, cache_read=3, output=2, reasoning=number % 3)
                ended = finished(call, usage, at_ms)
                await store.execute(
                    capture(account_id, key.hash, call_id, ended.cost_pico, at_ms), ended
                )
        failed = open_generation(account_id, key.hash, "failed", 5)
        await store.execute(place(account_id, key.hash, "failed", 5), failed)
        await store.execute(void(account_id, key.hash, "failed"), voided_generation(failed))
        running = open_generation(account_id, key.hash, "running", 5)
        await store.execute(place(account_id, key.hash, "running", 5), running)
    await store.close()


def copy_to(old: Path, filled: Path) -> None:
    """Copy the rows into a database of the version before, with activity by days."""
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("attach ? as filled", (str(filled),))
        for table in ("account", "api_key", "hold", "entry"):
            connection.execute(f"insert into {table} select * from filled.{table}")
        connection.executemany(
            "insert into generation (account_id, id, state, cost_pico, idempotency, record) "
            "values (?, ?, ?, ?, ?, ?)",
            asyncio.run(generations_of(filled)),
        )
        days = NEW_DAYS.replace("from activity", "from filled.activity")
        columns = ("account_id", "day", "key_hash", "endpoint_id", "model", "provider", *SUMS)
        connection.execute(f"insert into activity ({', '.join(columns)}) {days}")
        connection.commit()


async def generations_of(path: Path) -> list[tuple[object, ...]]:
    """The generations in the order in which they were made, with their records as JSON."""
    store = open_store(path)
    made = rows(path, "select account_id, id, state, cost_pico, idempotency from generation")
    calls = [await store.generation(row[0], row[1]) for row in made]
    await store.close()
    return [
        (*row, msgspec.json.encode(call).decode()) for row, call in zip(made, calls, strict=True)
    ]


def rows(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def edit(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        (trigger,) = connection.execute(
            "select sql from sqlite_schema where name = 'generation_ends_once'"
        ).fetchone()
        connection.execute("drop trigger generation_ends_once")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
        connection.execute(trigger)
        connection.commit()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("refold") / "modelgates.db"
    asyncio.run(fill(path))
    return path


@pytest.fixture(scope="module")
def three(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows in the schema before quarter hours."""
    path = tmp_path_factory.mktemp("refold") / "three.db"
    known = [step for step in schema.migrations() if step[0] <= 3]
    with pytest.MonkeyPatch.context() as before:
        before.setattr(schema, "migrations", lambda: known)
        admin.migrate_file(path)
    copy_to(path, filled)
    return path


@pytest.fixture
def old(three: Path, tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    admin.backup(three, path, lambda _, __: None)
    return path


async def test_rows_after_migration_are_those_that_calls_would_have_left(
    filled: Path, old: Path
) -> None:
    assert len(rows(old, ROWS)) < len(rows(filled, ROWS))
    reports: list[str] = []
    admin.migrate_file(old, reports.append)
    assert rows(old, ROWS) == rows(filled, ROWS)
    assert reports == ["32 of 32 calls folded", "Writing the activity"]
    store = open_store(old)
    assert (await verify(store)).findings == []
    await store.close()


UNREADABLE = {
    "not JSON": "'{'",
    "not a record": "'[]'",
    "no time": "json_set(record, '$.ended_at_ms', 'noon')",
    "no time in this age": "json_set(record, '$.ended_at_ms', 9223372036854775807)",
    "negative": "json_set(record, '$.usage.input', -1)",
    "too many": "json_set(record, '$.usage.input', 9223372036854775807)",
    "too expensive": "json_set(record, '$.cost_pico', 9223372036854775807)",
    "of another key": "json_set(record, '$.key_hash', 'x')",
    "of another model": "json_set(record, '$.model', 'x')",
}


@pytest.mark.parametrize("record", UNREADABLE.values(), ids=UNREADABLE)
def test_sums_stay_if_a_record_cannot_be_read(record: str, old: Path) -> None:
    days = rows(old, DAYS.replace("DAY,", "day,"))
    edit(old, f"update generation set record = {record} where id = 'gen-0-4'")
    admin.migrate_file(old)
    assert rows(old, NEW_DAYS) == days
    at_midnight = rows(old, f"select sum(requests) from activity where quarter_hour = {FIRST}")
    assert at_midnight == [(3 * 2 * 2 + 2,)], "the calls that ended then, and the one of each key"
    ended = f"select sum(requests) from activity where quarter_hour = {FIRST + 5}"
    assert rows(old, ended) == [(2,)], "those of the other key are still found"


def test_day_that_is_less_than_its_calls_stays_whole(old: Path) -> None:
    edit(old, f"update activity set cached_tokens = 1 where day = {DAY_MS // MS_PER_DAY}")
    days = rows(old, DAYS.replace("DAY,", "day,"))
    admin.migrate_file(old)
    assert rows(old, NEW_DAYS) == days
    that_day = f"select distinct quarter_hour from activity where quarter_hour < {FIRST + 96}"
    assert rows(old, that_day) == [(FIRST,)]


def test_calls_of_a_day_without_activity_add_none(old: Path) -> None:
    edit(old, f"delete from activity where day = {DAY_MS // MS_PER_DAY}")
    days = rows(old, DAYS.replace("DAY,", "day,"))
    admin.migrate_file(old)
    assert rows(old, NEW_DAYS) == days != []


def test_day_without_calls_is_in_its_first_quarter_hour(old: Path) -> None:
    edit(old, "update activity set day = day + 1000")
    admin.migrate_file(old)
    assert {row[1] % 96 for row in rows(old, ROWS)} == {0}


def test_nothing_is_migrated_if_a_sum_would_change(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(old, ROWS)
    monkeypatch.setattr(refold, "_split", lambda day, total, _: [(day * 96, total), (day, total)])
    with pytest.raises(StoreUnavailable, match="Nothing was migrated"):
        admin.migrate_file(old)
    assert rows(old, ROWS) == before
    assert json.dumps(admin.status(old)["schema"]) == "3"
