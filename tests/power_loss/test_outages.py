import random
from pathlib import Path

import pytest

from tests.power_loss.outages import cut, record
from tests.power_loss.recorder import Acknowledgment, Event, Sync

OUTAGES = 400
MAIN_FILE = 1  # files are numbered as they are created


def acknowledgments(log: list[Event]) -> int:
    return sum(isinstance(event, Acknowledgment) for event in log)


def checkpoints(log: list[Event]) -> int:
    return log.count(Sync(MAIN_FILE))


@pytest.mark.parametrize("seed", range(5))
async def test_power_failure_loses_no_acknowledged_change(tmp_path: Path, seed: int) -> None:
    log = await record(tmp_path, seed)
    assert acknowledgments(log) > 100
    assert checkpoints(log) > 4
    loss = await cut(log, tmp_path / "after", random.Random(seed), OUTAGES)
    assert loss.problems == []
    assert (loss.outages, loss.losing, loss.lost) == (OUTAGES, 0, 0)


async def test_missing_sync_is_detected(tmp_path: Path) -> None:
    """With a setting that does not sync every commit, the same outages must lose some changes.

    SQLite promises a valid file even then: if a file is damaged, the simulated outage is wrong.
    """
    log = await record(tmp_path, seed=0, synchronous="normal")
    assert checkpoints(log) > 4
    loss = await cut(log, tmp_path / "after", random.Random(0), 200)
    assert loss.problems == []
    assert loss.losing > 20
