"""Builds the folders where ends of calls wait, for the server and for `modelgates spool`."""

from typing import NamedTuple

from modelgates_server.bootstrap import database
from modelgates_server.settings import Settings
from modelgates_server.store.ballast import Ballast
from modelgates_server.store.disk import SPOOL, DiskRoom
from modelgates_server.store.emergency import emergency_folder
from modelgates_server.store.end_lines import ends_in
from modelgates_server.store.spool import FolderSpool

__all__ = ["SpoolFolders", "ends_in", "spool_folders"]


class SpoolFolders(NamedTuple):
    """The spool, the emergency folder if there is one, and the disks of database and spool."""

    spool: FolderSpool
    emergency: FolderSpool | None
    disk: DiskRoom

    def by_name(self) -> dict[str, FolderSpool]:
        """The folders by the names that commands show."""
        folders = {"spool": self.spool, "emergency": self.emergency}
        return {name: folder for name, folder in folders.items() if folder is not None}


def spool_folders(settings: Settings) -> SpoolFolders:
    """Returns the folders that the settings name. It touches no file."""
    file = database(settings)
    folder = settings.spool_dir or file.default_spool_dir
    disk = DiskRoom({"database": file.path.parent, SPOOL: folder}, Ballast(folder / "ballast"))
    return SpoolFolders(
        FolderSpool(folder, make_room=disk.make_room),
        None if settings.emergency_dir is None else emergency_folder(settings.emergency_dir),
        disk,
    )
