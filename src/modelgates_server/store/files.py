"""Files that must survive a power loss."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Sync a file, or the names in a folder, to disk; raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
