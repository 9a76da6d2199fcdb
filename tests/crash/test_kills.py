from pathlib import Path

from tests.crash.kills import Tally, kill


def test_kill_loses_no_acknowledged_change(tmp_path: Path) -> None:
    tally = Tally()
    kill(tmp_path, 30, 1, tally)
    assert tally.problems == []
    assert tally.kills == 30
    # The test covers both: many changes were acknowledged, and kills cut off some acknowledgments.
    assert tally.acknowledged > 1000
    assert len(tally.unreported) > 10
