"""A file that takes up room, so that there is room when the disk is full."""

import os
from pathlib import Path

from modelgates_server.store.files import is_full, locked, sync

BALLAST_BYTES = 8 * 1024 * 1024
_RELEASED_AT_LEAST_BYTES = 256 * 1024
_WRITTEN_AT_ONCE_BYTES = 1024 * 1024


class Ballast:
    """Several processes may share it. Any program may use what is released, so that is little."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def missing_bytes(self) -> int:
        """The bytes that it takes to make it whole; 0 if it is."""
        try:
            return max(0, BALLAST_BYTES - self._path.stat().st_size)
        except FileNotFoundError:
            return BALLAST_BYTES

    def release(self, count: int) -> bool:
        """Free at least `count` bytes, or all that is left; returns whether anything was left."""
        try:
            with locked(self._path, os.O_WRONLY) as descriptor:
                size = os.fstat(descriptor).st_size
                if size:
                    count = max(count, _RELEASED_AT_LEAST_BYTES)
                    os.ftruncate(descriptor, max(0, size - count))
                return size > 0
        except FileNotFoundError:
            return False
        except OSError:  # on some file systems, only deleting works when they are full
            self._path.unlink(missing_ok=True)
            return True

    def fill(self) -> bool:
        """Make it whole, or wait until another process has; returns False if the disk is full.

        Raises other `OSError`s.
        """
        try:
            with locked(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as descriptor:
                _append(descriptor)
                sync(self._path.parent)
        except OSError as error:
            if not is_full(error):
                raise
            return False
        return True


def _append(descriptor: int) -> None:
    """Append random bytes: a file system that compresses would store zeros without taking room."""
    size = before = os.fstat(descriptor).st_size
    try:
        while size < BALLAST_BYTES:
            random = os.urandom(min(BALLAST_BYTES - size, _WRITTEN_AT_ONCE_BYTES))
            size += os.write(descriptor, random)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)  # the last bytes of a disk are worth more to the database
        raise
