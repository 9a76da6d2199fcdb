"""Files that must survive a power loss, and disks that are full."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}


def sync(path: Path) -> None:
    """Sync a file, or the names in a folder, to disk; raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder for its owner alone, and its parents, so that a power loss keeps them.

    An existing folder is synced too: the process that created it may have died before.
    """
    missing = [parent for parent in folder.parents if not parent.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for created in missing:
        sync(created.parent)
    with suppress(PermissionError):  # a parent that others own can be unreadable
        sync(folder.parent)


def is_full(error: OSError) -> bool:
    """Whether an operation failed because the disk is full, or its user has reached a limit."""
    return error.errno in _FULL


@contextmanager
def locked(path: Path, flags: int) -> Iterator[int]:
    """Open a file once no other process has it locked; yields its descriptor. Raises `OSError`.

    The lock ends with the block, or with the process.
    """
    descriptor = os.open(path, flags, 0o600)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
