"""Opens windows of key limits that a wrong clock has shut.

A charge that is dated on a future day starts the windows of that day. They stay shut until that day
has passed, because a clock that steps back must never open a window (docs/decisions/0031).
"""

from contextlib import suppress
from typing import Protocol

import msgspec

from modelgates_server.core.errors import Conflict, KeyNotFound
from modelgates_server.core.keys import (
    Key,
    WindowUsage,
    is_dated_ahead,
    windows_at,
    windows_of_charges,
)
from modelgates_server.core.ledger.commands import CommandResult, RepairKey
from modelgates_server.core.times import LimitReset, day_of, format_day, resets_at_ms
from modelgates_server.service.ports import Clock, Keys, Ledger, RandomBytes

_NOISE_DAYS = 1
"""A charge dated tomorrow may come from a machine whose clock is a little ahead."""


_REFERENCE_BYTES = 12


class RepairedStore(Ledger, Keys, Protocol):
    """The ports that a repair needs."""


class RepairPlan(msgspec.Struct, frozen=True):
    """The windows that a key has, and those that it would have after a repair at `at_ms`."""

    key: Key
    at_ms: int
    before: WindowUsage
    after: WindowUsage

    @property
    def is_needed(self) -> bool:
        """Whether the key's last charge is dated after today."""
        return is_dated_ahead(self.key, self.at_ms)


class KeyRepair:
    """Repairs keys for an operator, and for maintenance once a new window has begun."""

    def __init__(self, store: RepairedStore, clock: Clock, random_bytes: RandomBytes) -> None:
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        self._seen_ms: dict[str, int] = {}  # when maintenance first saw each key

    async def plan(self, key_hash: str) -> RepairPlan:
        """The windows before and after a repair at this time; raises `KeyNotFound`."""
        found = await self._store.charges_by_day(key_hash)
        if found is None:
            raise KeyNotFound("API key not found")
        (key, charges_pico), now_ms = found, self._clock()
        after = windows_of_charges(charges_pico, now_ms)
        return RepairPlan(key, now_ms, windows_at(key, now_ms), after)

    async def repair(
        self, plan: RepairPlan, reason: str, reference: str | None = None
    ) -> CommandResult:
        """Carry out a plan; raises `Conflict` if it is not needed or the key was charged since."""
        if reference is None:
            reference = f"repair:{self._random_bytes(_REFERENCE_BYTES).hex()}"
        return await self._store.execute(
            RepairKey(
                account_id=plan.key.account_id,
                reference=reference,
                at_ms=plan.at_ms,
                key_hash=plan.key.hash,
                reason=reason,
                windows=plan.after,
                usage_pico=plan.key.usage_pico,
            )
        )

    async def repair_due(self) -> int:
        """Repair the keys whose next real window has begun; returns their number.

        It has begun once this process has seen the clock pass from one window to the next while the
        last charge was dated more than a day ahead. A clock that is wrong for a moment, and steps
        back to where it was, therefore opens nothing.
        """
        now_ms, repaired = self._clock(), 0
        ahead = await self._store.keys_dated_after(day_of(now_ms) + _NOISE_DAYS)
        seen_ms = self._seen_ms
        self._seen_ms = {key.hash: min(now_ms, seen_ms.get(key.hash, now_ms)) for key in ahead}
        for key in ahead:
            if resets_at_ms(_window(key), day_of(self._seen_ms[key.hash])) <= now_ms:
                day = format_day(key.usage_day)
                with suppress(Conflict):  # its account is closed, or another process was faster
                    await self.repair(
                        await self.plan(key.hash),
                        f"The last charge is dated {day}: a clock was wrong.",
                        f"repair:{key.hash}:{key.usage_day}:{day_of(now_ms)}",
                    )
                    repaired += 1
        return repaired


def _window(key: Key) -> LimitReset:
    """The window of a key's limit. Without one, the windows are only shown."""
    return key.limit_reset or LimitReset.DAILY
