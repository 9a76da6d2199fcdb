"""Commits the end of each call once, whatever happened; what cannot be committed is spooled.

An answer ends after its capture is committed, or lies synced in the spool because the database is
gone.
"""

import asyncio
from contextlib import suppress

from modelgates_server.core.errors import HoldEnded
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.service.holds import Holds
from modelgates_server.service.ports import Clock, Ledger, Observer, PendingSettlement, Spool

ANSWER_KEPT_MS = MS_PER_DAY


class Settling:
    """The ends of all calls of this process, and the spool that several processes share."""

    def __init__(self, ledger: Ledger, spool: Spool, observer: Observer, clock: Clock) -> None:
        self._holds = Holds(ledger, clock)
        self._spool = spool
        self._observer = observer
        self._clock = clock
        self._unsaved: dict[str, PendingSettlement] = {}
        self._has_spooled = False

    async def commit_end(self, settlement: PendingSettlement) -> None:
        """Commit the end of a call, or spool it until that is possible."""
        try:
            try:
                await self._commit(settlement)
            except asyncio.CancelledError:
                # The server stops waiting for requests. Repeating a command is always safe.
                await self._commit(settlement)
        except Exception as error:  # noqa: BLE001 - whatever it is, the end may not be lost
            await self._put_into_spool(settlement, error)

    async def drain_spool(self) -> None:
        """Commit what was spooled, by this process or one that is gone.

        Raises `StoreUnavailable` while the database cannot take it. One that cannot be read, or
        that the ledger refuses, does not keep the others: its error is raised at the end.
        """
        self._has_spooled = False  # what is spooled while this runs sets it again
        try:
            trouble = await self._resolve_all()
        except Exception:
            self._has_spooled = True
            raise
        if trouble:
            self._has_spooled = True
            raise trouble[0]

    async def try_to_drain_spool(self) -> None:
        """The same, if there is anything of this process; what fails stays where it is."""
        if self._has_spooled:
            with suppress(Exception):  # maintenance tries as well, and reports it
                await self.drain_spool()

    async def pending_ids(self) -> set[str]:
        """The calls that have ended, and whose ends are not committed yet."""
        return {*self._unsaved, *await self._spool.ids()}

    async def _commit(self, settlement: PendingSettlement, *, first: bool = True) -> None:
        """`first`: nobody else commits this one, so a repeat of ours is still to be reported."""
        generation = settlement.generation
        try:
            result = await self._holds.end(generation, settlement.answer)
        except HoldEnded:
            # It was resolved while nobody could reach the database; a hold ends once.
            self._observer.capture_after_expiry(generation)
        else:
            if first or not result.replayed:
                lag_ms = self._clock() - (generation.ended_at_ms or 0)
                self._observer.ended(generation, lag_ms)

    async def _put_into_spool(self, settlement: PendingSettlement, reason: Exception) -> None:
        generation = settlement.generation
        self._observer.spooled(generation, reason)
        try:
            await self._spool.put(settlement)
        except OSError as error:
            # Nowhere to write either: it is tried again from memory, and the log has the figures.
            self._observer.spooled(generation, error)
            self._unsaved[generation.id] = settlement
        finally:
            # Not before: who drains meanwhile would find nothing and take that for all.
            self._has_spooled = True

    async def _resolve_all(self) -> list[Exception]:
        trouble = []
        for generation_id in [*await self._spool.ids(), *self._unsaved]:
            try:
                await self._resolve(generation_id)
            except Exception as error:  # noqa: BLE001 - it must not keep the others; it is raised
                # Its hold is open until it lands: whoever reads the log must be able to end that.
                error.add_note(
                    f"while the spooled end of {generation_id} was committed; it is tried again"
                )
                trouble.append(error)
        return trouble

    async def _resolve(self, generation_id: str) -> None:
        settlement = self._unsaved.get(generation_id) or await self._spool.load(generation_id)
        if settlement is not None:
            await self._commit(settlement, first=False)
            if self._unsaved.pop(generation_id, None) is None:
                await self._spool.remove(generation_id)
