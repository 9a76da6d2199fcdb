"""Keeps one kind of event from flooding the log."""

import asyncio
from collections.abc import Callable


class LineBudget:
    """Admits `most` lines in each window of time, which starts with its first line.

    At the end of a window, `report` receives the number of lines that were left out, if any.
    """

    def __init__(self, most: int, window_s: float, report: Callable[[int], None]) -> None:
        self._most = most
        self._window_s = window_s
        self._report = report
        self._ends_at_s = 0.0
        self._lines = 0

    def admits(self) -> bool:
        """Count one line; returns whether to write it. Needs a running event loop."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if now_s >= self._ends_at_s and self._lines <= self._most:
            self._ends_at_s, self._lines = now_s + self._window_s, 0
        self._lines += 1
        if self._lines == self._most + 1:
            loop.call_at(self._ends_at_s, self._end)
        return self._lines <= self._most

    def _end(self) -> None:
        left_out, self._lines = self._lines - self._most, 0
        self._report(left_out)
