"""The database's own rules about records, dictionaries and archives."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.archived import fill

CAPTURED, OPEN = "where id = 'captured'", "where id = 'open'"


@pytest.fixture
def edited(sqlite_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection without the store's manners, and an archive without generations."""
    asyncio.run(fill(sqlite_path))
    connection = sqlite3.connect(sqlite_path, isolation_level=None)
    connection.execute("pragma foreign_keys = on")
    connection.execute(
        "insert into archive values (1, 'old', hex(zeroblob(32)), 1, '3', 0, 0, 0, null)"
    )
    yield connection
    connection.close()


def test_database_lets_an_ended_generation_lose_its_record_to_an_archive_once(
    edited: sqlite3.Connection,
) -> None:
    archive = (
        "update generation set record = '', packed = null, archive_id = 1 where id = 'captured'"
    )
    edited.execute(archive)
    for again in (archive, archive.replace("archive_id = 1", "archive_id = null, packed = x'01'")):
        with pytest.raises(sqlite3.IntegrityError, match="a generation ends once"):
            edited.execute(again)
    edited.execute("update archive set emptied_at_ms = 1")
    with pytest.raises(sqlite3.IntegrityError, match="an archive never changes"):
        edited.execute("update archive set emptied_at_ms = 2")


@pytest.mark.parametrize(
    ("forbidden", "told"),
    [
        ("update generation set packed = null where id = 'open'", "CHECK"),
        ("update generation set record = '{}' where id = 'open'", "CHECK"),
        ("update generation set packed = null, archive_id = 1 where id = 'open'", "CHECK"),
        (
            "update generation set packed = null, archive_id = 2 where id = 'captured'",
            "FOREIGN KEY",
        ),
        ("update generation set archive_id = 1 where id = 'captured'", "CHECK"),
        (
            f"update generation set state = 'expired', archive_id = 1, packed = null {OPEN}",
            "CHECK",
        ),
        ("update generation set packed = null where id = 'captured'", "a generation ends once"),
        ("update generation set packed = x'01' where id = 'captured'", "a generation ends once"),
        *(
            (
                f"update generation set packed = null, archive_id = 1, {also} {CAPTURED}",
                told,
            )
            for also, told in (
                ("cost_pico = 4", "a generation ends once"),
                ("state = 'expired'", "a generation ends once"),
                ("state = 'open'", "a generation ends once"),
                ("idempotency = 'other'", "a generation ends once"),
                ("id = 'other'", "a generation ends once"),
                ("record = '{}'", "CHECK"),
            )
        ),
        ("update archive set name = 'other'", "an archive never changes"),
        ("update archive set cost = '4', emptied_at_ms = 1", "an archive never changes"),
        ("delete from archive", "archives are never deleted"),
        ("update record_dictionary set bytes = x''", "dictionaries are never changed"),
        ("delete from record_dictionary", "dictionaries are never deleted"),
    ],
)
def test_database_refuses_other_changes_of_records(
    edited: sqlite3.Connection, forbidden: str, told: str
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=told):
        edited.execute(forbidden)
