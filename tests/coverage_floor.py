"""The branch coverage of the pure packages: run `python -m tests.coverage_floor` after the tests.

Tests that run with `-p tests.coverage_floor` are measured, in each of their workers. The whole
suite runs with it, which saves a second run of the tests of these packages.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import coverage
import pytest

FLOORS_PERCENT = {"core": 98, "dialects": 98}
PACKAGE = Path("src/modelgates_server")
_MEASURED = pytest.StashKey[coverage.Coverage]()


class Branches(NamedTuple):
    """The number of branches of one package, and those that no test covers."""

    total: int
    missing: list[str]

    @property
    def percent(self) -> float:
        return 100 * (1 - len(self.missing) / self.total) if self.total else 0.0


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Starts to measure before the package is imported."""
    measured = coverage.Coverage()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        measured.erase()
    measured.start()
    early_config.stash[_MEASURED] = measured


def pytest_unconfigure(config: pytest.Config) -> None:
    measured = config.stash[_MEASURED]
    measured.stop()
    measured.save()


def branches(report: Any, room: str) -> Branches:
    """Returns the branches of one package in `coverage`'s JSON report."""
    files = {
        path: file
        for path, file in report["files"].items()
        if (PACKAGE / room) in Path(path).parents
    }
    return Branches(
        sum(file["summary"]["num_branches"] for file in files.values()),
        [branch for path, file in files.items() for branch in _missing(path, file)],
    )


def _missing(path: str, file: Any) -> Iterator[str]:
    for start, end in file["missing_branches"]:
        yield f"{path}:{start}: never continues to {f'line {end}' if end > 0 else 'its end'}"


def measured_report() -> Any:
    measured = coverage.Coverage()
    measured.combine()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        measured.json_report(outfile=str(path))
        return json.loads(path.read_text("utf-8"))


def main() -> int:
    """Prints the coverage of each package and its missing branches; returns 1 below the floor."""
    report, below = measured_report(), []
    for room, floor in FLOORS_PERCENT.items():
        taken = branches(report, room)
        print(f"{room}: {taken.percent:.1f} % of {taken.total} branches, at least {floor} %")
        print(*(f"  {branch}" for branch in taken.missing), sep="\n")
        below += [room] if taken.percent < floor else []
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
