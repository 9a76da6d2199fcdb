"""The state of the part `log`, and the number of lines that it has lost."""

from collections.abc import Callable

from modelgates_server.service.part_states import PartState, Status
from modelgates_server.telemetry import process_output

_DROPPING = PartState(
    Status.WARNING,
    "Log lines are being dropped, because nothing reads them or their disk is full.",
)


class LogCheck:
    """A `Check` that also counts dropped lines: their thread must not touch the metrics."""

    def __init__(self, count_dropped: Callable[[int], None]) -> None:
        self._count_dropped = count_dropped
        self._counted_lines = 0

    async def __call__(self) -> PartState:
        """See `Check`."""
        dropped_lines = process_output.dropped_lines()
        self._count_dropped(dropped_lines - self._counted_lines)
        self._counted_lines = dropped_lines
        return _DROPPING if process_output.is_dropping() else PartState(Status.OK)
