"""The time that a metered call adds, and the number of calls per second.

Calls go directly to the sandbox process, through ModelGates with a ledger file at
`synchronous=FULL`, and through Portkey, which does not meter.
"""

import statistics
from collections.abc import Callable

from benchmarks.load import Load
from benchmarks.sides import DIRECT, OURS, PORTKEY, Shape, Sides, sides

CLIENTS = 32
ROUNDS = 5
PLAIN = Shape("echo", "Say this again.", max_tokens=20)
STREAM = Shape("lorem", "100", stream=True)

Rounds = list[dict[str, Load]]


def report() -> None:
    """Measure and print."""
    print("metered calls: POST /chat/completions, with the sandbox as a separate process")
    with sides() as these:
        if PORTKEY not in these.by_name:
            print("  Portkey is not installed: it needs Node 20 or newer.")
        these.warm(PLAIN, STREAM)
        _alone(these, STREAM, "100-chunk streams, 1 client: time to the first byte")
        _alone(these, PLAIN, "plain calls, 1 client: time to the response")
        _together(these, PLAIN, 100, f"plain calls, {CLIENTS} clients", "calls")
        _together(these, STREAM, 25, f"100-chunk streams, {CLIENTS} clients", "streams")
        these.check_ledger()


def _alone(these: Sides, shape: Shape, title: str) -> None:
    """Print how much time a gateway adds before the first byte of the body."""
    rounds = these.rounds(shape, clients=1, count=200, rounds=ROUNDS)
    print(f"  {title}")
    for name in these.by_name:
        p50_ms = _median(rounds, name, lambda load: load.first_p50_ms)
        p99_ms = _median(rounds, name, lambda load: load.first_p99_ms)
        line = f"    {name:12} p50 {p50_ms:6.2f} ms  p99 {p99_ms:6.2f} ms"
        if name != DIRECT:
            added = [
                measured[name].first_p50_ms - measured[DIRECT].first_p50_ms for measured in rounds
            ]
            line += f"  added {statistics.median(added):5.2f} ms"
        print(line + _remark(name, shape))


def _remark(name: str, shape: Shape) -> str:
    if name == OURS and shape.stream:
        return " (bar: 1.5)"
    if name == PORTKEY and shape.stream:
        return " (of which it waits 25 ms on purpose)"
    return ""


def _together(these: Sides, shape: Shape, count: int, title: str, unit: str) -> None:
    """Print the rates and the CPU time of the gateway's process with many clients at once."""
    rounds = these.rounds(shape, clients=CLIENTS, count=count, rounds=ROUNDS)
    print(f"  {title}")
    for name in these.by_name:
        rate = _median(rounds, name, lambda load: load.requests_s)
        cpu_us = _median(rounds, name, lambda load: load.cpu_us)
        p50_ms = _median(rounds, name, lambda load: load.p50_ms)
        p99_ms = _median(rounds, name, lambda load: load.p99_ms)
        print(
            f"    {name:12} {rate:8,.0f} {unit}/s  CPU {cpu_us:6.0f} us each  "
            f"p50 {p50_ms:6.2f} ms  p99 {p99_ms:6.2f} ms"
        )
    if PORTKEY in these.by_name:
        by_rate = [measured[OURS].requests_s / measured[PORTKEY].requests_s for measured in rounds]
        by_cpu = [measured[PORTKEY].cpu_us / measured[OURS].cpu_us for measured in rounds]
        bar = "" if shape.stream else " (bar: 3)"
        print(
            f"    ratio to {PORTKEY}: {statistics.median(by_rate):.2f} by rate{bar}, "
            f"{statistics.median(by_cpu):.2f} by CPU"
        )


def _median(rounds: Rounds, name: str, figure: Callable[[Load], float]) -> float:
    return statistics.median(figure(measured[name]) for measured in rounds)
