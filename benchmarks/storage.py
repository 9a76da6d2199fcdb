"""What a thousand calls take on disk: in the file by table, and in the write-ahead log.

The calls are made up, with the fields that real ones have; 32 of them run at a time.
"""

import asyncio
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from benchmarks.synthetic_calls import Ended, calls
from modelgates_server.bootstrap import ledger_services, now_ms
from modelgates_server.core.keys import KeyKind, NewKey
from modelgates_server.core.money import PICOS_PER_DOLLAR
from modelgates_server.service.holds import Holds
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.sqlite.store import SqliteStore
from modelgates_server.store.sqlite.writer import BatchLimits

CALLS = 20_000
CLIENTS = 32
ACCOUNTS = 40
SEED = 77
"""Not the seed of the dictionary's samples."""

_SIZES = "select name, sum(pgsize) from dbstat group by name"
_TABLES = "select name, tbl_name from sqlite_schema"


def report() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "ledger.db")
        log_bytes, cpu_us = uvloop.run(_fill(path))
        sizes = _sizes(path)
        whole = path.stat().st_size
    print(f"storage: {CALLS:,} calls, {CLIENTS} at a time; bytes per 1,000 calls")
    for name, size in [*sizes.most_common(6), ("whole file", whole)]:
        print(f"    {name:30} {size * 1000 // CALLS:12,}")
    print(f"    {'write-ahead log':30} {log_bytes * 1000 // CALLS:12,}")
    print(f"    hold and end with their records: CPU {cpu_us:.0f} us")


async def _fill(path: Path) -> tuple[int, float]:
    """Record the calls; returns the bytes of the log, and the CPU time of a call."""
    store = open_store(path, limits=BatchLimits(log_max_bytes=2**40))
    made = iter(list(islice(calls(SEED, await _owners(store)), CALLS)))
    before = _log_bytes(path)
    cpu = time.process_time()
    await asyncio.gather(*(_client(store, made) for _ in range(CLIENTS)))
    spent = time.process_time() - cpu
    log_bytes = _log_bytes(path) - before
    await store.close()
    return log_bytes, spent / CALLS * 1e6


async def _client(store: SqliteStore, made: Iterator[Ended]) -> None:
    holds = Holds(store, now_ms)
    for call in made:
        await holds.place(call.opened, 600)
        await holds.end(call.ended)


async def _owners(store: SqliteStore) -> list[tuple[str, str]]:
    services = ledger_services(store, now_ms, secrets.token_bytes)
    owners = []
    for _ in range(ACCOUNTS):
        account = await services.accounts.open("bench")
        await services.credits.grant(account.id, 10**6 * PICOS_PER_DOLLAR, "bench")
        new = NewKey(kind=KeyKind.INFERENCE, name="bench")
        key, _ = await services.keys.create(account.id, new)
        owners.append((account.id, key.hash))
    return owners


def _sizes(path: Path) -> Counter[str]:
    """The bytes of each table with its indexes."""
    sizes: Counter[str] = Counter()
    with closing(sqlite3.connect(path)) as connection:
        tables = dict(connection.execute(_TABLES))
        for name, size in connection.execute(_SIZES):
            sizes[tables.get(name, name)] += size
    return sizes


def _log_bytes(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


if __name__ == "__main__":
    report()
