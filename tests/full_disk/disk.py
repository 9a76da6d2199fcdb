"""A disk with little room for the files below one folder, as some processes see it.

A library that is loaded before all others makes every call fail that needs room: to write, sync,
grow, create or rename. Unlike a small file system, it needs no rights, and it can fail at any one
call.
"""

import errno
import functools
import mmap
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.deadlines import DEADLINE_S

_SOURCE = Path(__file__).with_name("shim.c")
_FIGURES = ("room", "size", "passes", "calls", "failed", "error")
_UNLIMITED = -1
_MIB = 1024 * 1024
_SIZE = 1024 * _MIB


@functools.cache
def _library() -> Path:
    """Compiles the library, once in a test process; skips the test where that is impossible."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler for the library that makes writes fail")
    built = Path(tempfile.mkdtemp(prefix="modelgates-full-disk-")) / "shim.so"
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", built, _SOURCE, "-ldl"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the library that makes writes fail needs Linux: {done.stderr[:200]}")
    return built


class Figures:
    """The figures in a control file, which all processes on the disk share."""

    def __init__(self, control: Path) -> None:
        with control.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def set(self, **figures: int) -> None:
        """Sets figures: bytes of `room` and `size`, `passes` before all calls fail, the `error`."""
        for name, value in figures.items():
            struct.pack_into("q", self._memory, 8 * _FIGURES.index(name), value)

    def get(self, name: str) -> int:
        """Returns a figure, such as the number of `calls` so far and of those that `failed`."""
        (value,) = struct.unpack_from("q", self._memory, 8 * _FIGURES.index(name))
        return int(value)

    def fill(self) -> None:
        """Leaves no room at all."""
        self.set(room=0)

    def free(self) -> None:
        """Makes the disk as large as the real one, and every call succeed."""
        self.set(room=_UNLIMITED, passes=_UNLIMITED)


class SmallDisk(Figures):
    """The disk of a folder. `environment` is for the processes that have it."""

    def __init__(self, folder: Path, control: Path) -> None:
        control.write_bytes(bytes(8 * len(_FIGURES)))
        super().__init__(control)
        self.environment = {
            "LD_PRELOAD": str(_library()),
            "FULL_DISK_FOLDER": str(folder),
            "FULL_DISK_CONTROL": str(control),
        }
        self.set(room=_UNLIMITED, size=_SIZE, passes=_UNLIMITED, error=errno.ENOSPC)
