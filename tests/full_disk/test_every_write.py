import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deadlines import DEADLINE_S
from tests.full_disk.disk import SmallDisk
from tests.server import open_customer_now

ROOT = Path(__file__).resolve().parents[2]


def printed(disk: SmallDisk, module: str, *arguments: Path) -> list[str]:
    """The lines that a module prints when it runs on a small disk."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **disk.environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT], ids=["disk", "quota"])
def test_disk_that_is_full_from_any_write_on_loses_nothing_acknowledged(
    tmp_path: Path, error: int
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    disk = SmallDisk(data, tmp_path / "control")
    disk.set(error=error)
    counts = json.loads(printed(disk, "tests.full_disk.every_write", data)[-1])
    assert counts["rounds"] > 30
    assert min(counts[f"{each} acknowledged"] for each in ("call", "key", "grant")) > 3
    assert min(counts[f"{each} rejected"] for each in ("call", "key", "grant")) > 10


def test_backup_to_a_full_disk_names_the_backup_and_leaves_nothing_behind(
    tmp_path: Path, sqlite_path: Path
) -> None:
    open_customer_now(sqlite_path)
    folder = tmp_path / "backups"
    folder.mkdir()
    disk = SmallDisk(folder, tmp_path / "control")
    lines = printed(disk, "tests.full_disk.every_backup", sqlite_path, folder)
    failures = [json.loads(line) for line in lines]
    assert len(failures) > 20
    assert [failure["left"] for failure in failures] == [[]] * len(failures)
    full = [
        each for each in failures if f"{folder / 'copy.db'} cannot be written" in each["reason"]
    ]
    assert len(full) > 20
    assert all("its disk is full" in each["reason"] for each in full)
    disk.free()
    assert [each.name for each in folder.iterdir()] == ["copy.db"]
