"""Moves the records of old generations from a database to an archive, while a server runs.

1. Write the records to files, and sync them.
2. Read the files back, and compare every record with the database.
3. Register the archive in the database.
4. Remove the records from the database, in short transactions.

Whenever this stops, the next run continues: it finds the archives that are complete, and those that
the database registered.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from modelgates_server.core.errors import Conflict, InvalidInput, StoreUnavailable
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.archives import Archive
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.times import MS_PER_DAY, parse_day
from modelgates_server.store import rows
from modelgates_server.store.archives import files
from modelgates_server.store.sql import bind, load_statements
from modelgates_server.store.sqlite.connection import (
    Connect,
    Connection,
    check_exists,
    connect_stdlib,
    explained,
    prepare,
    size_of,
    writing,
)
from modelgates_server.store.sqlite.reading import readable
from modelgates_server.store.sqlite.schema import check_version
from modelgates_server.store.sqlite.snapshot import READS, generation_rows

Progress = Callable[[str], None]

_SQL = load_statements(__package__, "archive.sql", rows.STRUCTS)
_PAGE = 1000
_BATCH = 100
"""Records that lose their place in one transaction, which takes a few milliseconds."""

_LOG_MAX_BYTES = 1024 * 1024
_decoder = msgspec.json.Decoder(Generation)


class Name(NamedTuple):
    """The names of a generation, in the order of an archive's lines."""

    account_id: str
    id: str


class ArchiveRun(NamedTuple):
    """What a run did: the archives of earlier runs that it completed, and its own, if any.

    `unreadable` records stay in the database. `ignored` archives in the folder do not match it.
    """

    completed: list[Archive]
    archive: Archive | None
    unreadable: int
    ignored: list[str]


def archive(
    path: Path,
    folder: Path,
    before: str,
    now_ms: int,
    report: Progress,
    connect: Connect = connect_stdlib,
) -> ArchiveRun:
    """Move the records of calls that ended before a UTC date, `2026-09-01`, to a new archive.

    Completes interrupted runs first. Raises `InvalidInput`, `Conflict` or `StoreUnavailable`.
    """
    before_ms = _check_before(before, now_ms)
    files.check_folder(folder)
    with _working(path, folder, now_ms, report, connect) as archiver, _alone(path):
        completed = archiver.complete_interrupted()
        archiver.collect(before_ms)
        manifest = archiver.write(before)
        new = None
        if manifest is not None:
            archiver.check(manifest)
            new = archiver.register(manifest)
            archiver.empty(new)
    return ArchiveRun(completed, new, archiver.unreadable, archiver.ignored)


def count_old(path: Path, before: str, now_ms: int, report: Progress) -> int:
    """The number of records that `archive` would move; changes nothing, like `reading`."""
    before_ms = _check_before(before, now_ms)
    with (
        readable(path) as connect,
        _working(path, path.parent, now_ms, report, connect) as archiver,
    ):
        return archiver.collect(before_ms)


def _check_before(before: str, now_ms: int) -> int:
    before_ms = parse_day(before) * MS_PER_DAY
    if before_ms > now_ms - MS_PER_DAY:
        raise InvalidInput(
            f"{before} is too recent. Clients still repeat calls of the last 24 hours: give a date "
            "that began at least 24 hours ago, in UTC."
        )
    return before_ms


@contextmanager
def _working(
    path: Path, folder: Path, now_ms: int, report: Progress, connect: Connect
) -> Iterator["Archiver"]:
    check_exists(path)
    with explained(path):
        connection = prepare(connect(path), read_only=False)
        try:
            check_version(connection)
            yield Archiver(path, connection, folder, now_ms, report)
        finally:
            connection.close()


class Archiver:
    """Works on one database and one folder. `report` receives what was done so far."""

    def __init__(
        self, path: Path, connection: Connection, folder: Path, now_ms: int, report: Progress
    ) -> None:
        self._connection = connection
        self._log_path = path.with_name(f"{path.name}-wal")
        self._folder = folder
        self._now_ms = now_ms
        self._report = report
        self._rows = generation_rows(connection)
        row = connection.execute(_SQL["database"]).fetchone()
        self._database: str = row[0] if row else ""
        self.unreadable = 0
        self.ignored: list[str] = []

    def collect(self, before_ms: int) -> int:
        """Note the generations to archive; returns their number."""
        execute = self._connection.execute
        execute(_SQL["create_old"])
        page, add = bind(_SQL["ended_holds"]), bind(_SQL["add_old"])
        name, seen, total = Name("", ""), 0, 0
        while True:
            values = {**name._asdict(), "before_ms": before_ms, "limit": _PAGE}
            found = execute(page.sql, [values[each] for each in page.names]).fetchall()
            if not found:
                return total
            execute("begin")
            for account_id, hold_id, ended_at_ms, is_old in found:
                if is_old:
                    values = {"account_id": account_id, "id": hold_id, "ended_at_ms": ended_at_ms}
                    execute(add.sql, [values[each] for each in add.names])
                    total += int(execute("select changes()").fetchone()[0])
            execute("commit")
            name, seen = Name(*found[-1][:2]), seen + len(found)
            self._report(f"{seen} calls looked at, {total} to archive")

    def write(self, before: str) -> files.Manifest | None:
        """Write the collected records to a new archive; None if there are none."""
        taken = {archive.name for archive in self.archives()}
        name = files.free_name(self._folder, before, taken)
        file = files.ArchiveFile(self._folder, name, self._database, self._now_ms)
        try:
            for record, cost_pico, ended_ms in self._old_records():
                file.add(record, cost_pico, ended_ms)
                if file.count % _PAGE == 0:
                    self._report(f"{file.count} records written")
            return file.finish() if file.count else None
        finally:
            file.discard()

    def _old_records(self) -> Iterator[tuple[bytes, int, int]]:
        """JSON, cost and end of each record. Those that cannot be read are counted and stay."""
        name = Name("", "")
        while found := self._connection.execute(_SQL["old_records"], (*name, _PAGE)).fetchall():
            for account_id, generation_id, state, cost_pico, record, packed, ended_ms in found:
                name = Name(account_id, generation_id)
                try:
                    json = self._rows.json_of(generation_id, record, packed)
                    sound = _is_record_of(json, name, state, cost_pico)
                except StoreUnavailable:
                    sound = False
                if sound:
                    yield json, cost_pico, ended_ms
                else:
                    self.unreadable += 1

    def archives(self) -> list[Archive]:
        """The archives that the database knows, oldest first."""
        return [rows.archive_of(row) for row in self._connection.execute(READS["archives"])]

    def complete_interrupted(self) -> list[Archive]:
        """Finish the archives of earlier runs that were stopped; returns them."""
        files.clean_up(self._folder, self._database)
        known = {archive.name: archive for archive in self.archives()}
        found = files.manifests_in(self._folder)
        begun = [archive for archive in known.values() if archive.emptied_at_ms is None]
        for archive in begun:
            if archive.name not in found:
                raise InvalidInput(
                    f"An earlier run did not complete the archive {archive.name}, which is not in "
                    f"{self._folder}. Give the folder with this archive in --to."
                )
            self.check(found[archive.name])
            self.empty(archive)
        for name, manifest in found.items():
            if name not in known and manifest.database == self._database:
                try:
                    self.check(manifest)
                except StoreUnavailable:
                    # Of another state of the database, such as one before a restored backup.
                    self.ignored.append(name)
                    continue
                begun.append(self.register(manifest))
                self.empty(begun[-1])
        return begun

    def check(self, manifest: files.Manifest) -> None:
        """Compare an archive on disk with the database; raises `StoreUnavailable`."""
        path = self._folder / f"{manifest.name}{files.RECORDS}"
        if files.sha256_of(path) != manifest.sha256:
            raise StoreUnavailable(f"The archive {path} is damaged: its SHA-256 has changed.")
        number = next((a.id for a in self.archives() if a.name == manifest.name), None)
        count = 0
        for name, json in _named(files.records_of(self._folder, manifest.name)):
            stored = self._connection.execute(_SQL["stored"], name).fetchone()
            if stored is None or not self._is_same(name, json, stored, number):
                raise StoreUnavailable(
                    f"The archive {path} does not match the database at generation `{name.id}`. "
                    "Nothing more was removed from the database."
                )
            count += 1
            if count % _PAGE == 0:
                self._report(f"{count} of {manifest.generations} records compared")
        if count != manifest.generations:
            raise StoreUnavailable(f"The archive {path} has {count} records, not those it claims.")

    def _is_same(self, name: Name, json: bytes, stored: rows.Row, number: int | None) -> bool:
        """Whether a row still has a record, or has lost it to this very archive."""
        state, cost_pico, record, packed, archive_id = stored
        if archive_id is not None:
            return bool(archive_id == number) and _is_record_of(json, name, state, cost_pico)
        return json == self._rows.json_of(name.id, record, packed)

    def register(self, manifest: files.Manifest) -> Archive:
        """Save an archive whose files are synced."""
        insert = bind(_SQL["add_archive"])
        with writing(self._connection):
            (number,) = self._connection.execute(_SQL["next_archive"]).fetchone()
            archive = manifest.archive(number)
            values = [getattr(archive, name) for name in insert.names]
            self._connection.execute(insert.sql, values)
        return archive

    def empty(self, archive: Archive) -> None:
        """Remove the records of a registered archive, which was compared, from the database."""
        names = (name for name, _ in _named(files.records_of(self._folder, archive.name)))
        done = 0
        while batch := list(islice(names, _BATCH)):
            started = time.monotonic()
            with writing(self._connection):
                for name in batch:
                    stored = self._connection.execute(_SQL["stored"], name).fetchone()
                    if stored[-1] is None:
                        self._connection.execute(_SQL["empty_record"], (archive.id, *name))
            done += len(batch)
            self._report(f"{done} of {archive.generations} records removed from the database")
            self._shorten_log()
            time.sleep(time.monotonic() - started)  # as long for others as for this
        with writing(self._connection):
            self._connection.execute(_SQL["finish_archive"], (self._now_ms, archive.id))

    def _shorten_log(self) -> None:
        """Checkpoint, unless another process reads; see `Writer`."""
        if size_of(self._log_path) > _LOG_MAX_BYTES:
            self._connection.execute("pragma busy_timeout = 0")
            self._connection.execute("pragma wal_checkpoint(truncate)").fetchone()


def _named(records: Iterator[bytes]) -> Iterator[tuple[Name, bytes]]:
    for json in records:
        try:
            generation = _decoder.decode(json)
        except rows.DECODE_ERRORS as error:
            raise rows.damaged("archived record", json[:40], error) from error
        yield Name(generation.account_id, generation.id), json


def _is_record_of(json: bytes, name: Name, state: str, cost_pico: int) -> bool:
    """Whether a record can be a line of an archive, and agrees with its row."""
    try:
        generation = _decoder.decode(json)
    except rows.DECODE_ERRORS:
        return False
    row = (*name, state, cost_pico)
    of = (generation.account_id, generation.id, generation.state.value, generation.cost_pico)
    return row == of and generation.state is not HoldState.OPEN and b"\n" not in json


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other runs on this database out; raises `Conflict`."""
    lock = path.with_name(f"{path.name}-archive.lock")
    descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict("Another `modelgates archive` is at work on this database.") from None
        yield
    finally:
        os.close(descriptor)
