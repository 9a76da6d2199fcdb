"""What the passing of time asks for: resolving expired holds, forgetting day-old issuances."""

import asyncio
from collections.abc import Callable

from modelgates_server.core.errors import HoldEnded, StoreUnavailable
from modelgates_server.service.holds import Holds
from modelgates_server.service.keys import ISSUANCE_KEPT_MS
from modelgates_server.service.ports import Clock, Store

_PAGE = 500


class Upkeep:
    """Runs beside the server; several processes may do it at once, each step is idempotent."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._holds = Holds(store, clock)

    async def run_once(self) -> int:
        """Resolve what is due; returns how many holds this call expired."""
        expired = 0
        while due := await self._store.expired_holds(self._clock(), _PAGE):
            results = await asyncio.gather(
                *(self._holds.expire(hold.account_id, hold.id) for hold in due),
                return_exceptions=True,
            )
            for result in results:
                # Ended by its own call or by another process between the reading and now.
                if isinstance(result, BaseException) and not isinstance(result, HoldEnded):
                    raise result
                expired += not isinstance(result, BaseException) and not result.replayed
        await self._store.forget_issuances(self._clock() - ISSUANCE_KEPT_MS)
        return expired

    async def run_forever(self, every_s: float, on_trouble: Callable[[Exception], None]) -> None:
        """Run at once and then every `every_s` seconds; a database that is away is waited for."""
        while True:
            try:
                await self.run_once()
            except StoreUnavailable as error:
                on_trouble(error)
            await asyncio.sleep(every_s)
