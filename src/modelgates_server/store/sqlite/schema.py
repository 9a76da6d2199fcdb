"""Reads the schema version of a file, and applies numbered migrations to it."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import resources

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.store.sqlite import refold
from modelgates_server.store.sqlite.connection import Connection, insist, writing

APPLICATION_ID = 0x4D474C31
"""`MGL1` in the file's header, so that another program's database is recognized."""

# One statement, because another process may be creating the schema between two.
_MARKS = """
select (select user_version from pragma_user_version),
       (select application_id from pragma_application_id),
       (select count(*) from sqlite_schema)
"""

Progress = Callable[[str], None]
"""Receives the progress, for the operator who waits."""

_STEPS: Mapping[int, Callable[[Connection, Progress], None]] = {4: refold.by_quarter_hours}
"""The work of a migration that SQL cannot do, by its number; it follows the statements."""

_FILE = re.compile(r"(\d{4})_\w+\.sql")


@cache
def migrations() -> list[tuple[int, str]]:
    """Number and text of every migration, in order."""
    folder = resources.files(__package__).joinpath("migrations")
    files = [(match, file) for file in folder.iterdir() if (match := _FILE.fullmatch(file.name))]
    return sorted((int(match[1]), file.read_text(encoding="utf-8")) for match, file in files)


def newest_version() -> int:
    """The schema version that this program needs."""
    return migrations()[-1][0]


_NOT_FOREIGN = (
    "Set MODELGATES_DATABASE_URL to a ModelGates database, or to a file that does not exist yet."
)


def version_of(connection: Connection, remedy: str = _NOT_FOREIGN) -> int:
    """A file's schema version, 0 if empty; raises `StoreUnavailable` for a foreign database."""
    version: int
    version, application, objects = connection.execute(_MARKS).fetchone()
    if application == APPLICATION_ID:
        return version
    if version or objects:
        raise StoreUnavailable(f"This file is the SQLite database of another program. {remedy}")
    return 0


def check_version(connection: Connection) -> None:
    """Raise `StoreUnavailable` unless the file has exactly the needed schema."""
    version, newest = version_of(connection), newest_version()
    if version > newest:
        raise StoreUnavailable(
            f"The database has schema {version}, but this program knows only {newest}: a newer "
            "ModelGates has migrated it. Upgrade this one."
        )
    if version < newest:
        raise StoreUnavailable(
            f"The database has schema {version}, but this program needs {newest}. Back it up "
            "(modelgates db backup FILE), then run modelgates db migrate."
        )


def migrate(connection: Connection, report: Progress = lambda _: None) -> list[int]:
    """Apply the missing migrations in one transaction; returns their numbers.

    Several processes may call it at once: the version is read again under the write lock.
    """
    if version_of(connection) == 0:
        insist(connection, "pragma journal_mode = wal").fetchone()
    applied = []
    with writing(connection):
        have = version_of(connection)
        for number, script in migrations():
            if number > have:
                for statement in _statements(script):
                    connection.execute(statement)
                if number in _STEPS:
                    _STEPS[number](connection, report)
                applied.append(number)
        if applied:
            connection.execute(f"pragma application_id = {APPLICATION_ID}")
            connection.execute(f"pragma user_version = {applied[-1]}")
    return applied


def _statements(script: str) -> Iterator[str]:
    """Split a script. Triggers contain semicolons, so SQLite decides where statements end."""
    lines: list[str] = []
    for line in script.splitlines(keepends=True):
        lines.append(line)
        if sqlite3.complete_statement("".join(lines)):
            yield "".join(lines)
            lines.clear()
    assert not "".join(lines).strip(), "a migration ends with a complete statement"
