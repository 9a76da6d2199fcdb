"""What operators do with the database file that the settings name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelgates_server.store.sqlite import admin


@dataclass(frozen=True, slots=True)
class Database:
    """The operations on a database file; see `store.sqlite.admin`."""

    path: Path

    def status(self) -> dict[str, int | str | bool]:
        """Returns figures for people and scripts."""
        return admin.status(self.path)

    def migrate(self) -> list[int]:
        """Migrates the database; returns the numbers of the migrations that this call applied."""
        return admin.migrate_file(self.path)

    def backup(self, target: Path, on_progress: Callable[[int, int], None]) -> None:
        """Writes a consistent copy to a new file."""
        admin.backup(self.path, target, on_progress)

    @property
    def default_spool_dir(self) -> Path:
        """The folder where ends of calls wait for this database, unless a setting names another."""
        return self.path.with_name(f"{self.path.name}-spool")
