"""The running calls of this process: their heartbeat, and waiting for their ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from modelgates_server.core.metering.generations import Generation
from modelgates_server.service.calls.admission import CallTimeouts
from modelgates_server.service.calls.joins import Joins
from modelgates_server.service.calls.settling import Settling
from modelgates_server.service.gradually import gradually
from modelgates_server.service.holds import Holds
from modelgates_server.service.ports import Clock, Observer

_STOP_MAX_S = 20
"""The longest wait for the ends of calls at the stop; `Settling.save_rest` takes as long again."""

_EXTENSIONS_PER_TTL = 3


class RunningCall(Protocol):
    """The methods of a call that the registry uses."""

    generation: Generation

    @property
    def is_given_up(self) -> bool:
        """Whether a retry without an `Idempotency-Key` may come: other processes must know."""

    def checkpoint(self) -> Generation:
        """The open generation with the cost so far, and with its digest if it is given up."""

    def stop_draining(self, now_ms: int, drain_ms: int) -> None:
        """Stop reading if the last client disconnected at least `drain_ms` ago."""


class CallRegistry:
    """Knows the running calls, and extends their holds in time."""

    def __init__(
        self,
        settling: Settling,
        holds: Holds,
        observer: Observer,
        clock: Clock,
        timeouts: CallTimeouts,
        joins: Joins,
    ) -> None:
        self._settling = settling
        self._holds = holds
        self._observer = observer
        self._clock = clock
        self._timeouts = timeouts
        self._joins = joins
        self._running: dict[str, _RegisteredCall] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: set[asyncio.Task[object]] = set()

    def add(self, call: RunningCall) -> None:
        """Add a call whose hold is placed."""
        generation = call.generation
        self._running[generation.id] = _RegisteredCall(call, generation.created_at_ms)
        self._idle.clear()

    def remove(self, generation_id: str) -> None:
        """Remove a call whose end is committed or spooled."""
        del self._running[generation_id]
        if not self._running:
            self._idle.set()

    async def live_hold_ids(self) -> set[str]:
        """Ids of holds that are not orphans: the call runs here, or its end waits for a commit."""
        return {*self._running, *await self._settling.pending_ids()}

    async def run_forever(self, every_s: float) -> None:
        """Send heartbeats and drain the spool for as long as the server runs."""
        while True:
            try:
                self.heartbeat()
                await self._settling.try_to_drain_spool()
            except Exception as error:  # noqa: BLE001 - reported; if this ended, all holds expire
                self._observer.maintenance_failed(error)
            await asyncio.sleep(every_s)

    def heartbeat(self) -> None:
        """Extend holds that are due, stop draining that takes too long, and forget old outputs."""
        now_ms, timeouts = self._clock(), self._timeouts
        self._joins.sweep()
        due = []
        for registered in tuple(self._running.values()):
            registered.call.stop_draining(now_ms, timeouts.drain_s * 1000)
            due_ms = registered.extended_at_ms + timeouts.hold_ttl_s * 1000 // _EXTENSIONS_PER_TTL
            is_news = not registered.is_known_as_given_up and registered.call.is_given_up
            if (now_ms >= due_ms or is_news) and not registered.is_extending:
                registered.is_extending = True
                due.append(registered)
        if due:
            self._spawn(gradually(self._extend, due))

    async def _extend(self, registered: "_RegisteredCall") -> None:
        now_ms = self._clock()
        try:
            checkpoint = registered.call.checkpoint()
            await self._holds.extend(checkpoint, registered.step, self._timeouts.hold_ttl_s)
        except Exception as error:  # noqa: BLE001 - reported, and retried
            # The next heartbeat retries under the same number. A call that has ended meanwhile
            # needs no more time.
            generation = registered.call.generation
            if generation.id in self._running:
                self._observer.heartbeat_failed(generation, error)
        else:
            registered.extended_at_ms = now_ms
            registered.is_known_as_given_up = checkpoint.request_digest is not None
            registered.step += 1
        finally:
            registered.is_extending = False

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Wait until the calls, whose tasks are stopping, have ended, and save all their ends.

        The ends that cannot be saved are in `Settling.unsaved`.
        """
        try:
            async with asyncio.timeout(_STOP_MAX_S):
                await self._idle.wait()
                await asyncio.gather(*self._tasks, return_exceptions=True)
        except TimeoutError as error:
            error.add_note(f"{len(self._running)} calls have not ended. Their holds will expire.")
            self._observer.maintenance_failed(error)
        await self._settling.save_rest()


class _RegisteredCall:
    """A running call, and the time when its hold was last extended."""

    def __init__(self, call: RunningCall, placed_at_ms: int) -> None:
        self.call = call
        self.extended_at_ms = placed_at_ms
        self.step = 1
        self.is_known_as_given_up = False
        self.is_extending = False
