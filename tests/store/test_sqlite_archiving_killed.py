"""Whenever archiving is killed, every record is in the database or in a complete archive."""

import asyncio
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deadlines import DEADLINE_S
from tests.store.archived import (
    ACCOUNTS,
    OLD_IDS,
    complete,
    fill,
    records_in_archives,
    run,
    verified,
)

STEPS_MAX = 60


def archive_until(path: Path, folder: Path, step: int) -> bool:
    """Archives in a process that dies before a step; returns whether it came to its end."""
    command = [sys.executable, "-m", "tests.store.archive_killed"]
    command += [str(path), str(folder), str(step)]
    done = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=False)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr.decode()
    return done.returncode == 0


@pytest.mark.slow
def test_archiving_killed_at_any_step_loses_nothing_and_is_continued(tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    asyncio.run(fill(whole))
    records = complete(whole, tmp_path)
    for step in range(1, STEPS_MAX):
        path, folder = tmp_path / f"{step}.db", tmp_path / str(step)
        shutil.copy(whole, path)
        folder.mkdir()
        if archive_until(path, folder, step):
            assert step > 10
            return
        assert complete(path, folder) == records
        assert verified(path, folder).findings == []
        # Killed again while it continues, and then left alone.
        archive_until(path, folder, 4)
        assert complete(path, folder) == records
        run(path, folder)
        assert complete(path, folder) == records
        archived = sum(map(len, records_in_archives(path, folder)))
        assert archived == len(ACCOUNTS) * len(OLD_IDS)
        assert verified(path, folder).findings == []
        assert not [each for each in folder.iterdir() if each.suffix == ".partial"]
    pytest.fail(f"archiving takes more than {STEPS_MAX} steps")
