"""Whether the memory of the gateway stays constant over many calls."""

import sys
from statistics import linear_regression

from benchmarks.inference import CLIENTS, PLAIN
from benchmarks.servers import resident_kib
from benchmarks.sides import OURS, sides

CALLS = 200_000
_STEPS = 100
_WARM_UP = 0.1
"""The share of the calls that fill caches, pools and the allocator."""


def report(calls: int) -> None:
    """Measure and print; takes minutes."""
    step = calls // _STEPS // CLIENTS * CLIENTS
    assert step, f"at least {_STEPS * CLIENTS} calls are needed"
    with sides(with_portkey=False) as these:
        made, kib = [0], [resident_kib(these.ours.pid)]
        while made[-1] < calls:
            load = these.burst(OURS, PLAIN, clients=CLIENTS, count=step // CLIENTS)
            assert not load.errors, load
            made.append(made[-1] + step)
            kib.append(resident_kib(these.ours.pid))
            print(f"\r  {made[-1]:,} of {calls:,} calls", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        first = next(place for place, count in enumerate(made) if count >= calls * _WARM_UP)
        slope_kib = linear_regression(made[first:], kib[first:]).slope * 1000
        print(f"resident memory over {made[-1]:,} metered calls, {CLIENTS} clients")
        print(
            f"  {kib[0] / 1024:.1f} MiB at the start, {kib[first] / 1024:.1f} after "
            f"{made[first]:,}, {kib[-1] / 1024:.1f} at the end: "
            f"{slope_kib:+.3f} KiB per 1,000 calls"
        )
        these.check_ledger()
