"""The operators' work on the database file that the settings name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelgates_server.bootstrap.restoring import Restored, restore_backup
from modelgates_server.store.archives.folder import ArchiveFolder
from modelgates_server.store.spool import FolderSpool
from modelgates_server.store.sqlite import admin, compacting
from modelgates_server.store.sqlite.backup_mark import mark_backup

if TYPE_CHECKING:
    from modelgates_server.store.sqlite import archiving


def archive_folder(folder: Path) -> ArchiveFolder:
    """Returns the archives of a folder; raises `InvalidInput` if it does not exist."""
    return ArchiveFolder(folder)


@dataclass(frozen=True, slots=True)
class Database:
    """The operations on a database file; see `store.sqlite.admin`."""

    path: Path
    spool_dir: Path | None = None
    emergency_dir: Path | None = None

    def status(self) -> dict[str, int | str | bool]:
        """Returns figures for people and scripts."""
        return admin.status(self.path)

    def migrate(self, report: Callable[[str], None]) -> list[int]:
        """Migrates the database; returns the numbers of the migrations that this call applied.

        `report` receives what was done so far.
        """
        return admin.migrate_file(self.path, report)

    def backup(self, target: Path, on_progress: Callable[[int, int], None]) -> None:
        """Writes a consistent copy to a new file."""
        admin.backup(self.path, target, on_progress)
        mark_backup(self.path)

    def restore(self, backup: Path, now_ms: int, on_progress: Callable[[str], None]) -> Restored:
        """Replaces the database by a copy of a backup; see `restore_backup`."""
        from modelgates_server.store.emergency import (  # noqa: PLC0415 - see `cli.wiring`
            emergency_folder,
        )

        spools = [FolderSpool(self.spool_dir or self.default_spool_dir)]
        if self.emergency_dir is not None:
            spools.append(emergency_folder(self.emergency_dir))
        return restore_backup(self.path, backup, spools, now_ms, on_progress)

    def archive(
        self, folder: Path, before: str, now_ms: int, report: Callable[[str], None]
    ) -> "archiving.ArchiveRun":
        """Moves the records of old calls to an archive; see `store.sqlite.archiving`."""
        from modelgates_server.store.sqlite import archiving  # noqa: PLC0415 - needs a Unix

        return archiving.archive(self.path, folder, before, now_ms, report)

    def count_old_records(self, before: str, now_ms: int, report: Callable[[str], None]) -> int:
        """Returns the number of records that `archive` would move."""
        from modelgates_server.store.sqlite import archiving  # noqa: PLC0415 - needs a Unix

        return archiving.count_old(self.path, before, now_ms, report)

    def compact(self) -> tuple[int, int]:
        """Gives free space back to the disk; returns the bytes before and after."""
        return compacting.compact(self.path)

    @property
    def default_spool_dir(self) -> Path:
        """The folder where ends of calls wait for this database, unless a setting names another."""
        return self.path.with_name(f"{self.path.name}-spool")
