"""Commits ends of calls that wait outside the ledger, for an operator who wants to know of each."""

from collections.abc import AsyncIterator, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple, cast

from modelgates_server.core.errors import GatewayError, StoreUnavailable
from modelgates_server.service.calls.settling import Settling
from modelgates_server.service.ports import Clock, Observer, Store
from modelgates_server.service.spool_ports import Disk, PendingSettlement, Spool


class Outcome(StrEnum):
    """The effect of a replay. Nothing is deleted of an end that is damaged or not saved."""

    SAVED = "saved"
    SAVED_BEFORE = "saved before"
    HOLD_ENDED = "hold had ended"
    DAMAGED = "damaged"
    NOT_SAVED = "not saved"


PROBLEMS = (Outcome.DAMAGED, Outcome.NOT_SAVED)


class WaitingEnd(NamedTuple):
    """The end of a call, where it waits, and why it cannot be read if there is no settlement."""

    source: str
    generation_id: str | None
    settlement: PendingSettlement | None
    problem: str | None = None


async def waiting_in(spools: Mapping[str, Spool]) -> AsyncIterator[WaitingEnd]:
    """The ends in spools, by their names; raises `StoreUnavailable` if one cannot be read."""
    for name, spool in spools.items():
        for generation_id in await spool.ids():
            try:
                settlement = await spool.load(generation_id)
            except StoreUnavailable as error:
                yield WaitingEnd(name, generation_id, None, str(error))
            else:
                if settlement is not None:  # the server has committed it meanwhile
                    yield WaitingEnd(name, generation_id, settlement)


class EndReplay:
    """Commits ends one after the other."""

    def __init__(self, store: Store, spools: Iterable[Spool], disk: Disk, clock: Clock) -> None:
        self._last = _LastOutcome()
        # Committing without spooling causes no other events.
        observer = cast("Observer", self._last)
        self._settling = Settling(store, [*spools], disk, observer, clock)
        self._outage: str | None = None

    async def replay(self, end: WaitingEnd) -> tuple[Outcome, str | None]:
        """Commit an end, and delete it from the spools; returns the problem if that fails.

        Once the database is unavailable, the rest is not tried.
        """
        if end.settlement is None:
            return Outcome.DAMAGED, end.problem
        if self._outage is not None:
            return Outcome.NOT_SAVED, self._outage
        self._last.outcome = Outcome.SAVED_BEFORE
        try:
            await self._settling.replay(end.settlement)
        except StoreUnavailable as error:
            self._outage = str(error)
            return Outcome.NOT_SAVED, self._outage
        except GatewayError as error:
            return Outcome.NOT_SAVED, str(error)
        return self._last.outcome, None


class _LastOutcome:
    """The part of an `Observer` for one end. An end that was committed before causes no event."""

    outcome = Outcome.SAVED_BEFORE

    def ended(self, *_: object) -> None:
        self.outcome = Outcome.SAVED

    def capture_after_expiry(self, *_: object) -> None:
        self.outcome = Outcome.HOLD_ENDED
