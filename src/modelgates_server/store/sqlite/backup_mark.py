"""A file next to the database whose time is that of the newest backup."""

import os
from contextlib import suppress
from pathlib import Path


def mark_backup(path: Path) -> None:
    """Note that a backup has succeeded now. A folder that cannot be written keeps its mark.

    The mark is replaced: the time of a file belongs to its owner, and the backup before may have
    been another user's.
    """
    with suppress(OSError):
        new = _mark(path).with_name(f"{path.name}-backup.{os.getpid()}")
        new.unlink(missing_ok=True)  # of a process that was killed
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        new.replace(_mark(path))


def newest_backup_ms(path: Path) -> int | None:
    """The time of the newest backup that was noted, None if there is none."""
    try:
        return _mark(path).stat().st_mtime_ns // 1_000_000
    except OSError:
        return None


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}-backup")
