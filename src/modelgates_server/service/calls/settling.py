"""Commits the end of each call exactly once; an end that cannot be committed is spooled.

A response ends after its capture is committed, or synced in the spool if the database is
unavailable.
"""

import asyncio
from contextlib import suppress
from typing import Protocol

from modelgates_server.core.errors import HoldEnded
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.service.holds import Holds
from modelgates_server.service.ports import (
    Clock,
    GenerationReader,
    Ledger,
    Observer,
    PendingSettlement,
    Spool,
)

ANSWER_KEPT_MS = MS_PER_DAY


class SettledStore(Ledger, GenerationReader, Protocol):
    """The ports that ends of calls need."""


class Settling:
    """The ends of all calls of this process, and the spool, which processes share."""

    def __init__(self, store: SettledStore, spool: Spool, observer: Observer, clock: Clock) -> None:
        self._store = store
        self._holds = Holds(store, clock)
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
                # The server is stopping. Repeating a command is always safe.
                await self._commit(settlement)
        except Exception as error:  # noqa: BLE001 - no error may lose the end of a call
            await self._put_into_spool(settlement, error)

    async def drain_spool(self) -> None:
        """Commit all spooled settlements, including those of dead processes.

        Raises `StoreUnavailable` while the database is unavailable. A settlement that cannot be
        read, or that the ledger rejects, does not delay the others; its error is raised at the end.
        """
        self._has_spooled = False  # a settlement that is spooled meanwhile sets it again
        try:
            trouble = await self._resolve_all()
        except Exception:
            self._has_spooled = True
            raise
        if trouble:
            self._has_spooled = True
            raise trouble[0]

    async def try_to_drain_spool(self) -> None:
        """Drain the spool if this process has spooled anything; failures stay in the spool."""
        if self._has_spooled:
            with suppress(Exception):  # maintenance tries too, and reports failures
                await self.drain_spool()

    async def pending_ids(self) -> set[str]:
        """Ids of calls that have ended but are not committed yet."""
        return {*self._unsaved, *await self._spool.ids()}

    async def _commit(self, settlement: PendingSettlement, *, first: bool = True) -> None:
        """Commit; `first` means that only this process can have, so even a replay is reported."""
        generation = settlement.generation
        try:
            result = await self._holds.end(generation, settlement.answer)
        except HoldEnded:
            await self._commit_late(settlement, first=first)
        else:
            if first or not result.replayed:
                lag_ms = self._clock() - (generation.ended_at_ms or 0)
                self._observer.ended(generation, lag_ms)

    async def _commit_late(self, settlement: PendingSettlement, *, first: bool) -> None:
        """Charge what the resolution of the hold did not; a hold ends once.

        Another process resolved the hold while this one was stopped, or during an outage.
        """
        ended = settlement.generation
        resolved = await self._store.generation(ended.account_id, ended.id)
        has_expired = resolved is not None and resolved.state is HoldState.EXPIRED
        if resolved is None or not has_expired or ended.state is not HoldState.CAPTURED:
            self._observer.capture_after_expiry(ended, resolved, None)
            return
        result = await self._holds.capture_late(ended, resolved, settlement.answer)
        if first or not result.replayed:
            self._observer.capture_after_expiry(ended, resolved, result.entry)

    async def _put_into_spool(self, settlement: PendingSettlement, reason: Exception) -> None:
        generation = settlement.generation
        self._observer.spooled(generation, reason)
        try:
            await self._spool.put(settlement)
        except OSError as error:
            # The spool cannot be written either: retry from memory. The log has the numbers.
            self._observer.spooled(generation, error)
            self._unsaved[generation.id] = settlement
        finally:
            # Not earlier: a drain in between would find nothing, and reset the flag.
            self._has_spooled = True

    async def _resolve_all(self) -> list[Exception]:
        trouble = []
        for generation_id in [*await self._spool.ids(), *self._unsaved]:
            try:
                await self._resolve(generation_id)
            except Exception as error:  # noqa: BLE001 - raised later; it must not delay the others
                # The hold stays open until then, so the log must name the file to the operator.
                error.add_note(f"While committing the spooled end of {generation_id}; will retry.")
                trouble.append(error)
        return trouble

    async def _resolve(self, generation_id: str) -> None:
        settlement = self._unsaved.get(generation_id) or await self._spool.load(generation_id)
        if settlement is not None:
            await self._commit(settlement, first=False)
            if self._unsaved.pop(generation_id, None) is None:
                await self._spool.remove(generation_id)
