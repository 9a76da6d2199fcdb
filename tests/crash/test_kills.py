from pathlib import Path

from tests.crash.kills import Toll, kill


def test_kill_loses_no_acknowledged_change(tmp_path: Path) -> None:
    toll = Toll()
    kill(tmp_path, 30, 1, toll)
    assert toll.problems == []
    assert toll.kills == 30
    # None of this was by chance: much was acknowledged, and kills struck before an answer was out.
    assert toll.acknowledged > 1000
    assert len(toll.unanswered) > 10
