"""Lets every write fail in turn: `python -m tests.full_disk.every_write FOLDER`, on a small disk.

In each round, calls, a new key and a grant run at once, and from one write on, the disk is full. A
round later, that happens one write later, until a round meets no failure. After each round the disk
has room again, and the ledger has exactly what was acknowledged. Prints the number of rounds, and
of the calls, keys and grants that were acknowledged and rejected.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.keys import KeyKind, NewKey
from modelgates_server.core.money import parse_pico
from modelgates_server.service.calls.call import Call
from modelgates_server.service.ports import AuthenticatedKey
from modelgates_server.store import disk
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.web.services import Services
from tests.full_disk.disk import Figures
from tests.gateway import asking, begin, metered, new_caller, pending, take
from tests.ledger_checks import check_ledger
from tests.support import HOLD_MS, ManualClock

T = TypeVar("T")
GRANT_PICO = parse_pico("1")


class Rounds:
    """The rounds on one database. `counts` has the outcomes."""

    def __init__(
        self, services: Services, caller: AuthenticatedKey, figures: Figures, clock: ManualClock
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._services = services
        self._caller = caller
        self._figures = figures
        self._costs_pico = self._granted_pico = 0
        self._keys: set[str] = set()

    async def run(self) -> None:
        """Runs rounds until one meets no failure."""
        failed = -1
        while self._figures.get("failed") > failed:
            failed = self._figures.get("failed")
            self._figures.set(passes=self.counts["rounds"])
            await asyncio.gather(self._call(), self._call(), self._create_key(), self._grant())
            self._figures.free()
            # A hold whose commit failed can be saved nevertheless; no call runs to end it.
            self._clock.forward(HOLD_MS)
            await self._services.maintenance.run_once()
            await self._check()
            self.counts["rounds"] += 1

    async def _call(self) -> None:
        call = await self._tried("call", self._answered())
        if call is not None:
            self._costs_pico += call

    async def _answered(self) -> int:
        call = await begin(self._services.calls, self._caller, asking(model="sandbox/echo"))
        assert isinstance(call, Call)
        await take(call)
        return call.generation.cost_pico

    async def _create_key(self) -> None:
        new_key = NewKey(kind=KeyKind.INFERENCE, name="more")
        created = await self._tried(
            "key", self._services.keys.create(self._caller.account_id, new_key)
        )
        if created is not None:
            self._keys.add(created[0].hash)

    async def _grant(self) -> None:
        grant = self._services.credits.grant(self._caller.account_id, GRANT_PICO, "test")
        if await self._tried("grant", grant) is not None:
            self._granted_pico += GRANT_PICO

    async def _tried(self, name: str, work: Awaitable[T]) -> T | None:
        try:
            result = await work
        except StoreUnavailable:
            self.counts[f"{name} rejected"] += 1
            return None
        self.counts[f"{name} acknowledged"] += 1
        return result

    async def _check(self) -> None:
        """Everything acknowledged is there, and nothing is open or left behind."""
        services, account_id = self._services, self._caller.account_id
        assert (await services.checks["disk"]()).status == "ok"
        await check_ledger(services.store)
        assert await pending(services.spool) == []
        assert services.calls.settling.unsaved() == []
        async with services.store.account_snapshot(account_id) as snapshot:
            assert snapshot.account.usage_pico == self._costs_pico
            assert snapshot.account.credits_pico >= self._granted_pico
            assert {key.hash for key in snapshot.keys} >= self._keys


async def main(folder: Path) -> None:
    disk._CLOSED_AT_LEAST_S = disk._FILL_EVERY_S = 0
    clock = ManualClock()
    store = open_store(folder / "modelgates.db")
    (folder / "spool").mkdir()
    services = metered(store, clock, folder / "spool")
    figures = Figures(Path(os.environ["FULL_DISK_CONTROL"]))
    rounds = Rounds(services, await new_caller(store), figures, clock)
    await rounds.run()
    await services.close()
    print(json.dumps(rounds.counts))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
