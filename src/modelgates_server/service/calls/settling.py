"""Commits the end of each call exactly once; an end that cannot be committed is spooled.

A response ends after its capture is committed, or synced in the spool if the database is
unavailable. An end that the spool does not take either is kept in memory, and in the emergency
folder if there is one, until one of the two takes it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from modelgates_server.core.errors import Conflict, DiskFull, GenerationArchived, HoldEnded
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.service.holds import Holds
from modelgates_server.service.part_states import PartState, Status
from modelgates_server.service.ports import Clock, GenerationReader, Ledger, Observer
from modelgates_server.service.spool_ports import Disk, PendingSettlement, Spool, SpoolFigures

ANSWER_KEPT_MS = MS_PER_DAY


_STEP_MAX_S = 5
"""The longest that each attempt to save the last ends may take when the server stops."""


class SettledStore(Ledger, GenerationReader, Protocol):
    """The ports that ends of calls need."""


class Settling:
    """The ends of all calls of this process, and the spools, which processes share.

    The first of `spools` is the spool. The others are emergency folders: an end in one of them
    alone is not saved yet.
    """

    def __init__(
        self,
        store: SettledStore,
        spools: Sequence[Spool],
        disk: Disk,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._store = store
        self._holds = Holds(store, clock)
        self._spool, *self._emergency = self._spools = spools
        self._disk = disk
        self._observer = observer
        self._clock = clock
        self._ending: dict[str, PendingSettlement] = {}
        self._unsaved: dict[str, PendingSettlement] = {}
        self._has_spooled = False
        self.spooled = SpoolFigures(0, 0)
        """The figures of the spool at the last check."""

    async def commit_end(self, settlement: PendingSettlement) -> None:
        """Commit the end of a call, or spool it until that is possible."""
        generation_id = settlement.generation.id
        self._ending[generation_id] = settlement
        try:
            try:
                await self._commit(settlement)
            except asyncio.CancelledError:
                # The server is stopping. Repeating a command is always safe.
                await self._commit(settlement)
        except Exception as error:  # noqa: BLE001 - no error may lose the end of a call
            await self._put_into_spool(settlement, error)
        self._ending.pop(generation_id, None)  # unless it was cancelled again

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

    async def replay(self, settlement: PendingSettlement) -> None:
        """Commit an end that may be committed already, and delete what the spools have of it.

        Raises `Conflict` if the ledger has another call with this id.
        """
        await self._check_same_call(settlement)
        await self._commit(settlement, first=False)
        generation_id = settlement.generation.id
        self._forget(generation_id)
        for spool in self._spools:
            await spool.remove(generation_id)

    async def pending_ids(self) -> set[str]:
        """Ids of calls that have ended but are not committed yet."""
        return {*self._unsaved, *await self._spooled_ids()}

    def unsaved(self) -> list[PendingSettlement]:
        """The ends that neither the database nor the spool has, as far as this process knows."""
        return list({**self._ending, **self._unsaved}.values())

    async def save_rest(self) -> None:
        """Try everything to save what is unsaved, when the server stops and no call runs."""
        self._unsaved.update(self._ending)  # its task is gone, or waits for a disk that hangs
        self._has_spooled = self._has_spooled or bool(self._unsaved)
        with suppress(TimeoutError):
            async with asyncio.timeout(_STEP_MAX_S):
                await self.try_to_drain_spool()
        for spool in self._spools:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STEP_MAX_S):
                    await self._put_all_into(spool)

    async def check(self) -> PartState:
        """The state of the part `spool`; see `service.part_states.Check`."""
        try:
            self.spooled, *others = [await spool.tend() for spool in self._spools]
        except OSError as error:
            return PartState(Status.WARNING, "The spool cannot be read.", str(error))
        if self._unsaved:
            cause = "Neither the database nor the spool takes the ends of calls: they are at risk."
            return PartState(Status.WARNING, cause, f"{len(self._unsaved)} are unsaved.")
        waiting = sum(figures.files for figures in (self.spooled, *others))
        if waiting:
            cause = "Ends of calls wait for the database."
            return PartState(Status.WARNING, cause, f"{waiting} wait.")
        return PartState(Status.OK)

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

    async def _check_same_call(self, settlement: PendingSettlement) -> None:
        """Raise `Conflict` if the end is that of another call with the same id.

        A restored backup may lack a call with an `Idempotency-Key`. If the client repeats the call,
        the new one gets the id of the first, whose end may still wait here.
        """
        ended = settlement.generation
        with suppress(GenerationArchived):
            known = await self._store.generation(ended.account_id, ended.id)
            if known is not None and known.created_at_ms != ended.created_at_ms:
                raise Conflict(
                    f"This end belongs to another call with the ID `{ended.id}`, which the ledger "
                    "does not have, since a backup was restored. It cannot be charged: move its "
                    "file out of the folder."
                )

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
        if isinstance(reason, DiskFull):
            self._disk.met_full()
        self._observer.spooled(generation, reason)
        try:
            await self._spool.put(settlement)
        except OSError as error:
            # The spool cannot be written either: retry from memory. The log has the numbers.
            self._observer.spooled(generation, error)
            self._unsaved[generation.id] = settlement
            for folder in self._emergency:
                with suppress(OSError):
                    await folder.put(settlement)
        finally:
            # Not earlier: a drain in between would find nothing, and reset the flag.
            self._has_spooled = True

    async def _put_all_into(self, spool: Spool) -> None:
        for generation_id, settlement in tuple(self._unsaved.items()):
            with suppress(OSError):
                await spool.put(settlement)
                if spool is self._spool:
                    self._forget(generation_id)

    async def _spooled_ids(self) -> list[str]:
        return [generation_id for spool in self._spools for generation_id in await spool.ids()]

    async def _resolve_all(self) -> list[Exception]:
        trouble = []
        for generation_id in dict.fromkeys([*await self._spooled_ids(), *self._unsaved]):
            try:
                await self._resolve(generation_id)
            except Exception as error:  # noqa: BLE001 - raised later; it must not delay the others
                # The hold stays open until then, so the log must name the file to the operator.
                error.add_note(f"While committing the spooled end of {generation_id}; will retry.")
                trouble.append(error)
        return trouble

    async def _resolve(self, generation_id: str) -> None:
        settlement = self._unsaved.get(generation_id) or await self._load(generation_id)
        if settlement is not None:
            await self.replay(settlement)

    async def _load(self, generation_id: str) -> PendingSettlement | None:
        for spool in self._spools:
            if (settlement := await spool.load(generation_id)) is not None:
                return settlement
        return None

    def _forget(self, generation_id: str) -> None:
        self._unsaved.pop(generation_id, None)
        self._ending.pop(generation_id, None)
