"""SQLite's lock on a database file, seen from outside SQLite, whatever the file contains.

Every process that has a database in WAL mode open holds a shared lock on these bytes, even while it
is idle; the kernel releases the lock when the process ends. Closing any descriptor of a file
releases all locks that the process has on it, so a process must not use these functions while it
has the database open itself.
"""

import fcntl
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelgates_server.core.errors import StoreUnavailable

_FIRST, _COUNT = 0x4000_0000, 512
"""The lock bytes: sqlite.org/fileformat2.html#the_lock_byte_page."""
_FLOCK = "qqihh" if sys.platform == "darwin" else "hhqqi"
"""`struct flock`: on macOS start, length, pid, type, whence; on Linux the last two come first."""


def is_open_elsewhere(path: Path) -> bool:
    """Whether another process has the database open. The file may be read-only."""
    wanted = (fcntl.F_WRLCK, os.SEEK_SET, _FIRST, _COUNT, 0)
    if sys.platform == "darwin":
        wanted = (*wanted[2:], *wanted[:2])
    descriptor = os.open(path, os.O_RDONLY)
    try:
        packed = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_FLOCK, *wanted))
    finally:
        os.close(descriptor)
    found = struct.unpack(_FLOCK, packed[: struct.calcsize(_FLOCK)])
    kind = found[3] if sys.platform == "darwin" else found[0]
    return bool(kind != fcntl.F_UNLCK)


@contextmanager
def exclusively(path: Path) -> Iterator[int]:
    """Keeps all other processes out of the database during a block; yields its descriptor.

    Raises `StoreUnavailable` if one has it open. A process that opens it meanwhile waits.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _COUNT, _FIRST)
        except (BlockingIOError, PermissionError):
            raise in_use(path) from None
        yield descriptor
    finally:
        os.close(descriptor)


def in_use(path: Path) -> StoreUnavailable:
    """Returns the error for a database that another process has open."""
    return StoreUnavailable(
        f"The database {path} is in use. Stop the server, and close every other program that has "
        "the database open, then retry."
    )
