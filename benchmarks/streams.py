"""A thousand slow streams at once, at the pace at which models generate text."""

import json
import statistics

from benchmarks.load import Load
from benchmarks.servers import peak_kib, resident_kib
from benchmarks.sides import OURS, Shape, sides

STREAMS = 1000
CHUNKS, CHUNK_MS = 40, 75
ROUNDS = 3

SLOW = Shape("chaos", json.dumps({"tokens": CHUNKS, "chunk_ms": CHUNK_MS}), stream=True)


def report() -> None:
    """Measure and print."""
    print(f"{STREAMS:,} streams at once: {CHUNKS} chunks, one every {CHUNK_MS} ms")
    with sides() as these:
        these.warm(SLOW._replace(message="{}"))
        pids = {name: side.server.pid for name, side in these.by_name.items()}
        before_kib = {name: resident_kib(pid) for name, pid in pids.items()}
        loads: dict[str, list[Load]] = {name: [] for name in pids}
        for _ in range(ROUNDS):
            for name in pids:
                loads[name].append(these.burst(name, SLOW, clients=STREAMS, count=1))
        for name, pid in pids.items():
            _print(name, loads[name], before_kib[name], peak_kib(pid))
        these.check_ledger()


def _print(name: str, loads: list[Load], before_kib: int, peak_kib: int) -> None:
    bar = " (bar: 0)" if name == OURS else ""
    print(
        f"  {name:12} errors {sum(load.errors for load in loads)}{bar}  "
        f"whole p50 {statistics.median(load.p50_ms for load in loads):5,.0f} ms  "
        f"p99 {statistics.median(load.p99_ms for load in loads):5,.0f} ms  "
        f"CPU {statistics.median(load.cpu_us for load in loads) / 1e3:.1f} ms each  "
        f"resident {before_kib / 1024:.0f} MiB, at most {peak_kib / 1024:.0f} MiB"
    )
