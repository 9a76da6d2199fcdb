"""Opens a database for commands that only read: they change no file, and need no write permission.

SQLite needs a `-shm` file to read a database in WAL mode, recovers the log of a crashed process on
opening it, and writes the log into the database on closing it. So a database that no process has
open, and that has a log or is read-only, is copied first, and the copy is read. `immutable=1` would
need no copy, but would ignore the log, and a process that starts to write.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from urllib.parse import quote

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.store.sqlite.connection import (
    Connect,
    Connection,
    check_exists,
    connect_stdlib,
    explained,
    prepare,
    size_of,
)
from modelgates_server.store.sqlite.locks import is_open_elsewhere
from modelgates_server.store.sqlite.schema import check_version, version_of
from modelgates_server.store.sqlite.store import SqliteStore
from modelgates_server.store.sqlite.writer import BatchLimits

_LOGS = ("-wal", "-journal")
_TRIES = 3
_WRITE_AHEAD = b"\x02\x02"
_VERSIONS_AT = 18
"""Where the header says that the file is in WAL mode: sqlite.org/fileformat2.html, 1.3.3."""


@contextmanager
def readable(path: Path) -> Iterator[Connect]:
    """Yields the function that connects to the database, or to a copy, for the length of a block.

    Raises `StoreUnavailable` if there is no database.
    """
    check_exists(path)
    path = path.resolve()  # SQLite keeps the other files next to the file that a link names
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    if is_open_elsewhere(path):
        yield connect_stdlib if writable else _connect_read_only
    elif any(size_of(_beside(path, log)) for log in _LOGS) or (not writable and _has_log(path)):
        with TemporaryDirectory(prefix="modelgates-read-") as folder:
            copy = Path(folder) / "copy.db"
            _copy_unchanged(path, copy)
            yield lambda _: connect_stdlib(copy)
    else:
        # In WAL mode, SQLite creates the other files for as long as the database is open.
        yield connect_stdlib if _has_log(path) else _connect_read_only


@contextmanager
def open_reader(path: Path) -> Iterator[SqliteStore]:
    """Opens a store that is only read, for the length of a block.

    Raises `StoreUnavailable`, also for a database with another schema.
    """
    with readable(path) as connect, explained(path):
        reader = prepare(connect(path), read_only=True)
        try:
            check_version(reader)
            yield SqliteStore(path, connect, reader, BatchLimits())
        finally:
            reader.close()


@contextmanager
def held_open(path: Path) -> Iterator[None]:
    """Keeps the database open for the length of a block, so that `db restore` sees that it is used.

    Server processes come and go; the one that starts them holds this.
    """
    with explained(path):
        connection = prepare(connect_stdlib(path), read_only=True)
    with closing(connection):
        with explained(path):
            version_of(connection)  # SQLite takes its lock on the first read
        yield


def _connect_read_only(path: Path) -> Connection:
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?mode=ro",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
    )


def _has_log(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(_VERSIONS_AT)
        return file.read(len(_WRITE_AHEAD)) == _WRITE_AHEAD


def _beside(path: Path, log: str) -> Path:
    return path.with_name(f"{path.name}{log}")


def _copy_unchanged(path: Path, copy: Path) -> None:
    """Copies the file and its logs as of one moment: again, if a process writes meanwhile."""
    for _ in range(_TRIES):
        before = _state(path)
        try:
            shutil.copyfile(path, copy)
            for log in _LOGS:
                if size_of(_beside(path, log)):
                    shutil.copyfile(_beside(path, log), _beside(copy, log))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreUnavailable(
                f"The database {path} is read from a copy, and {gettempdir()} has no room for "
                "one. Set `TMPDIR` to a folder with more room."
            ) from error
        if _state(path) == before and not is_open_elsewhere(path):
            return
    raise StoreUnavailable(f"The database {path} changed while it was copied. Retry.")


def _state(path: Path) -> list[tuple[int, int, int] | None]:
    files = (path, *(_beside(path, log) for log in _LOGS))
    stats = [file.stat() if file.exists() else None for file in files]
    return [stat and (stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]
