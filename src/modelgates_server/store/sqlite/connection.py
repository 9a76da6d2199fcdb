"""Opening a SQLite file so that acknowledged means synced, and saying clearly when that fails."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from modelgates_server.core.errors import StoreUnavailable

Parameters = Sequence[Any]

_WAIT_MS = 5000
_READ_WAIT_MS = 250
_RETRY_S = 0.0005


class Cursor(Protocol):
    """Runs a statement and holds its rows."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> "Cursor":
        """Run one statement."""

    def fetchone(self) -> Any:
        """The next row or None."""

    def fetchall(self) -> list[Any]:
        """The rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """The rows that are left, one at a time."""


class Connection(Protocol):
    """What the store uses of a connection; the power-loss test brings another file layer."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> Any:
        """Run one statement for each row."""

    def cursor(self) -> Cursor:
        """A cursor to be used again and again."""

    def close(self) -> None:
        """Release the file."""


Connect = Callable[[Path], Connection]


def connect_stdlib(path: Path) -> Connection:
    """A connection without implicit transactions that may be handed to another thread."""
    return sqlite3.connect(
        path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
    )


def inode_of(path: Path) -> int:
    """Which file a path names now, 0 for none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def size_of(path: Path) -> int:
    """Bytes of a file, 0 for none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def check_exists(path: Path) -> None:
    """Raise `StoreUnavailable` when there is no database, or nothing in it."""
    if not size_of(path):
        raise StoreUnavailable(
            f"there is no database at {path}; `modelgates account create` or `modelgates db "
            "migrate` makes one, MODELGATES_DATABASE_URL names another"
        )


def make_private(path: Path) -> None:
    """Create a file that only its owner may read, if there is none; SQLite's other files follow."""
    with suppress(OSError):  # what is wrong, SQLite tells next
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def prepare(connection: Connection, *, read_only: bool) -> Connection:
    """Set what every connection needs: full sync, foreign keys, no trust in the file's schema."""
    execute = connection.execute
    # A process that sets up the file, recovers it or closes it last locks all others out for a
    # moment. Readers run on the event loop: they wait only briefly, and never for a writer.
    execute(f"pragma busy_timeout = {_READ_WAIT_MS if read_only else _WAIT_MS}")
    execute("pragma synchronous = full")
    execute("pragma fullfsync = on")  # macOS: its plain fsync leaves data in the drive's cache
    execute("pragma checkpoint_fullfsync = on")
    execute("pragma wal_autocheckpoint = 0")  # the writer does it: `Writer._shorten_log`
    execute("pragma foreign_keys = on")
    execute("pragma trusted_schema = off")
    execute("pragma cell_size_check = on")
    if read_only:
        execute("pragma query_only = on")
    return connection


def insist(connection: Connection, sql: str) -> Cursor:
    """Run a statement as soon as the other processes on the file let it.

    SQLite's own waiting sleeps up to 100 ms between tries, which starves one of two busy processes
    (measured: 1 to 1,577), and it does not wait at all where several change the journal mode. Short
    even tries let them take turns.
    """
    deadline = time.monotonic() + _WAIT_MS / 1000
    while True:
        try:
            return connection.execute(sql)
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)


def try_write(connection: Connection) -> bool:
    """Start a write transaction, unless another process is in one."""
    try:
        connection.execute("begin immediate")
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise
        return False
    return True


def begin_write(connection: Connection) -> None:
    """Start a write transaction when the other processes on the file have ended theirs."""
    insist(connection, "begin immediate")


@contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """A write transaction: committed and synced when the block ends, undone when it raises."""
    begin_write(connection)
    try:
        yield
        connection.execute("commit")
    except BaseException:
        undo(connection)
        raise


def undo(connection: Connection) -> None:
    """Roll back, also where SQLite has done so itself after an I/O error."""
    try:
        connection.execute("rollback")
    except sqlite3.OperationalError as error:
        if "no transaction is active" not in str(error):
            raise


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn trouble with the file into one line that says what to do; mistakes of ours pass."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if type(error) not in (sqlite3.OperationalError, sqlite3.DatabaseError):
            raise
        raise StoreUnavailable(_explain(path, error)) from error
    except UnicodeDecodeError as error:  # SQLite quotes a damaged schema in what it says
        raise StoreUnavailable(_damaged(path)) from error


def _explain(path: Path, error: sqlite3.Error) -> str:
    text = str(error)
    if _is_busy(error):
        return (
            f"database {path} is locked by another program; close whatever has it open "
            "(an SQLite shell, a copy in progress) and try again"
        )
    if "unable to open" in text:
        if not path.parent.is_dir():
            return f"database {path} cannot be opened: the folder {path.parent} does not exist"
        return f"database {path} cannot be opened: check that its folder exists and is writable"
    if "readonly" in text:
        return f"database {path} cannot be written: make the file and its folder writable"
    if "not a database" in text or "malformed" in text:
        return f"{_damaged(path)} ({text})"
    if "disk is full" in text:
        return f"database {path} cannot grow: the disk is full"
    return f"database {path} cannot be used: {text}"


def _damaged(path: Path) -> str:
    return f"database {path} is damaged or not a database: restore it from a backup"


def _is_busy(error: sqlite3.Error) -> bool:
    return "locked" in str(error) or "busy" in str(error)
