from pathlib import Path
from signal import SIGKILL, SIGTERM

from tests.crash.calls import Tally, run


def test_kills_under_calls_neither_overspend_nor_lose_nor_create_credits(
    tmp_path: Path,
) -> None:
    tally = Tally()
    run(tmp_path, [SIGKILL, SIGTERM, SIGKILL], 1, tally)
    assert tally.problems == []
    assert tally.kills == 2
    # The test covers every outcome: calls were completed, refused, left, cut off and resolved.
    assert tally.completed > 100
    assert min(tally.cut, tally.left, tally.expired) > 0
    assert {200, 402, 403} <= tally.statuses.keys()
