import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deadlines import DEADLINE_S
from tests.full_disk.disk import SmallDisk

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT], ids=["disk", "quota"])
def test_disk_that_is_full_from_any_write_on_loses_nothing_acknowledged(
    tmp_path: Path, error: int
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    disk = SmallDisk(data, tmp_path / "control")
    disk.set(error=error)
    done = subprocess.run(
        [sys.executable, "-m", "tests.full_disk.every_write", data],
        cwd=ROOT,
        env={**os.environ, **disk.environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["rounds"] > 30
    assert min(counts[f"{each} acknowledged"] for each in ("call", "key", "grant")) > 3
    assert min(counts[f"{each} rejected"] for each in ("call", "key", "grant")) > 10
