"""Kills working processes again and again: `python -m tests.crash.kills --kills 1000`.

Two at a time share a database, as workers do; one is killed, the other goes on until it is killed.
Then all that was acknowledged must be in the database, asking again must get the same answers, and
the books must verify. Ends with the counts, and with status 1 when something was lost.
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
from modelgates_server.store.sqlite.store import open_store
from tests.crash.acknowledged import Acknowledged, Posted, contents, from_line, not_replayed
from tests.deadlines import DEADLINE_S

ROOT = Path(__file__).resolve().parents[2]
PAIRS_PER_DATABASE = 5
_LINES_MAX_LOG2 = 11


class Toll:
    """What some kills came to. `unanswered` entries were saved, and their answer was killed."""

    def __init__(self) -> None:
        self.kills = 0
        self.acknowledged = 0
        self.unanswered: set[Entry] = set()
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
        """Let it work until it told so many lines; returns what these and later ones say."""
        assert self._process.stdout is not None
        lines = [self._process.stdout.readline() for _ in range(count)]
        self._process.kill()
        lines += self._process.stdout.readlines()
        assert self._process.wait(DEADLINE_S) == -signal.SIGKILL, "it ended before it was killed"
        return [from_line(line) for line in lines if line.strip()]


class Database:
    """One file that lives through several kills."""

    def __init__(self, path: Path, toll: Toll) -> None:
        self._path = path
        self._toll = toll
        self._told: list[Acknowledged] = []

    def survive(self, seed: int) -> None:
        """Two kills, at moments that follow from the seed, and the look at what they left."""
        dice = random.Random(seed)
        # Each power of two is as likely, so that starts are hit as well: a line comes before.
        first, second = (int(2 ** dice.uniform(0, _LINES_MAX_LOG2)) for _ in range(2))
        with Child(self._path, 2 * seed) as one, Child(self._path, 2 * seed + 1) as other:
            told = one.killed_after(first) + other.killed_after(second)
        self._toll.kills += 2
        self._toll.acknowledged += len(told)
        self._told += told
        asyncio.run(self._look(told))

    async def _look(self, told: list[Acknowledged]) -> None:
        store = open_store(self._path)
        found = await contents(store)
        gone = found.lost(self._told)
        self._told = [one for one in self._told if one not in gone]
        self._toll.lost += len(gone)
        answered = {one.entry for one in self._told if isinstance(one, Posted)}
        self._toll.unanswered |= set(found.entries.values()) - answered
        self._toll.problems += [f"lost: {one}" for one in gone]
        self._toll.problems += [f"not replayed: {one}" for one in await not_replayed(store, told)]
        self._toll.problems += map(str, (await verify(store)).findings)
        await store.close()


def kill(folder: Path, kills: int, seed: int, toll: Toll) -> None:
    """So many kills, two by two, on a fresh database every few of them."""
    for number in range(kills // 2):
        if number % PAIRS_PER_DATABASE == 0:
            database = Database(folder / f"{seed}-{number}.db", toll)
        database.survive(seed + number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="rounded up to tens")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    toll = Toll()
    with tempfile.TemporaryDirectory() as folder:
        while toll.kills < asked.kills:
            kill(Path(folder), 2 * PAIRS_PER_DATABASE, asked.seed + toll.kills, toll)
            print(toll, flush=True)
    for problem in toll.problems:
        print(problem)
    print(toll)
    return 1 if toll.problems else 0


if __name__ == "__main__":
    sys.exit(main())
