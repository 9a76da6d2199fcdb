"""The time and memory until the first 200, and reads of an account with a long journal."""

import http.client
import sqlite3
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from benchmarks.servers import HOST, fill, modelgates
from modelgates_server.bootstrap import load_settings, open_gateway
from modelgates_server.core.keys import key_hash

STARTS = 5
READS = 2000
LONG, SHORT = 1_000_000, 10


def report() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/startup.db"
        uvloop.run(fill(url))
        starts = [_start(url) for _ in range(STARTS)]
    print("start: time from process to first 200 of /healthz, and resident memory then")
    print(
        f"  {statistics.median(ms for ms, _ in starts):.0f} ms, "
        f"{statistics.median(mib for _, mib in starts):.0f} MiB"
    )
    print(f"reading an account with {LONG:,} entries against one with {SHORT}")
    long_us, short_us = (statistics.median(_read_us(n) for _ in range(3)) for n in (LONG, SHORT))
    print(f"  {long_us:.1f} us against {short_us:.1f} us, ratio {long_us / short_us:.2f} (bar: 1)")


def _start(url: str) -> tuple[float, float]:
    started = time.perf_counter()
    with modelgates(url) as server:
        connection = http.client.HTTPConnection(HOST, server.port)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        took_ms = (time.perf_counter() - started) * 1e3
        status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
        [kib] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
        connection.close()
        return took_ms, kib / 1024


def _read_us(entries: int) -> float:
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/long.db"
        text = uvloop.run(fill(url))
        _lengthen(Path(folder, "long.db"), entries)
        return uvloop.run(_time_reads(url, key_hash(text)))


def _lengthen(path: Path, entries: int) -> None:
    """Add this many entries to the only account; only their number matters here."""
    connection = sqlite3.connect(path)
    connection.execute(
        """
        with recursive number(n) as (select 1 union all select n + 1 from number where n < ?)
        insert into entry
        select account_id, seq + n, kind, reference || n, at_ms, balance_after_pico,
               held_after_pico, amount_pico, held_pico, platform, platform_pico, overrun_pico,
               hold_id, key_hash, reason, min_balance_pico
          from number, (select * from entry order by seq desc limit 1)
        """,
        (entries,),
    )
    connection.commit()
    connection.close()


async def _time_reads(url: str, hashed: str) -> float:
    async with open_gateway(load_settings(database_url=url)) as gateway:
        times = []
        for _ in range(READS):
            before = time.perf_counter()
            caller = await gateway.store.authenticated_key(hashed)
            times.append(time.perf_counter() - before)
            assert caller is not None
        return statistics.median(times) * 1e6
