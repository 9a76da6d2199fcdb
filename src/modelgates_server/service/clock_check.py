"""Checks the machine's clock against what is certain: the ledger, and the time that has passed.

An idle ledger looks like a clock that was set forward, so an old newest entry proves nothing. A
clock behind the newest entry is wrong, or was wrong when the entry was written. A clock that moves
faster or slower than time was set.
"""

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.times import MS_PER_DAY, format_instant
from modelgates_server.service.part_states import PartState, Status
from modelgates_server.service.ports import Clock, Ledger

BEHIND_MAX_MS = 3_600_000
"""Entries may be dated a little ahead by another machine, or before a clock was corrected."""

STEP_MAX_MS = 60_000
_STANDS_MS = MS_PER_DAY


class ClockCheck:
    """The check of the part `clock`. The attributes are those of the last check.

    `behind_ms` is the time from the clock to the newest entry, 0 if the entry is not later.
    `stepped_ms` is how far the clock was set, forward or back, in the last day of this process.
    """

    def __init__(self, ledger: Ledger, clock: Clock, steady_ms: Clock) -> None:
        self.behind_ms = 0
        self.stepped_ms = 0
        self._ledger = ledger
        self._clock = clock
        self._steady_ms = steady_ms
        self._newest_ms = 0
        self._ahead_of_steady_ms = clock() - steady_ms()
        self._last_step_ms: int | None = None  # in steady time

    async def __call__(self) -> PartState:
        """See `part_states.Check`."""
        try:
            newest_ms = await self._ledger.newest_entry_ms()
        except StoreUnavailable:
            newest_ms = None  # reported by another part
        # Not only the last entry: one with the right time would hide the others.
        self._newest_ms = max(self._newest_ms, newest_ms or 0)
        now_ms = self._clock()
        self.behind_ms = max(0, self._newest_ms - now_ms)
        self._measure_step(now_ms)
        return self._state(now_ms)

    def _measure_step(self, now_ms: int) -> None:
        steady_ms = self._steady_ms()
        stepped_ms = now_ms - steady_ms - self._ahead_of_steady_ms
        is_new = abs(stepped_ms - self.stepped_ms) > STEP_MAX_MS
        if is_new or (self._last_step_ms is None and abs(stepped_ms) > STEP_MAX_MS):
            self._last_step_ms = steady_ms
        elif self._last_step_ms is not None and steady_ms - self._last_step_ms > _STANDS_MS:
            self._last_step_ms = None
            self._ahead_of_steady_ms += stepped_ms
            stepped_ms = 0
        self.stepped_ms = stepped_ms

    def _state(self, now_ms: int) -> PartState:
        if self.behind_ms > BEHIND_MAX_MS:
            return PartState(
                Status.WARNING,
                "The clock is more than an hour behind the newest entry of the ledger.",
                f"It is {format_instant(now_ms)}, and the newest entry is dated "
                f"{format_instant(self._newest_ms)}. If the entry is wrong, see "
                "`modelgates key repair`.",
            )
        if abs(self.stepped_ms) > STEP_MAX_MS:
            direction = "forward" if self.stepped_ms > 0 else "back"
            return PartState(
                Status.WARNING,
                f"The clock was set {direction} by more than a minute.",
                f"By {abs(self.stepped_ms) / 1000:.0f} s, to {format_instant(now_ms)}.",
            )
        return PartState(Status.OK)
