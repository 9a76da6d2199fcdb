"""Periodic work: resolve expired holds, delete records that are a day old, repair keys."""

import asyncio
from collections.abc import Callable

from modelgates_server.core.errors import HoldEnded, HoldNotExpired
from modelgates_server.core.ledger.records import Hold
from modelgates_server.core.metering.settlement import lost
from modelgates_server.service.calls.call import CallService
from modelgates_server.service.calls.settling import ANSWER_KEPT_MS
from modelgates_server.service.gradually import gradually
from modelgates_server.service.holds import Holds
from modelgates_server.service.key_repair import KeyRepair
from modelgates_server.service.keys import KEY_CREATION_KEPT_MS
from modelgates_server.service.ports import Clock, Observer, Store

_PAGE = 500


class Maintenance:
    """Runs next to the server. Steps are idempotent, so several processes may run it at once."""

    def __init__(
        self,
        store: Store,
        calls: CallService,
        observer: Observer,
        clock: Clock,
        key_repair: KeyRepair,
        grace_s: float = 0,
    ) -> None:
        self._store = store
        self._calls = calls
        self._observer = observer
        self._clock = clock
        self._key_repair = key_repair
        self._grace_s = grace_s
        self._holds = Holds(store, clock)

    async def run_once(self) -> int:
        """Resolve everything that is due; returns the number of holds that expired.

        Spooled settlements are committed first, because their holds are not orphans. A hold that
        cannot be resolved does not delay the others; its error is raised at the end.
        """
        trouble = list[Exception]()
        try:
            await self._calls.settling.drain_spool()
        except Exception as error:  # noqa: BLE001 - raised below, after the orphans are resolved
            trouble.append(error)
        # Proves that the database can be written, or raises. After an outage that all processes
        # shared, the others get a moment to extend the holds of their running calls.
        await self._forget()
        try:
            await self._key_repair.repair_due()
        except Exception as error:  # noqa: BLE001 - as above
            trouble.append(error)
        due_ms = self._clock()
        if await self._store.expired_holds(due_ms, 1):
            await asyncio.sleep(self._grace_s)
        expired, progress = 0, True
        while progress:
            live_hold_ids = await self._calls.registry.live_hold_ids()
            # Holds of running calls stay due, and must not fill the page. Holds that became due
            # meanwhile wait for the next round: all processes may have been suspended just now.
            due = await self._store.expired_holds(due_ms, _PAGE + len(live_hold_ids))
            orphans = [hold for hold in due if hold.id not in live_hold_ids]
            results = await gradually(self._expire, orphans)
            expired += results.count(None)
            progress = None in results
            trouble += [error for error in results if error is not None]
        # A hold that its own call or another process ended or extended meanwhile is fine.
        trouble = [error for error in trouble if not isinstance(error, HoldEnded | HoldNotExpired)]
        if trouble:
            raise trouble[0]
        return expired

    async def _forget(self) -> None:
        await self._store.forget_key_creation_records(self._clock() - KEY_CREATION_KEPT_MS)
        while await self._store.forget_answers(self._clock() - ANSWER_KEPT_MS):
            pass

    async def _expire(self, hold: Hold) -> Exception | None:
        try:
            generation = await self._store.generation(hold.account_id, hold.id)
            if generation is None:
                await self._holds.expire(hold)
            else:
                ended = lost(generation, self._clock())
                await self._holds.end(ended)
                self._observer.ended(ended, 0)
        except Exception as error:  # noqa: BLE001 - raised later; one hold must not stop the others
            return error
        return None

    async def run_forever(self, every_s: float, on_trouble: Callable[[Exception], None]) -> None:
        """Run at once and then every `every_s` seconds, even after errors."""
        while True:
            try:
                await self.run_once()
            except Exception as error:  # noqa: BLE001 - reported, and retried
                on_trouble(error)
            await asyncio.sleep(every_s)
