"""What operators do with the database file that the settings name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelgates_server.bootstrap.restoring import Restored, restore_backup
from modelgates_server.store.sqlite import admin


@dataclass(frozen=True, slots=True)
class Database:
    """The operations on a database file; see `store.sqlite.admin`."""

    path: Path
    spool_dir: Path | None = None

    def status(self) -> dict[str, int | str | bool]:
        """Returns figures for people and scripts."""
        return admin.status(self.path)

    def migrate(self) -> list[int]:
        """Migrates the database; returns the numbers of the migrations that this call applied."""
        return admin.migrate_file(self.path)

    def backup(self, target: Path, on_progress: Callable[[int, int], None]) -> None:
        """Writes a consistent copy to a new file."""
        admin.backup(self.path, target, on_progress)

    def restore(self, backup: Path, now_ms: int, on_progress: Callable[[str], None]) -> Restored:
        """Replaces the database by a copy of a backup; see `restore_backup`."""
        spool_folder = self.spool_dir or self.default_spool_dir
        return restore_backup(self.path, backup, spool_folder, now_ms, on_progress)

    @property
    def default_spool_dir(self) -> Path:
        """The folder where ends of calls wait for this database, unless a setting names another."""
        return self.path.with_name(f"{self.path.name}-spool")
