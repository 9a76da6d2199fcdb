from pathlib import Path
from signal import SIGKILL, SIGTERM

from tests.crash.calls import Toll, run


def test_kills_under_two_hundred_calls_neither_overspend_nor_lose_nor_invent_money(
    tmp_path: Path,
) -> None:
    toll = Toll()
    run(tmp_path, [SIGKILL, SIGTERM, SIGKILL], 1, toll)
    assert toll.problems == []
    assert toll.kills == 2
    # None of this was by chance: calls were answered, refused, left, cut off and resolved.
    assert toll.answered > 100
    assert min(toll.cut, toll.left, toll.expired) > 0
    assert {200, 402, 403} <= toll.statuses.keys()
