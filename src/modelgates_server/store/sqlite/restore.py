"""Puts a copy of a backup in the place of a database.

`stage` makes the copy next to the database, `put_in_place` gives it the name of the database. A
crash leaves the old file or the new one under that name, never none. What was there is kept under
another name, and only unfinished copies are ever deleted.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelgates_server.core.errors import InvalidInput, StoreDamaged, StoreUnavailable
from modelgates_server.store.files import sync
from modelgates_server.store.sqlite import admin
from modelgates_server.store.sqlite.connection import connect_stdlib, explained, prepare, size_of
from modelgates_server.store.sqlite.locks import exclusively, in_use, is_open_elsewhere
from modelgates_server.store.sqlite.reading import readable
from modelgates_server.store.sqlite.schema import newest_version, version_of

_STAGED = ".restoring"
_LOGS = ("-wal", "-shm", "-journal")
_GIVE_A_BACKUP = "Give the path of a backup."
_CHUNK_BYTES = 1024 * 1024


def check_backup(path: Path, backup: Path) -> int:
    """Returns the schema version of a backup. It may be older than the program's, but not newer.

    Raises `StoreUnavailable` if it is damaged, or not a database of ModelGates.
    """
    if path.exists() and backup.exists() and path.samefile(backup):
        raise InvalidInput(f"{backup} is the database itself. Give the path of a backup.")
    if not size_of(backup):
        raise StoreUnavailable(f"There is no backup at {backup}, or it is empty. {_GIVE_A_BACKUP}")
    with _damage_named(backup), readable(backup) as connect, explained(backup):
        connection = prepare(connect(backup), read_only=True)
        try:
            version = version_of(connection, _GIVE_A_BACKUP)
            if version == 0:
                raise StoreUnavailable(f"{backup} has no ledger. {_GIVE_A_BACKUP}")
            if version > newest_version():
                raise StoreUnavailable(
                    f"{backup} has schema {version}, but this program knows only "
                    f"{newest_version()}. Upgrade ModelGates first."
                )
            problem = connection.execute("pragma integrity_check(1)").fetchone()[0]
        finally:
            connection.close()
    if problem != "ok":
        raise StoreDamaged(f"{backup} is damaged ({problem}). Choose another backup.")
    return version


@contextmanager
def _damage_named(backup: Path) -> Iterator[None]:
    """Names the backup: the advice for a damaged database is to restore a backup."""
    try:
        yield
    except StoreDamaged as error:
        raise StoreDamaged(
            f"The backup {backup} is damaged or not a database. Choose another backup."
        ) from error


def check_not_in_use(path: Path) -> None:
    """Raises `StoreUnavailable` if another process has the database open."""
    if path.exists() and is_open_elsewhere(path):
        raise in_use(path)


@contextmanager
def staged(path: Path, backup: Path, on_progress: Callable[[int, int], None]) -> Iterator[Path]:
    """Copies a backup next to the database, synced; deletes the copy unless it was put in place."""
    _delete_unfinished(path)
    copy = path.with_name(f"{path.name}.{os.getpid()}{_STAGED}")
    try:
        admin.backup(backup, copy, on_progress)
        _give_to_owner(path, copy)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def put_in_place(path: Path, copy: Path, kept: Path) -> bool:
    """Gives a staged copy the name of the database; returns whether there was one to keep.

    Raises `StoreUnavailable` if a process has the database open; then nothing has changed.
    """
    if not path.exists():
        _move_logs(path, kept)
        admin.give_name(copy, path)
        sync(path.parent)
        return False
    check_not_in_use(path)
    if size_of(path):
        _empty_log(path)
    with exclusively(path) as descriptor:
        _keep(path, descriptor, kept)
        # Logs of a database that can be read are empty by now. SQLite would apply others to the
        # new file.
        _move_logs(path, kept)
        copy.rename(path)
        sync(path.parent)
    return True


def has_hold(path: Path, account_id: str, hold_id: str) -> bool:
    """Whether the ledger in a staged copy knows a hold, open or ended."""
    with explained(path), readable(path) as connect:
        connection = connect(path)
        try:
            statement = "select 1 from hold where account_id = ? and id = ?"
            return connection.execute(statement, (account_id, hold_id)).fetchone() is not None
        finally:
            connection.close()


def _delete_unfinished(path: Path) -> None:
    """Deletes what a killed restore left: copies, and second names of the database in place."""
    for copy in path.parent.glob(f"{path.name}.*{_STAGED}*"):
        copy.unlink(missing_ok=True)
    for kept in path.parent.glob(f"{path.name}.before-restore-*"):
        if path.exists() and kept.samefile(path):
            kept.unlink()


def _give_to_owner(path: Path, copy: Path) -> None:
    """Gives a copy that root made to the owner of the database, otherwise of its folder."""
    if os.geteuid() == 0:
        owner = (path if path.exists() else path.parent).stat()
        os.chown(copy, owner.st_uid, owner.st_gid)


def _empty_log(path: Path) -> None:
    """Writes the log into the database, so that the kept file is whole; unless it is damaged."""
    with suppress(StoreDamaged), explained(path):
        connection = prepare(connect_stdlib(path), read_only=False)
        try:
            version_of(connection)
            connection.execute("pragma wal_checkpoint(truncate)").fetchone()
        finally:
            connection.close()


def _keep(path: Path, descriptor: int, kept: Path) -> None:
    """Gives the database a second name; copies it on file systems without links."""
    try:
        os.link(path, kept)
    except FileExistsError:
        raise InvalidInput(f"{kept} exists. Retry in a second.") from None
    except OSError:
        _copy_open(descriptor, kept)
    sync(path.parent)


def _copy_open(descriptor: int, kept: Path) -> None:
    """Copies a file that is open: opening it again and closing it would release the lock."""
    target = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        at = 0
        while chunk := os.pread(descriptor, _CHUNK_BYTES, at):
            at += os.write(target, chunk)
        os.fsync(target)
    finally:
        os.close(target)


def _move_logs(path: Path, kept: Path) -> None:
    for log in _LOGS:
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{log}").rename(kept.with_name(f"{kept.name}{log}"))
    sync(path.parent)
