"""The number of holds and captures per second that the ledger makes durable.

Compares, in one run on the same store with the same clients at `synchronous=FULL`, one transaction
per operation with one transaction for all waiting operations.
"""

import asyncio
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop

from modelgates_server.bootstrap import ledger_services, now_ms
from modelgates_server.core.keys import KeyKind, NewKey
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.money import PICOS_PER_DOLLAR
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.sqlite.store import SqliteStore
from modelgates_server.store.sqlite.writer import BatchLimits

CLIENTS = 32
GROUP = 128
PAIRS = 16_000
LOOP_PAIRS = 2_000
ROUNDS = 5


class Spender(NamedTuple):
    """An account with a key that may spend."""

    account_id: str
    key_hash: str


class Figures(NamedTuple):
    """The results of one measurement. Latencies are per operation."""

    pairs_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


def report() -> None:
    """Measure and print."""
    print(f"ledger: hold + capture pairs, {CLIENTS} clients, synchronous=FULL")
    for accounts, bar in ((CLIENTS, " (bar: 8)"), (1000, "")):
        print(f"  {accounts} accounts")
        alone, together = [], []
        for _ in range(ROUNDS):
            alone.append(uvloop.run(_measure(accounts, 1, LOOP_PAIRS)))
            together.append(uvloop.run(_measure(accounts, GROUP, PAIRS)))
        _print("one transaction per operation", _median(alone))
        _print("group commit", _median(together))
        ratios = [t.pairs_s / a.pairs_s for a, t in zip(alone, together, strict=True)]
        print(f"    ratio {statistics.median(ratios):.1f}{bar}")


def _print(name: str, figures: Figures) -> None:
    print(
        f"    {name:30} {figures.pairs_s:8,.0f} pairs/s  CPU {figures.cpu_us:5.1f} us/op  "
        f"p50 {figures.p50_ms:.2f} ms  p99 {figures.p99_ms:.2f} ms"
    )


async def _measure(accounts: int, batch_max: int, pair_count: int) -> Figures:
    with TemporaryDirectory() as folder:
        path = Path(folder, "ledger.db")
        spenders = await _fill(path, accounts)
        async with _open(path, batch_max) as store:
            pairs = iter(list(_pairs(spenders, pair_count)))  # built before the clock starts
            latencies: list[float] = []

            async def client() -> None:
                for pair in pairs:
                    for command in pair:
                        before = time.perf_counter()
                        await store.execute(command)
                        latencies.append(time.perf_counter() - before)

            started, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(client() for _ in range(CLIENTS)))
            return _figures(started, cpu, latencies)


@asynccontextmanager
async def _open(path: Path, batch_max: int) -> AsyncIterator[SqliteStore]:
    store = open_store(path, limits=BatchLimits(batch_max=batch_max))
    try:
        yield store
    finally:
        await store.close()


async def _fill(path: Path, accounts: int) -> list[Spender]:
    async with _open(path, GROUP) as store:
        services = ledger_services(store, now_ms, secrets.token_bytes)

        async def spender() -> Spender:
            account = await services.accounts.open("bench")
            await services.credits.grant(account.id, 1000 * PICOS_PER_DOLLAR, "bench")
            key, _ = await services.keys.create(
                account.id, NewKey(kind=KeyKind.INFERENCE, name="bench")
            )
            return Spender(account.id, key.hash)

        return await asyncio.gather(*(spender() for _ in range(accounts)))


def _pairs(spenders: list[Spender], count: int) -> Iterator[tuple[c.Command, c.Command]]:
    now = now_ms()
    for number in range(count):
        account_id, key_hash = spenders[secrets.randbelow(len(spenders))]
        hold_id = f"gen-{now // 1000}-{number:08x}{secrets.token_hex(4)}"
        yield (
            c.PlaceHold(
                account_id=account_id,
                reference=f"hold:{hold_id}",
                at_ms=now,
                hold_id=hold_id,
                key_hash=key_hash,
                amount_pico=30_000_000,
                expires_at_ms=now + 600_000,
            ),
            c.CaptureHold(
                account_id=account_id,
                reference=f"capture:{hold_id}",
                at_ms=now,
                hold_id=hold_id,
                key_hash=key_hash,
                amount_pico=12_345_678,
            ),
        )


def _figures(started: float, cpu: float, latencies: list[float]) -> Figures:
    took, spent, count = time.perf_counter() - started, time.process_time() - cpu, len(latencies)
    cuts = statistics.quantiles(latencies, n=100)
    return Figures(count / 2 / took, spent / count * 1e6, cuts[49] * 1e3, cuts[98] * 1e3)


def _median(runs: list[Figures]) -> Figures:
    return sorted(runs)[len(runs) // 2]
