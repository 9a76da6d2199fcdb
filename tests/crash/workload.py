"""Concurrent clients that do everything with credits and keys, and report every acknowledgment."""

import asyncio
import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from modelgates_server.core import ids
from modelgates_server.core.errors import (
    HoldEnded,
    HoldNotExpired,
    InsufficientCredits,
    KeyLimitExceeded,
)
from modelgates_server.core.keys import KeyChange, KeyCreationRecord
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.times import LimitReset
from modelgates_server.service.ports import Clock, Store
from tests.crash.acknowledged import Acknowledged, KeySaved, Posted
from tests.support import DOLLAR, T0_MS, new_key

ACCOUNTS = [ids.account_id(bytes([number] * ids.ACCOUNT_ID_BYTES)) for number in (1, 2)]
CLIENTS = 16

Report = Callable[[Acknowledged], object]
"""Called the moment that the store acknowledged a change."""


async def work(store: Store, seed: int, report: Report, steps: int | None = None) -> None:
    """Runs all clients for a number of steps or forever. Seeds must differ on one database."""
    # One second per reading, because changes of a key are distinguished by their times.
    clock = itertools.count(T0_MS + seed * 10**8, 1000).__next__
    clients = [Client(store, seed, number, clock, report) for number in range(CLIENTS)]
    for hold in await store.expired_holds(2**62, 1000):  # left open by other processes
        clients[ACCOUNTS.index(hold.account_id)].holds.append((hold.id, hold.key_hash))
    await asyncio.gather(*(client.run(steps) for client in clients))


class Client:
    """One client with its own key, on an account that it shares with others."""

    def __init__(self, store: Store, seed: int, number: int, clock: Clock, report: Report) -> None:
        self._store = store
        self._name = f"{seed}-{number}"
        self._random = random.Random(self._name)
        self._clock = clock
        self._report = report
        self._account_id = ACCOUNTS[number % len(ACCOUNTS)]
        self._key_hash = ""
        self.holds: list[tuple[str, str]] = []  # ids and key hashes

    async def run(self, steps: int | None) -> None:
        await self._post(c.OpenAccount, "open", name="a shared account")
        await self._create_key(f"{self._name}-key")
        actions = [self._credit, self._place, self._extend, self._end, self._change_key]
        for step in itertools.count() if steps is None else range(steps):
            (action,) = self._random.choices(actions, weights=[4, 8, 2, 8, 1])
            # The last two occur when another process has taken over the same hold.
            with suppress(InsufficientCredits, KeyLimitExceeded, HoldEnded, HoldNotExpired):
                await action(f"{self._name}-{step}")
            for _ in range(self._random.randrange(4)):  # otherwise one commit would acknowledge all
                await asyncio.sleep(0)

    async def _post(self, kind: type[c.Command], reference: str, **fields: Any) -> None:
        at_ms = self._clock()
        command = kind(account_id=self._account_id, reference=reference, at_ms=at_ms, **fields)
        result = await self._store.execute(command)
        self._report(Posted(command, result.entry))

    async def _credit(self, reference: str) -> None:
        amount_pico = self._random.randint(1, 5 * DOLLAR)
        if self._random.random() < 0.7:
            await self._post(c.Grant, reference, amount_pico=amount_pico, reason="granted")
        else:
            amount_pico *= self._random.choice([-1, 1])
            await self._post(c.Adjust, reference, amount_pico=amount_pico, reason="corrected")

    async def _place(self, reference: str) -> None:
        hold_id = f"call-{reference}"
        amount_pico = self._random.randint(0, 2 * DOLLAR)
        expires_at_ms = self._clock()
        await self._post(
            c.PlaceHold,
            reference,
            hold_id=hold_id,
            key_hash=self._key_hash,
            amount_pico=amount_pico,
            expires_at_ms=expires_at_ms,
        )
        self.holds.append((hold_id, self._key_hash))

    async def _extend(self, reference: str) -> None:
        if self.holds:
            hold_id, key_hash = self._random.choice(self.holds)
            amount_pico = self._random.randint(0, DOLLAR)
            expires_at_ms = self._clock()
            await self._post(
                c.ExtendHold,
                reference,
                hold_id=hold_id,
                key_hash=key_hash,
                amount_pico=amount_pico,
                expires_at_ms=expires_at_ms,
            )

    async def _end(self, reference: str) -> None:
        if self.holds:
            hold_id, key_hash = self.holds.pop(self._random.randrange(len(self.holds)))
            endings: list[type[c.Command]] = [c.CaptureHold, c.VoidHold, c.ExpireHold]
            (kind,) = self._random.choices(endings, weights=[2, 1, 1])
            used = {} if kind is c.VoidHold else {"amount_pico": self._random.randint(0, DOLLAR)}
            await self._post(kind, reference, hold_id=hold_id, key_hash=key_hash, **used)

    async def _create_key(self, reference: str) -> None:
        limit_pico = self._random.choice([None, 100 * DOLLAR])
        reset = self._random.choice([None, *LimitReset])
        _, key = new_key(
            self._account_id,
            created_at_ms=self._clock(),
            name=reference,
            limit_pico=limit_pico,
            limit_reset=reset,
        )
        record = KeyCreationRecord(
            account_id=self._account_id,
            reference=reference,
            digest=reference,
            nonce=self._random.randbytes(32),
            key_hash=key.hash,
            at_ms=key.created_at_ms,
        )
        issued = await self._store.create_key(key, record)
        self._key_hash = issued.key.hash
        self._report(KeySaved(issued.key, record))

    async def _change_key(self, reference: str) -> None:
        change = self._random.choice(
            [
                KeyChange(name=reference),
                KeyChange(limit_pico=self._random.randint(1, 200 * DOLLAR)),
                KeyChange(disabled=True),
                KeyChange(disabled=False),
                KeyChange(deleted=True),
            ]
        )
        key = await self._store.change_key(self._key_hash, change, self._clock())
        self._report(KeySaved(key, None))
        if key.disabled or change.deleted:
            await self._create_key(reference)
