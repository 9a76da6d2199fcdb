"""Plants faults one at a time and runs the tests of their lines: `make mutants`.

A mutant is killed if a test fails or does not end. The tests that run its line come first, those
of few files before the others, then all tests of the packages. One that cannot even be imported is
not counted: any test would kill it. Repeat a run with its seed, or a single mutant with `--only`.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import unified_diff
from enum import StrEnum
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tools.mutants.lines import DATA, TestsOfLines

PACKAGE = Path("src/modelgates_server")
MUTATED = ("core", "dialects", "store")
TESTS = ("tests/core", "tests/dialects", "tests/service", "tests/store")
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
_FIRST_FILES = 3
"""A test run spends most of its time on reading files of tests."""

_SELECTED_MAX = 300
_START_S = 60
_SLOWER = 10
"""The times that the original takes in its tests, after which a mutant does not end: in CPU time;
three times that in real time."""

_SPARE = 1.5
"""More are drawn than are counted, because some cannot be imported."""


class Fate(StrEnum):
    """The result of a mutant."""

    KILLED = "killed"
    ENDLESS = "endless"
    SURVIVED = "survived"
    INVALID = "not importable"
    EQUIVALENT = "equivalent"


_FATES = {
    0: Fate.SURVIVED,
    4: Fate.SURVIVED,  # pytest finds no such tests: the fault changed names made from our tables
    5: Fate.SURVIVED,
    -signal.SIGXCPU: Fate.ENDLESS,
    -signal.SIGKILL: Fate.ENDLESS,  # the limit of CPU time, where it is the hard one
}
"""By how a process ended; all else is a failed test."""


class Mutant(NamedTuple):
    """A fault: `code` is the source of the file `path` (below the package) with it."""

    path: str
    line: int
    operator: str
    code: str

    @property
    def diff(self) -> str:
        """The changed lines, the old ones with `-` and the new ones with `+`."""
        before = (PACKAGE / self.path).read_text("utf-8").splitlines()
        lines = list(unified_diff(before, self.code.splitlines(), n=0, lineterm=""))[3:]
        return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines)


class Planter:
    """Runs tests on copies of the package, one for each process that runs at once."""

    def __init__(self, folder: Path, tests: TestsOfLines, copies: int) -> None:
        self._tests = tests
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(copies):
            shutil.copytree(PACKAGE, folder / str(number) / "src" / PACKAGE.name)
            self._free.put(folder / str(number))

    def fate(self, mutant: Mutant) -> Fate:
        """Run the tests of a mutant, and all if it survives them."""
        copy = self._free.get()
        planted = copy / "src" / PACKAGE.name / mutant.path
        try:
            planted.write_text(mutant.code, "utf-8")
            return self._run(copy, mutant)
        finally:
            shutil.copy(PACKAGE / mutant.path, planted)
            self._free.put(copy)

    def _run(self, copy: Path, mutant: Mutant) -> Fate:
        module = mutant.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        whole = f"import {PACKAGE.name}.{module}, modelgates_server.bootstrap.serving"
        if _outcome(copy, ["-c", whole], _START_S) is not Fate.SURVIVED:
            return Fate.INVALID
        selected = self._tests.find(mutant.path, mutant.line)[:_SELECTED_MAX]
        first, others = in_stages(selected)
        for stage in (first, others):
            fate = self._outcome_of(copy, stage) if stage else Fate.SURVIVED
            if fate is not Fate.SURVIVED:
                return fate
        limit_s = _START_S + _SLOWER * self._tests.all_seconds
        return _outcome(copy, [*_PYTEST, *TESTS], limit_s)

    def _outcome_of(self, copy: Path, tests: list[str]) -> Fate:
        arguments = copy / "tests.txt"
        arguments.write_text("\n".join(tests), "utf-8")
        limit_s = _START_S + _SLOWER * self._tests.seconds(tests)
        return _outcome(copy, [*_PYTEST, f"@{arguments}"], limit_s)


def in_stages(tests: list[str]) -> tuple[list[str], list[str]]:
    """Some tests, and the others: first those of the files that most of them stand in."""
    files = Counter(test.partition("::")[0] for test in tests)
    most = {file for file, _ in files.most_common(_FIRST_FILES)}
    first = [test for test in tests if test.partition("::")[0] in most]
    return first, [test for test in tests if test not in set(first)]


_PYTEST = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", "-m", "not slow")


def _outcome(copy: Path, arguments: Iterable[str], seconds: float) -> Fate:
    """Whether a Python program fails (the mutant is killed), does not end in time, or succeeds.

    The limit is one of CPU time, so that a busy machine kills no mutants.
    """
    path = os.pathsep.join((str(copy / "src"), str(Path.cwd())))
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(copy)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    resource.prlimit(process.pid, resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    try:
        code = process.wait(3 * seconds)
    except subprocess.TimeoutExpired:
        return Fate.ENDLESS
    else:
        return _FATES.get(code, Fate.KILLED)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


def draw(python: str, seed: int, count: int) -> Iterator[Mutant]:
    """Draw mutants with Cosmic Ray, which is installed for the given interpreter."""
    script = Path(__file__).with_name("draw.py")
    options = ["--seed", str(seed), "--count", str(count)]
    command = [python, str(script), str(PACKAGE), *MUTATED, *options]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    for line in printed.splitlines():
        yield Mutant(**json.loads(line))


def equivalents() -> dict[tuple[str, str], str]:
    """The mutants that do the same as the original, by file and diff, with the reason."""
    listed = tomllib.loads(EQUIVALENT.read_text("utf-8"))["mutant"]
    for each in listed:
        old = each["diff"].strip().splitlines()[0].removeprefix("- ")
        assert old in (PACKAGE / each["path"]).read_text("utf-8"), f"{each['path']} has no {old!r}"
    return {(each["path"], each["diff"].strip()): each["reason"] for each in listed}


def measure(folder: Path) -> TestsOfLines:
    """Run all tests of the packages once, and note which runs each line."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tools.mutants.lines"]
    options = ["-n", "auto", "--dist=worksteal", "-m", "not slow"]
    subprocess.run(
        [*command, *options, *TESTS],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, DATA: str(folder / "data")},
    )
    return TestsOfLines(folder, PACKAGE.resolve())


def judge(
    planter: Planter, mutants: Iterable[Mutant], copies: int
) -> Iterator[tuple[Mutant, Fate]]:
    """The mutants that count, with their fates, in the order of the draw."""
    known = equivalents()

    def fate(mutant: Mutant) -> Fate:
        if (mutant.path, mutant.diff) in known:
            return Fate.EQUIVALENT
        return planter.fate(mutant)

    pool = ThreadPoolExecutor(copies)
    every = list(mutants)
    try:
        yield from zip(every, pool.map(fate, every), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def main() -> int:
    """Print each mutant that no test failed for, and the shares; returns 1 if too many survive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="interpreter that has Cosmic Ray")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--least", type=float, default=95, help="per cent that must be killed")
    parser.add_argument("--only", help="one file below the package, such as core/money.py")
    given = parser.parse_args()
    copies = os.cpu_count() or 1
    print(f"seed {given.seed}: finding the tests of each line ...", flush=True)
    with TemporaryDirectory(prefix="mutants-") as folder:
        (Path(folder) / "lines").mkdir()
        tests = measure(Path(folder) / "lines")
        planter = Planter(Path(folder), tests, copies)
        drawn = list(draw(given.python, given.seed, int(given.count * _SPARE)))
        mutants = [each for each in drawn if given.only in (None, each.path)]
        fates = Counter[tuple[str, Fate]]()
        judged = judge(planter, mutants, copies)
        counted = (each for each in judged if each[1] not in (Fate.INVALID, Fate.EQUIVALENT))
        for number, (mutant, fate) in enumerate(islice(counted, given.count), start=1):
            fates[mutant.path.partition("/")[0], fate] += 1
            if fate is not Fate.KILLED:
                where = f"{mutant.path}:{mutant.line} {mutant.operator} {fate}"
                print(f"\n{where}\n{mutant.diff}", flush=True)
            if number % 20 == 0:
                print(f"{number} of {given.count}", file=sys.stderr, flush=True)
    return report(fates, given.least)


def report(fates: Counter[tuple[str, Fate]], least: float) -> int:
    """Print the share killed of each package and of all."""
    for package in (*MUTATED, "all"):
        counts = Counter[Fate]()
        for (name, fate), count in fates.items():
            counts[fate] += count if package in (name, "all") else 0
        total = counts.total()
        share = 100 * (total - counts[Fate.SURVIVED]) / total if total else 0.0
        parts = ", ".join(f"{count} {fate}" for fate, count in counts.items())
        print(f"{package}: {share:.1f} % killed of {total} ({parts})")
    return 0 if share >= least else 1


if __name__ == "__main__":
    sys.exit(main())
