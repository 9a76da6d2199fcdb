"""Checks the activity of generations whose records are in archives that were not given.

The journal has their costs, keys and times, but not their models. So their share of the activity is
checked by time and key: together they cost what is left of the activity after all other calls.
"""

from collections import Counter

from modelgates_server.core.audit.findings import Findings
from modelgates_server.core.metering.generations import ActivityRow
from modelgates_server.core.money import format_pico

Span = tuple[int, str]
"""A span of time as in activity, and the hash of a key."""


class ArchivedActivity:
    """Sums up archived calls, and the part of the activity that the other calls do not explain."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._cost_pico: Counter[Span] = Counter()
        self._calls: Counter[Span] = Counter()
        self._rest_pico: Counter[Span] = Counter()
        self._rest_calls: Counter[Span] = Counter()

    def add(self, span: Span, cost_pico: int) -> None:
        """Adds a charged call."""
        self._cost_pico[span] += cost_pico
        self._calls[span] += 1

    def explains(self, span: Span, subject: str, row: ActivityRow, others: ActivityRow) -> bool:
        """Whether archived calls may be in a row of activity; `others` are the calls of it known.

        Adds a finding if the row has less than these.
        """
        if span not in self._calls:
            return False
        self._rest_pico[span] += row.usage_pico - others.usage_pico
        self._rest_calls[span] += row.requests - others.requests
        for name in ActivityRow.__struct_fields__:
            known, total = getattr(others, name), getattr(row, name)
            if isinstance(known, int) and total < known:
                self._findings.add("I1", f"{name} of {subject}: {total}, less than its generations")
        return True

    def close(self) -> None:
        """Compares the sums of the archived calls with what they have to explain."""
        for span, cost_pico in self._cost_pico.items():
            rest = self._rest_pico[span], self._rest_calls[span]
            if rest != (cost_pico, self._calls[span]):
                self._findings.add(
                    "I1",
                    f"archived generations of key {span[1]} that ended at {span[0]} cost "
                    f"{format_pico(cost_pico)} in {self._calls[span]} calls, but the activity has "
                    f"{format_pico(rest[0])} in {rest[1]}",
                )
