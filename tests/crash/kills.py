"""Kills working processes again and again: `python -m tests.crash.kills --kills 1000`.

Two processes share a database, as workers do. One is killed; the other continues until it is killed
as well. Then the database must have every acknowledged change, repeats must get the same results,
and the ledger must verify. Prints the counts, and exits with status 1 if there was a problem.
"""

import argparse
import asyncio
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from modelgates_server.core.ledger.records import Entry
from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite.opening import open_store
from tests.crash.acknowledged import Acknowledged, Posted, contents, from_line, not_replayed
from tests.deadlines import DEADLINE_S

ROOT = Path(__file__).resolve().parents[2]
PAIRS_PER_DATABASE = 5
_LINES_MAX_LOG2 = 11


class Tally:
    """The outcome of kills. `unreported` entries were saved but not reported before the kill."""

    def __init__(self) -> None:
        self.kills = 0
        self.acknowledged = 0
        self.unreported: set[Entry] = set()
        self.lost = 0
        self.problems: list[str] = []

    def __str__(self) -> str:
        return f"kills {self.kills}, acknowledged {self.acknowledged}, lost {self.lost}"


class Child:
    """A process at work; see `tests.crash.child`."""

    def __init__(self, path: Path, seed: int) -> None:
        command = [sys.executable, "-m", "tests.crash.child", str(path), str(seed)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.__exit__(None, None, None)

    def killed_after(self, count: int) -> list[Acknowledged]:
        """Kills it after a number of lines; returns the changes in these and any later lines."""
        assert self._process.stdout is not None
        lines = [self._process.stdout.readline() for _ in range(count)]
        self._process.kill()
        lines += self._process.stdout.readlines()
        assert self._process.wait(DEADLINE_S) == -signal.SIGKILL, (
            "the process ended before it was killed"
        )
        return [from_line(line) for line in lines if line.strip()]


class Database:
    """One database file that is used across several kills."""

    def __init__(self, path: Path, tally: Tally) -> None:
        self._path = path
        self._tally = tally
        self._changes: list[Acknowledged] = []

    def survive(self, seed: int) -> None:
        """Kills two processes at moments that the seed determines, and checks what they left."""
        dice = random.Random(seed)
        # Every power of two is equally likely, so that some kills hit the start of a child.
        first, second = (int(2 ** dice.uniform(0, _LINES_MAX_LOG2)) for _ in range(2))
        with (
            Child(self._path, 2 * seed) as first_child,
            Child(self._path, 2 * seed + 1) as second_child,
        ):
            changes = first_child.killed_after(first) + second_child.killed_after(second)
        self._tally.kills += 2
        self._tally.acknowledged += len(changes)
        self._changes += changes
        asyncio.run(self._check(changes))

    async def _check(self, changes: list[Acknowledged]) -> None:
        store = open_store(self._path)
        saved = await contents(store)
        gone = saved.lost(self._changes)
        self._changes = [change for change in self._changes if change not in gone]
        self._tally.lost += len(gone)
        reported = {change.entry for change in self._changes if isinstance(change, Posted)}
        self._tally.unreported |= set(saved.entries.values()) - reported
        self._tally.problems += [f"lost: {change}" for change in gone]
        self._tally.problems += [
            f"not replayed: {change}" for change in await not_replayed(store, changes)
        ]
        self._tally.problems += map(str, (await verify(store)).findings)
        await store.close()


def kill(folder: Path, kills: int, seed: int, tally: Tally) -> None:
    """Kills processes in pairs, with a new database every `PAIRS_PER_DATABASE` pairs."""
    for number in range(kills // 2):
        if number % PAIRS_PER_DATABASE == 0:
            database = Database(folder / f"{seed}-{number}.db", tally)
        database.survive(seed + number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="rounded up to a multiple of 10")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        while tally.kills < arguments.kills:
            kill(Path(folder), 2 * PAIRS_PER_DATABASE, arguments.seed + tally.kills, tally)
            print(tally, flush=True)
    for problem in tally.problems:
        print(problem)
    print(tally)
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
