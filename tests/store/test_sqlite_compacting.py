"""A compact copy takes the place of a database that nobody uses."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.errors import Conflict, StoreUnavailable
from modelgates_server.store.sqlite import compacting
from modelgates_server.store.sqlite.compacting import compact
from modelgates_server.store.sqlite.connection import connect_stdlib
from modelgates_server.store.sqlite.opening import open_store
from tests.store.archived import fill, run, verified


@pytest.fixture
def ledger(sqlite_path: Path) -> Path:
    asyncio.run(fill(sqlite_path))
    return sqlite_path


def contents(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.iterdump())  # the order of indexes and triggers may change


def test_compact_database_is_smaller_and_has_the_same_rows(ledger: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("create table ballast as select zeroblob(1000000)")
        connection.execute("drop table ballast")
        connection.commit()
    folder = tmp_path / "archives"
    folder.mkdir()
    run(ledger, folder)
    ledger.chmod(0o640)
    rows, size = contents(ledger), ledger.stat().st_size
    assert compact(ledger) == (size, ledger.stat().st_size)
    assert size - ledger.stat().st_size >= 1_000_000
    assert ledger.stat().st_mode & 0o777 == 0o640
    assert contents(ledger) == rows
    assert verified(ledger, folder).findings == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        ledger.name,
        f"{ledger.name}-archive.lock",
    ]


async def test_database_in_use_is_not_compacted(ledger: Path) -> None:
    store = open_store(ledger)
    with pytest.raises(Conflict, match=r"is in use\. Stop the server"):
        compact(ledger)
    await store.ping()  # fails if the file was replaced
    await store.close()


def test_database_cannot_be_opened_while_it_is_compacted(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []
    compare = compacting._compare

    def opening(connection: sqlite3.Connection, partial: Path) -> None:
        with closing(connect_stdlib(ledger)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("select * from account")
            refused.append(True)
        compare(connection, partial)

    monkeypatch.setattr(compacting, "_compare", opening)
    compact(ledger)
    assert refused == [True]


def test_database_stays_if_its_copy_differs(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare, rows = compacting._compare, contents(ledger)

    def damaging(connection: sqlite3.Connection, partial: Path) -> None:
        with closing(sqlite3.connect(partial)) as copy:
            copy.execute("update account set name = 'another'")
            copy.commit()
        compare(connection, partial)

    monkeypatch.setattr(compacting, "_compare", damaging)
    with pytest.raises(StoreUnavailable, match="is not equal to the database"):
        compact(ledger)
    assert contents(ledger) == rows
    assert [path.name for path in ledger.parent.iterdir()] == [ledger.name]
    assert verified(ledger).findings == []


def test_copies_of_killed_runs_are_deleted(ledger: Path) -> None:
    for ending in ("", "-journal"):
        left = ledger.with_name(f"{ledger.name}.1.compact.partial{ending}")
        left.write_bytes(b"unfinished")
    compact(ledger)
    assert [path.name for path in ledger.parent.iterdir()] == [ledger.name]


def test_path_that_is_a_link_stays_one(ledger: Path) -> None:
    link = ledger.with_name("link.db")
    link.symlink_to(ledger)
    compact(link)
    assert link.is_symlink()
    assert verified(link).findings == []
