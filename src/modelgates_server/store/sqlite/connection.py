"""Opens a SQLite file so that acknowledged means synced, and explains failures clearly."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from modelgates_server.core.errors import DiskFull, StoreDamaged, StoreUnavailable
from modelgates_server.store.files import is_full

Parameters = Sequence[Any]

_WAIT_MS = 5000
_READ_WAIT_MS = 250
_RETRY_S = 0.0005
_FULL = "disk is full"
"""Part of SQLite's message."""


class Cursor(Protocol):
    """Runs a statement and holds its rows."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> "Cursor":
        """Run one statement."""

    def fetchone(self) -> Any:
        """The next row or None."""

    def fetchall(self) -> list[Any]:
        """The remaining rows."""

    def __iter__(self) -> Iterator[Any]:
        """The remaining rows, one at a time."""


class Connection(Protocol):
    """The methods of a connection that the store uses; the power-loss test has its own."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> Any:
        """Run one statement for each row."""

    def cursor(self) -> Cursor:
        """A cursor to reuse."""

    def interrupt(self) -> None:
        """Make the statement that runs on another thread fail."""

    def close(self) -> None:
        """Release the file."""


Connect = Callable[[Path], Connection]


def connect_stdlib(path: Path) -> sqlite3.Connection:
    """A connection without implicit transactions that another thread may use."""
    return sqlite3.connect(
        path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
    )


def inode_of(path: Path) -> int:
    """The inode of the file at a path, 0 if there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def size_of(path: Path) -> int:
    """The size of a file in bytes, 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def check_exists(path: Path) -> None:
    """Raise `StoreUnavailable` if the database does not exist or is empty."""
    if not size_of(path):
        raise StoreUnavailable(
            f"There is no database at {path}. Create one with `modelgates account create` or "
            "`modelgates db migrate`, or set MODELGATES_DATABASE_URL to another."
        )


def check_not_lost(path: Path) -> None:
    """Raise `StoreUnavailable` if there is no database, or an empty one, in the place of another.

    A new one would reject every key, and SQLite would delete the log, which has acknowledged
    changes.
    """
    if size_of(path):
        return
    for log, is_left in (("wal", size_of), ("backup", Path.exists)):
        remains = path.with_name(f"{path.name}-{log}")
        if is_left(remains):
            raise StoreUnavailable(
                f"The database {path} is missing or empty, but {remains.name} shows that there was "
                "one. Restore a backup with `modelgates db restore FILE`, or move "
                f"{remains.name} away to start with an empty ledger."
            )


def moved(path: Path) -> StoreUnavailable:
    """The error for a database file that was moved or replaced, which the caller raises."""
    error = StoreUnavailable(
        f"The database {path} was moved or replaced while in use. Put it back, or restart the "
        "server to use the new file."
    )
    error.cause = "The database was moved or replaced while in use."
    return error


def make_private(path: Path) -> None:
    """Create the file readable only by its owner; SQLite gives its other files the same mode.

    A file that exists is not opened: closing it would release this process's locks on it.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:  # SQLite reports other problems next
        if is_full(error):
            raise DiskFull(f"{path} cannot be created because the disk is full.") from error


def prepare(connection: Connection, *, read_only: bool) -> Connection:
    """Configure a connection: full sync, foreign keys, no trust in the file's schema."""
    execute = connection.execute
    # A process that creates the file, recovers it or closes it last briefly locks out all others.
    # Readers run on the event loop, so they wait only briefly, and never for a writer.
    execute(f"pragma busy_timeout = {_READ_WAIT_MS if read_only else _WAIT_MS}")
    execute("pragma synchronous = full")
    execute("pragma fullfsync = on")  # on macOS, plain fsync leaves data in the drive's cache
    execute("pragma checkpoint_fullfsync = on")
    execute("pragma wal_autocheckpoint = 0")  # see `Writer._shorten_log`
    execute("pragma foreign_keys = on")
    execute("pragma trusted_schema = off")
    execute("pragma cell_size_check = on")
    if read_only:
        execute("pragma query_only = on")
    return connection


def insist(connection: Connection, sql: str) -> Cursor:
    """Run a statement as soon as the other processes on the file allow it.

    SQLite's busy handler sleeps for up to 100 ms between tries, which starves one of two busy
    processes (measured: 1 turn to 1,577), and it does not wait at all if several processes change
    the journal mode. Short, regular retries let processes take turns.
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
    """Start a write transaction, unless another process has one open; returns whether it did."""
    try:
        connection.execute("begin immediate")
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise
        return False
    return True


def begin_write(connection: Connection) -> None:
    """Start a write transaction once the other processes on the file have ended theirs."""
    insist(connection, "begin immediate")


@contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """A write transaction: committed and synced when the block ends, rolled back if it raises."""
    begin_write(connection)
    try:
        yield
        connection.execute("commit")
    except BaseException:
        undo(connection)
        raise


def undo(connection: Connection) -> None:
    """Roll back, even if SQLite has already done so after an I/O error."""
    try:
        connection.execute("rollback")
    except sqlite3.OperationalError as error:
        if "no transaction is active" not in str(error):
            raise


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn problems with the file into one line that says what to do; bugs are raised as usual."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if type(error) not in (sqlite3.OperationalError, sqlite3.DatabaseError):
            raise
        raise _explained(path, error) from error
    except UnicodeDecodeError as error:  # SQLite quotes a damaged schema in its message
        raise damaged(path, "its schema is not UTF-8") from error


_TROUBLE = (
    (
        ("locked", "busy"),
        "is locked by another program",
        "Close the program that has it open (an SQLite shell, a copy in progress), and retry.",
    ),
    (("unable to open",), "cannot be opened", "Make sure that its folder is writable."),
    (("readonly",), "cannot be written", "Make the file and its folder writable."),
)
"""Words of SQLite, what they mean for the database, and what to do."""


def _explained(path: Path, error: sqlite3.Error) -> StoreUnavailable:
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return damaged(path, text)
    if _FULL in text:
        return DiskFull(
            f"The database {path} cannot grow because the disk is full. Free some space."
        )
    for words, cause, advice in _TROUBLE:
        if any(word in text for word in words):
            explained_error = StoreUnavailable(f"The database {path} {cause}. {advice}")
            if "open" in cause and not path.parent.is_dir():
                explained_error = StoreUnavailable(
                    f"The database {path} {cause}: the folder {path.parent} does not exist."
                )
            explained_error.cause = f"The database {cause}."
            return explained_error
    return StoreUnavailable(f"The database {path} cannot be used: {text}")


def damaged(path: Path, reason: str) -> StoreDamaged:
    """The error for a damaged file, which the caller raises."""
    return StoreDamaged(
        f"The database {path} is damaged or not a database ({reason}). Restore it from a backup."
    )


def _is_busy(error: sqlite3.Error) -> bool:
    return "locked" in str(error) or "busy" in str(error)
