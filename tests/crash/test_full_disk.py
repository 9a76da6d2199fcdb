from pathlib import Path

from tests.crash.full_disk import Tally, run


def test_full_disk_and_kill_lose_no_acknowledged_call(tmp_path: Path) -> None:
    tally = Tally()
    run(tmp_path, 4, 1, tally, unread_every=0)
    assert tally.problems == []
    assert tally.lost == 0
    assert tally.acknowledged > 20
    assert 0 < tally.kills < tally.rounds
