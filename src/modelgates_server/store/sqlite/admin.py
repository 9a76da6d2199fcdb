"""An operator's work on a database file: status, migration, backup."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from modelgates_server.core.errors import DiskFull, InvalidInput
from modelgates_server.store.files import is_full, sync
from modelgates_server.store.sqlite.connection import (
    Connect,
    check_not_lost,
    connect_stdlib,
    explained,
    make_private,
    prepare,
)
from modelgates_server.store.sqlite.reading import readable
from modelgates_server.store.sqlite.schema import (
    Progress,
    migrate,
    newest_version,
    version_of,
)
from modelgates_server.store.sqlite.snapshot import READS

_COUNTS = READS["counts"]
_PAGES_A_STEP = 2048
_ENDINGS = ("", "-journal", "-wal", "-shm")
"""Of the files of a database."""


def status(path: Path) -> dict[str, int | str | bool]:
    """Path, size, schema and row counts, even of a database that needs a migration."""
    with readable(path) as connect, explained(path):
        connection = prepare(connect(path), read_only=True)
        try:
            version = version_of(connection)
            figures: dict[str, int | str | bool] = {
                "path": str(path.resolve()),
                "bytes": path.stat().st_size,
                "sqlite": sqlite3.sqlite_version,
                "schema": version,
                "schema_needed": newest_version(),
            }
            if version:
                names = ("accounts", "keys", "entries", "open_holds")
                figures.update(zip(names, connection.execute(_COUNTS).fetchone(), strict=True))
        finally:
            connection.close()
    return figures


def migrate_file(path: Path, report: Progress = lambda _: None) -> list[int]:
    """Migrate a database, creating it if needed; returns the numbers of applied migrations."""
    check_not_lost(path)
    with explained(path):
        make_private(path)
        connection = prepare(connect_stdlib(path), read_only=False)
        try:
            return migrate(connection, report)
        finally:
            connection.close()


def backup(path: Path, target: Path, on_progress: Callable[[int, int], None]) -> None:
    """Copy a consistent state of the database, even while it is in use, and sync the copy.

    The copy gets its name only when it is complete. An existing file is never overwritten.
    `on_progress` receives the number of copied pages and of all pages.
    """
    if target.exists():
        raise InvalidInput(f"{target} exists. Choose another name, or move the file away.")
    if not target.parent.is_dir():
        raise InvalidInput(f"The folder {target.parent} does not exist. Create it first.")
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with readable(path) as connect:
            _copy(path, connect, partial, on_progress)
        sync(partial)
        give_name(partial, target)
        _sync_name(target)
    except (DiskFull, OSError) as error:
        if isinstance(error, OSError) and not is_full(error):
            raise
        raise DiskFull(
            f"The backup {target} cannot be written because its disk is full. Free some space, or "
            "choose another disk."
        ) from error
    finally:
        for ending in _ENDINGS:
            partial.with_name(f"{partial.name}{ending}").unlink(missing_ok=True)


def _copy(
    path: Path, connect: Connect, partial: Path, on_progress: Callable[[int, int], None]
) -> None:
    with explained(partial):
        make_private(partial)
        copy = sqlite3.connect(partial)
        copy.execute("pragma journal_mode = off").fetchone()
    with (
        explained(path),
        closing(copy),
        closing(prepare(connect(path), read_only=True)) as source,
    ):
        assert isinstance(source, sqlite3.Connection)
        # One snapshot for the whole copy; without it, every other commit would restart the copy.
        source.execute("begin")
        version_of(source)
        source.backup(
            copy,
            pages=_PAGES_A_STEP,
            progress=lambda _, left, total: on_progress(total - left, total),
        )
        copy.execute("pragma journal_mode = delete").fetchone()


def _sync_name(target: Path) -> None:
    try:
        sync(target.parent)
    except OSError:
        target.unlink()  # a power loss could delete it later, so the backup has failed
        raise


def give_name(partial: Path, target: Path) -> None:
    """Name a file without overwriting another: link it, or rename it on systems without links."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise InvalidInput(f"{target} was created meanwhile. Choose another name.") from None
    except OSError:
        partial.rename(target)
