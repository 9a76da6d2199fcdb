"""CPU time per call of the working tree's server against a commit's: `make bench-against REF=…`.

Both servers run all the time and are loaded alternately for a quarter of a second each: old, new,
new, old. Other load of the machine then affects both alike, and mostly cancels out in the ratio of
a turn, which lasts several seconds. With 18 turns, the quartiles of the ratios are about the 95 %
confidence interval of their median.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean, median, quantiles
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.credits import credits_request
from benchmarks.inference import PLAIN, STREAM
from benchmarks.load import Load, burst
from benchmarks.servers import HOST, environment, modelgates, run, sandbox
from benchmarks.sides import Shape, Side, configured

CLIENTS = 32
TURNS = 18
TURN_S = 5.2
"""Time of a workload in a turn; all turns together take about six minutes."""
SLICE_S = 0.25
"""Time that one server is loaded before the other."""
WARM_S = 3
BAR = 0.95

_HERE = Path(__file__).resolve().parents[1]


class Contender(NamedTuple):
    """The server of one tree, and how to call it."""

    chat: Side
    management_key: str


class Workload(NamedTuple):
    """Calls to measure; `measure` makes `count` of them on each of `CLIENTS` connections."""

    name: str
    measure: Callable[[Contender, int], Load]


class Pair(NamedTuple):
    """The CPU time per call of both servers in one turn, in microseconds."""

    old_us: float
    new_us: float

    @property
    def ratio(self) -> float:
        """Above 1 when the new server is cheaper."""
        return self.old_us / self.new_us


def _plain(contender: Contender, count: int) -> Load:
    return _chat(contender, PLAIN, count)


def _stream(contender: Contender, count: int) -> Load:
    return _chat(contender, STREAM, count)


def _credits(contender: Contender, count: int) -> Load:
    return _burst(contender, credits_request(contender.management_key), count)


WORKLOADS = [
    Workload("plain calls", _plain),
    Workload("100-chunk streams", _stream),
    Workload("GET /credits", _credits),
]


def report(ref: str, turns: int) -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        tree = stack.enter_context(_checked_out(ref, Path(folder, "tree")))
        print(f"old: {_git('log', '-1', '--format=%h %s', ref)}")
        print(f"new: the working tree, on {_git('log', '-1', '--format=%h %s')}")
        upstream = stack.enter_context(sandbox())
        base_url = f"http://{HOST}:{upstream.port}/v1"
        old, new = (
            stack.enter_context(_contender(source, Path(folder, name), base_url))
            for name, source in (("old", tree), ("new", _HERE))
        )
        counts = {workload: _warm(workload, old, new) for workload in WORKLOADS}
        pairs: dict[Workload, list[Pair]] = {workload: [] for workload in WORKLOADS}
        for turn in range(turns):
            print(f"\r  turn {turn + 1} of {turns}", end="", file=sys.stderr, flush=True)
            for workload, count in counts.items():
                pairs[workload].append(_turn(workload, old, new, count))
        print(file=sys.stderr)
    print(f"{os.cpu_count()} cores, load average over 5 minutes {os.getloadavg()[1]:.1f}")
    print(f"  CPU per call       old/new (bar: {BAR})  quartiles     min   max     old us  new us")
    for workload in WORKLOADS:
        _print(workload.name, pairs[workload])


def _print(name: str, pairs: list[Pair]) -> None:
    ratios = [pair.ratio for pair in pairs]
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    old_us, new_us = (median(times) for times in zip(*pairs, strict=True))
    print(
        f"  {name:18} {middle:7.3f}              {low:.3f} {high:.3f}   "
        f"{min(ratios):.3f} {max(ratios):.3f}  {old_us:7.1f} {new_us:7.1f}"
    )


def _turn(workload: Workload, old: Contender, new: Contender, count: int) -> Pair:
    """Old, new, new, old: a machine that speeds up or slows down favors neither."""
    old_us: list[float] = []
    new_us: list[float] = []
    until = time.monotonic() + TURN_S
    while time.monotonic() < until:
        for contender, times in ((old, old_us), (new, new_us), (new, new_us), (old, old_us)):
            times.append(_measured(workload, contender, count).cpu_us)
    return Pair(fmean(old_us), fmean(new_us))


def _warm(workload: Workload, *contenders: Contender) -> int:
    """Fill caches, and return the number of calls per connection that takes `SLICE_S`."""
    rates = []
    for contender in contenders:
        until = time.monotonic() + WARM_S
        while time.monotonic() < until:
            rates.append(_measured(workload, contender, count=10).requests_s)
    return round(median(rates) * SLICE_S / CLIENTS) or 1


def _measured(workload: Workload, contender: Contender, count: int) -> Load:
    load = workload.measure(contender, count)
    if load.errors:
        sys.exit(f"{workload.name}: {load.errors} of {CLIENTS * count} calls failed")
    return load


def _chat(contender: Contender, shape: Shape, count: int) -> Load:
    return _burst(contender, contender.chat.request(shape), count)


def _burst(contender: Contender, request: bytes, count: int) -> Load:
    server = contender.chat.server
    return burst(HOST, server.port, server.pid, request, clients=CLIENTS, count=count)


@contextmanager
def _contender(tree: Path, folder: Path, base_url: str) -> Iterator[Contender]:
    """The server of a tree, with a ledger filled by the tree's own commands."""
    folder.mkdir()
    url = f"sqlite:///{folder}/calls.db"
    variables = environment(url, tree)
    _check_source(tree, variables)

    def created(*arguments: str) -> dict[str, str]:
        members: dict[str, str] = json.loads(run([*arguments, "--json"], variables))
        return members

    account = created("account", "create", "bench")["id"]
    created("credits", "grant", account, "100000")
    management_key, inference_key = (
        created("key", "create", "--account", account, "--kind", kind)["key"]
        for kind in ("management", "inference")
    )
    bearer = {"Authorization": f"Bearer {inference_key}"}
    with modelgates(url, configured(folder, base_url), tree) as server:
        yield Contender(Side(server, "/api/v1/chat/completions", "bench/", bearer), management_key)


def _check_source(tree: Path, variables: dict[str, str]) -> None:
    """Check that the tree's source runs, and not the installed one on both sides."""
    program = "import modelgates_server; print(modelgates_server.__file__)"
    command = [sys.executable, "-P", "-c", program]
    source = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    assert Path(source.stdout.strip()).is_relative_to(tree.resolve()), source.stdout


@contextmanager
def _checked_out(ref: str, path: Path) -> Iterator[Path]:
    _git("worktree", "add", "--quiet", "--detach", str(path), ref)
    try:
        yield path
    finally:
        _git("worktree", "remove", "--force", str(path))


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_HERE), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("ref", help="the commit to compare with")
    parser.add_argument(
        "--turns", type=int, default=TURNS, help="at least 2; fewer for a quick look"
    )
    given = parser.parse_args()
    if given.turns < 2:
        parser.error("--turns must be at least 2: the quartiles need two ratios.")
    report(given.ref, given.turns)
