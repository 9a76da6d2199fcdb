"""The port `Disk`: room on the file systems of the database and the spool."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

from modelgates_server.core.errors import DiskFull
from modelgates_server.service.part_states import PartState, Status
from modelgates_server.store.ballast import Ballast

FLOOR_MAX_BYTES = 64 * 1024 * 1024
_FLOOR_SHARE = 100
"""The floor is one part in this many of a disk, if that is less."""

_CLOSED_AT_LEAST_S = 3
"""A user may have a limit on a disk that has room, so only a write shows that it is reached."""

_FILL_EVERY_S = 10

SPOOL = "spool"
"""The name of the file system with the ballast."""

_NEARLY_FULL = "A disk is full or nearly full: no new calls are accepted."


class DiskRoom:
    """Measures with `check`; until the first time, there is room.

    There is room if each file system has more than its floor and the ballast is whole. `folders`
    has the file systems by name.
    """

    def __init__(self, folders: Mapping[str, Path], ballast: Ballast) -> None:
        self._folders = folders
        self._ballast = ballast
        self._shortage = ""
        self._closed_until_s = self._fill_again_at_s = 0.0
        self._free_bytes: dict[str, int] = {}

    def require_room(self) -> None:
        """See `Disk.require_room`."""
        if self._shortage:
            raise DiskFull(self._shortage)

    def met_full(self) -> None:
        """See `Disk.met_full`."""
        self._shortage = self._shortage or "A write has just failed because the disk is full."
        self._closed_until_s = time.monotonic() + _CLOSED_AT_LEAST_S

    def make_room(self, count: int) -> bool:
        """Release bytes of the ballast after a write of the spool has failed; see `Ballast`."""
        self.met_full()
        return self._ballast.release(count)

    def free_bytes(self) -> Mapping[str, int]:
        """Free bytes by the name of the file system, when they were last measured."""
        return dict(self._free_bytes)

    async def check(self) -> PartState:
        """Measure, make the ballast whole if there is room for it, and report."""
        try:
            shortage = await asyncio.to_thread(self._measure)
        except OSError as error:
            return PartState(Status.WARNING, "The free space of a disk is unknown.", str(error))
        if shortage or time.monotonic() >= self._closed_until_s:
            self._shortage = shortage
        if not self._shortage:
            return PartState(Status.OK)
        return PartState(Status.UNAVAILABLE, _NEARLY_FULL, self._shortage)

    def _measure(self) -> str:
        """Return the shortage, empty if there is none."""
        shortages = [self._shortage_of(name, folder) for name, folder in self._folders.items()]
        return " ".join(filter(None, shortages)) or self._shortage_of_ballast()

    def _shortage_of(self, name: str, folder: Path) -> str:
        found = os.statvfs(folder)
        free = self._free_bytes[name] = found.f_bavail * found.f_frsize
        floor = min(FLOOR_MAX_BYTES, found.f_blocks * found.f_frsize // _FLOOR_SHARE)
        if name == SPOOL:
            floor += self._ballast.missing_bytes()
        if free >= floor:
            return ""
        return f"The disk of the {name} has {free} free bytes and needs {floor}. Free some space."

    def _shortage_of_ballast(self) -> str:
        """Make the ballast whole, unless a limit of the user forbids what the disk has room for."""
        if not self._ballast.missing_bytes():
            return ""
        if time.monotonic() >= self._fill_again_at_s:
            if self._ballast.fill():
                return ""
            self._fill_again_at_s = time.monotonic() + _FILL_EVERY_S
        return (
            "The spool cannot grow: its disk is full, or at a limit of its user. Free some space."
        )
