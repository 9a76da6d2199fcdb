"""A file next to the database whose time is that of the newest backup."""

from contextlib import suppress
from pathlib import Path


def mark_backup(path: Path) -> None:
    """Note that a backup has succeeded now. A database that cannot be written has no mark."""
    with suppress(OSError):
        mark = _mark(path)
        mark.touch(mode=0o600)


def newest_backup_ms(path: Path) -> int | None:
    """The time of the newest backup that was noted, None if there is none."""
    try:
        return _mark(path).stat().st_mtime_ns // 1_000_000
    except OSError:
        return None


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}-backup")
