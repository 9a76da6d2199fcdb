"""The lines of a window that are left out are counted, and the next window starts afresh."""

from modelgates_server.telemetry.line_budget import LineBudget
from tests.gateway import until


async def test_lines_that_are_left_out_are_reported_at_the_end_of_the_window() -> None:
    reported: list[int] = []
    budget = LineBudget(1, 0.05, reported.append)
    admitted = [budget.admits() for _ in range(1000)]
    assert admitted[0]
    await until(lambda: admitted.count(True) + sum(reported) == 1000)
    assert reported


async def test_first_line_of_the_next_window_is_admitted() -> None:
    reported: list[int] = []
    budget = LineBudget(2, 0.01, reported.append)
    for _ in range(100):
        budget.admits()
    await until(lambda: bool(reported))
    await until(budget.admits)


async def test_nothing_is_reported_when_nothing_was_left_out() -> None:
    reported: list[int] = []
    budget = LineBudget(2, 3600, reported.append)
    assert [budget.admits(), budget.admits(), budget.admits()] == [True, True, False]
    assert reported == []
