"""A thousand slow streams at once, at the pace at which models generate text."""

import json
import statistics

from benchmarks.load import Load
from benchmarks.servers import peak_kib, resident_kib
from benchmarks.sides import OURS, Shape, sides
from modelgates_server.bootstrap.descriptors import REFUSED_MAX, raise_limit

STREAMS = 1000
_OPEN_ANYWAY = 200
CHUNKS, CHUNK_MS = 40, 75
ROUNDS = 3

SLOW = Shape("chaos", json.dumps({"tokens": CHUNKS, "chunk_ms": CHUNK_MS}), stream=True)


def report() -> None:
    """Measure and print."""
    streams = _streams(raise_limit())
    print(f"{streams:,} streams at once: {CHUNKS} chunks, one every {CHUNK_MS} ms")
    with sides() as these:
        these.warm(SLOW._replace(message="{}"))
        pids = {name: side.server.pid for name, side in these.by_name.items()}
        before_kib = {name: resident_kib(pid) for name, pid in pids.items()}
        loads: dict[str, list[Load]] = {name: [] for name in pids}
        for _ in range(ROUNDS):
            for name in pids:
                loads[name].append(these.burst(name, SLOW, clients=streams, count=1))
        for name, pid in pids.items():
            _print(name, loads[name], before_kib[name], peak_kib(pid))
        these.check_ledger()


def _streams(open_files: int) -> int:
    """As many streams as a gateway can have: each needs two connections."""
    most = (open_files - REFUSED_MAX - _OPEN_ANYWAY) // 2
    if most < STREAMS:
        print(f"Only {open_files} open files are allowed (`ulimit -Hn`): fewer streams")
    return min(STREAMS, most)


def _print(name: str, loads: list[Load], before_kib: int, peak_kib: int) -> None:
    bar = " (bar: 0)" if name == OURS else ""
    print(
        f"  {name:12} errors {sum(load.errors for load in loads)}{bar}  "
        f"whole p50 {statistics.median(load.p50_ms for load in loads):5,.0f} ms  "
        f"p99 {statistics.median(load.p99_ms for load in loads):5,.0f} ms  "
        f"CPU {statistics.median(load.cpu_us for load in loads) / 1e3:.1f} ms each  "
        f"resident {before_kib / 1024:.0f} MiB, at most {peak_kib / 1024:.0f} MiB"
    )
