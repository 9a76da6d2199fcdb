"""Gives the free space of a database file back to the disk, while nobody uses it."""

import os
import sqlite3
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

from modelgates_server.core.errors import Conflict, StoreUnavailable
from modelgates_server.store.files import sync
from modelgates_server.store.sqlite.connection import (
    check_exists,
    connect_stdlib,
    explained,
    make_private,
)
from modelgates_server.store.sqlite.schema import check_version

_PARTIAL = ".compact.partial"
_SCHEMA = "select type, name, tbl_name, sql from sqlite_schema order by name"
_TABLES = "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'"
_MARKS = "select user_version, application_id from pragma_user_version, pragma_application_id"


def compact(path: Path) -> tuple[int, int]:
    """Replace a database with a compact copy that was compared with it row by row.

    Returns the bytes before and after. Raises `Conflict` if another process uses the database.
    """
    check_exists(path)
    path = path.resolve()
    before = path.stat()
    partial = path.with_name(f"{path.name}.{os.getpid()}{_PARTIAL}")
    with explained(path), closing(connect_stdlib(path)) as connection:
        check_version(connection)
        _lock(connection, path)
        for left in path.parent.glob(f"{path.name}.*{_PARTIAL}*"):  # of processes that were killed
            left.unlink(missing_ok=True)
        try:
            make_private(partial)
            connection.execute("vacuum into ?", (str(partial),))
            partial.chmod(before.st_mode)
            os.chown(partial, before.st_uid, before.st_gid)
            _compare(connection, partial)
            sync(partial)
            after_bytes = partial.stat().st_size
            partial.replace(path)
            sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)
    return before.st_size, after_bytes


def _lock(connection: sqlite3.Connection, path: Path) -> None:
    """Leave WAL mode, which only the last connection can, and keep all others out."""
    try:
        mode = connection.execute("pragma journal_mode = delete").fetchone()[0]
        connection.execute("pragma locking_mode = exclusive").fetchone()
        connection.execute("begin exclusive")
        connection.execute("commit")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) and "busy" not in str(error):
            raise
        mode = "locked"
    if mode != "delete":
        raise Conflict(
            f"The database {path} is in use. Stop the server and all commands that use it, then "
            "run this again."
        )


def _compare(connection: sqlite3.Connection, partial: Path) -> None:
    with explained(partial), closing(sqlite3.connect(partial)) as copy:
        both = (connection, copy)
        sound = copy.execute("pragma integrity_check").fetchall() == [("ok",)]
        tables = [name for (name,) in connection.execute(_TABLES)]
        queries = [_SCHEMA, _MARKS, *(f'select * from "{table}"' for table in tables)]  # noqa: S608
        if not (sound and all(_is_equal(*(each.execute(sql) for each in both)) for sql in queries)):
            raise StoreUnavailable(
                "The compact copy is not equal to the database, which was left as it is. Run "
                "`modelgates ledger verify`."
            )


def _is_equal(one: sqlite3.Cursor, other: sqlite3.Cursor) -> bool:
    return all(row == copied for row, copied in zip_longest(one, other))
