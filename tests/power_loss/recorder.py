"""Records what SQLite asks of its files, through a VFS of APSW below the real store."""

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
    """The name means a new file from here on. Files have numbers: a name may come again."""

    name: str
    file: int


class Delete(NamedTuple):
    name: str


class SyncFolder(NamedTuple):
    """The names that were created and deleted so far are on the disk."""


class Write(NamedTuple):
    file: int
    offset: int
    data: bytes


class Truncate(NamedTuple):
    file: int
    size: int


class Sync(NamedTuple):
    """What was written to the file so far is on the disk."""

    file: int


class Answer(NamedTuple):
    """From here on somebody relies on it."""

    told: Acknowledged


Event = Create | Delete | SyncFolder | Write | Truncate | Sync | Answer


class Recorder(apsw.VFS):
    """One log of all files and answers, in the order in which they happened.

    Several threads add to it. Appending is atomic, and SQLite's locks give each file one writer.
    Pragmas named in `settings` get that value instead of the store's own.
    """

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        super().__init__(name, "")
        self._name = name
        self._settings = settings
        self._files: dict[str, int] = {}
        self._created = 0
        self.log: list[Event] = []

    def connect(self, path: Path) -> "RecordedConnection":
        """The `connect` of `open_store`."""
        return RecordedConnection(path, self._name, self._settings)

    def answer(self, told: Acknowledged) -> None:
        """The `tell` of the clients."""
        self.log.append(Answer(told))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if name is None:  # a temporary file, of which nothing is expected after a power loss
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
    """An open file. What SQLite maps as shared memory is no part of it: recovery starts without."""

    def __init__(
        self, name: str | apsw.URIFilename, flags: list[int], file: int, log: list[Event]
    ) -> None:
        super().__init__("", name, flags)
        self._file = file
        self._log = log
        # SQLite's file layer for Unix syncs the folder at the first sync of a journal it opened.
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
    """A connection of APSW as the store wants one."""

    def __init__(self, path: Path, vfs: str, settings: Mapping[str, str]) -> None:
        self._connection = apsw.Connection(str(path), vfs=vfs)
        self._settings = settings

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        pragma = _PRAGMA.match(sql)
        if pragma and pragma[1] in self._settings:
            sql = f"{pragma[0]}{self._settings[pragma[1]]}"
        with _errors_of_stdlib():
            return self._connection.execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> Any:
        with _errors_of_stdlib():
            return self._connection.executemany(sql, rows)

    def cursor(self) -> Cursor:
        return self._connection.cursor()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _errors_of_stdlib() -> Iterator[None]:
    """The store takes a broken constraint for a hint to look closer."""
    try:
        yield
    except apsw.ConstraintError as error:
        raise sqlite3.IntegrityError(str(error)) from error
