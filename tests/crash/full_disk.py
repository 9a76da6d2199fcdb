"""Fills the disk of a running gateway, and kills or stops it: `python -m tests.crash.full_disk`.

In each round, calls are running when the disk of database and spool gets full: without any room, or
at one call of the operating system. The server then gets SIGKILL or SIGTERM; in some rounds, no one
reads its log. When the disk has room again, the next server and a replay of the log must charge
every acknowledged call once. Prints the counts, and exits with status 1 if there was a problem.
"""

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from signal import SIGKILL, SIGTERM

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.pricing.prices import dollars
from tests.deadlines import DEADLINE_S
from tests.e2e.calls import records
from tests.full_disk.site import Site, clients, small_site

CALLS = 12
_CLEAN = {0, 75}
_WRITES = 60
"""About the calls of the operating system that need room in one round."""


class Tally:
    """The outcome of rounds. `rejected` calls got an error, and `unread` rounds had no reader."""

    def __init__(self) -> None:
        self.rounds = self.kills = self.unread = self.acknowledged = self.rejected = self.lost = 0
        self.exits: Counter[int] = Counter()
        self.problems: list[str] = []

    def __str__(self) -> str:
        return (
            f"rounds {self.rounds}, kills {self.kills}, unread logs {self.unread}, "
            f"acknowledged {self.acknowledged}, rejected {self.rejected}, lost {self.lost}"
        )


class Rounds:
    """Rounds on one database."""

    def __init__(self, site: Site, tally: Tally) -> None:
        self._site = site
        self._tally = tally
        self._costs: dict[str, Decimal] = {}
        self._elsewhere = str(site.folder / "elsewhere")

    def run(self, dice: random.Random, *, unread: bool = False) -> None:
        """Runs one round: a full disk, the end of the server, and what follows."""
        end = dice.choice([SIGKILL, SIGTERM])
        with (
            _stderr(unread) as stderr,
            self._site.server(stderr, MODELGATES_EMERGENCY_DIR=self._elsewhere) as server,
        ):
            with clients(self._site, server) as users:
                passes = dice.randrange(_WRITES)
                change = dice.choice(
                    [self._site.disk.fill, lambda: self._site.disk.set(passes=passes)]
                )
                responses = users.calls_across(change, CALLS)
                responses += [users.call() for _ in range(3)]
            server.process.send_signal(end)
            code = server.process.wait(DEADLINE_S)
        self._costs |= users.costs
        self._tally.rounds += 1
        self._tally.kills += end == SIGKILL
        self._tally.unread += unread
        self._tally.acknowledged += len(users.costs)
        self._tally.rejected += len(responses) - len(users.costs)
        self._tally.exits[code] += 1
        if code not in (_CLEAN if end == SIGTERM else {-SIGKILL}):
            self._tally.problems.append(f"exit code {code} after signal {end}")
        self._recover()

    def _recover(self) -> None:
        self._site.disk.free()
        with self._site.server(MODELGATES_EMERGENCY_DIR=self._elsewhere) as server:
            with clients(self._site, server) as users:
                users.until_drained()
            server.process.terminate()
            assert server.process.wait(DEADLINE_S) == 0
        if b"mg-end-" in self._site.log_path.read_bytes():
            replayed = self._site.console.run("spool", "replay", str(self._site.log_path))
            assert replayed.code == 0, replayed
        _, generations = records(self._site.console.path, self._site.customer.account_id)
        self._compare({generation.id: generation for generation in generations})

    def _compare(self, generations: dict[str, Generation]) -> None:
        for generation_id, cost in self._costs.items():
            if dollars(generations[generation_id].cost_pico) != cost:
                self._tally.lost += 1
                self._tally.problems.append(f"acknowledged {cost}: {generations[generation_id]}")


@contextmanager
def _stderr(unread: bool) -> Iterator[int | None]:
    """A full pipe that no one reads, or None for a log file."""
    if not unread:
        yield None
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


def run(folder: Path, rounds: int, seed: int, tally: Tally, *, unread_every: int) -> None:
    """Runs rounds on one database; in one of `unread_every`, no one reads the log."""
    with small_site(folder) as site:
        each = Rounds(site, tally)
        for number in range(rounds):
            unread = bool(unread_every) and number % unread_every == unread_every - 1
            each.run(random.Random(f"{seed} {number}"), unread=unread)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), arguments.rounds, arguments.seed, tally, unread_every=4)
    for problem in tally.problems:
        print(problem)
    print(tally)
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
