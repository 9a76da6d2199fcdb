"""Records the file operations of SQLite, through an APSW VFS below the real store."""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from modelgates_server.store.sqlite.connection import Cursor, Parameters
from tests.crash.acknowledged import Acknowledged

_PRAGMA = re.compile(r"pragma (\w+) = ")


class Create(NamedTuple):
    """From here on, the name means a new file. Files have numbers, because names are reused."""

    name: str
    file: int


class Delete(NamedTuple):
    name: str


class SyncFolder(NamedTuple):
    """All names created or deleted so far are on the disk."""


class Write(NamedTuple):
    file: int
    offset: int
    data: bytes


class Truncate(NamedTuple):
    file: int
    size: int


class Sync(NamedTuple):
    """Everything written to the file so far is on the disk."""

    file: int


class Acknowledgment(NamedTuple):
    """From here on, a client relies on the change."""

    change: Acknowledged


Event = Create | Delete | SyncFolder | Write | Truncate | Sync | Acknowledgment


class Recorder(apsw.VFS):
    """One log of all file operations and acknowledgments, in their order.

    Several threads append to it. Appending is atomic, and SQLite's locks give each file one writer.
    Pragmas named in `settings` get that value instead of the store's.
    """

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        super().__init__(name, "")
        self._name = name
        self._settings = settings
        self._files: dict[str, int] = {}
        self._created = 0
        self.log: list[Event] = []

    def connect(self, path: Path) -> "RecordedConnection":
        """The `connect` argument of `open_store`."""
        return RecordedConnection(path, self._name, self._settings)

    def acknowledge(self, change: Acknowledged) -> None:
        """The `report` argument of the clients."""
        self.log.append(Acknowledgment(change))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if name is None:  # a temporary file, which need not survive a power failure
            return super().xOpen(name, flags)
        path = name if isinstance(name, str) else name.filename()
        if path not in self._files:
            self._created += 1
            self._files[path] = self._created
            self.log.append(Create(Path(path).name, self._created))
        return RecordedFile(name, flags, self._files[path], self.log)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        del self._files[filename]
        self.log.append(Delete(Path(filename).name))
        if syncdir:
            self.log.append(SyncFolder())


class RecordedFile(apsw.VFSFile):
    """An open file. SQLite's shared memory is not part of it: recovery starts without that."""

    def __init__(
        self, name: str | apsw.URIFilename, flags: list[int], file: int, log: list[Event]
    ) -> None:
        super().__init__("", name, flags)
        self._file = file
        self._log = log
        # On Unix, SQLite syncs the folder at the first sync of a journal that it opened.
        journal = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
        self._folder_is_due = bool(flags[0] & journal)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._log.append(Write(self._file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._log.append(Truncate(self._file, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._log.append(Sync(self._file))
        if self._folder_is_due:
            self._log.append(SyncFolder())
            self._folder_is_due = False


class RecordedConnection:
    """An APSW connection with the interface that the store needs."""

    def __init__(self, path: Path, vfs: str, settings: Mapping[str, str]) -> None:
        self._connection = apsw.Connection(str(path), vfs=vfs)
        self._settings = settings

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        pragma = _PRAGMA.match(sql)
        if pragma and pragma[1] in self._settings:
            sql = f"{pragma[0]}{self._settings[pragma[1]]}"
        with _errors_of_stdlib():
            return self._connection.execute(sql, parameters)

    def interrupt(self) -> None:
        self._connection.interrupt()

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> Any:
        with _errors_of_stdlib():
            return self._connection.executemany(sql, rows)

    def cursor(self) -> Cursor:
        return self._connection.cursor()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _errors_of_stdlib() -> Iterator[None]:
    """Raises the standard library's error, on which the store checks the references of a batch."""
    try:
        yield
    except apsw.ConstraintError as error:
        raise sqlite3.IntegrityError(str(error)) from error
