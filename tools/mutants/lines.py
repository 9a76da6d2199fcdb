"""Finds the tests that run each line: a plugin for pytest, and a reader of what it measured.

`pytest -p tools.mutants.lines` measures with one context per test.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

DATA = "MUTANTS_COVERAGE"
"""The environment variable that names the file of the measurements."""

_DURATIONS = "durations.json"
_SOURCES = ["modelgates_server.core", "modelgates_server.dialects", "modelgates_server.store"]
_MEASURED = pytest.StashKey[coverage.Coverage]()
_SECONDS = defaultdict[str, float](float)


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Starts to measure before the package is imported."""
    measured = coverage.Coverage(
        data_file=os.environ[DATA], data_suffix=True, source_pkgs=_SOURCES, config_file=False
    )
    measured.start()
    early_config.stash[_MEASURED] = measured


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    measured = item.config.stash[_MEASURED]
    measured.switch_context(item.nodeid)
    yield
    measured.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _SECONDS[report.nodeid] += report.duration


def pytest_unconfigure(config: pytest.Config) -> None:
    measured = config.stash[_MEASURED]
    measured.stop()
    measured.save()
    if "PYTEST_XDIST_WORKER" not in os.environ:  # only the controller receives all reports
        Path(os.environ[DATA]).with_name(_DURATIONS).write_text(json.dumps(_SECONDS), "utf-8")


class TestsOfLines:
    """The tests that ran each line, fastest first, from a run with this plugin in `folder`."""

    def __init__(self, folder: Path, root: Path) -> None:
        measured = coverage.Coverage(data_file=str(folder / "data"), config_file=False)
        measured.combine([str(folder)])
        data = measured.get_data()
        self._root = root
        self._seconds: dict[str, float] = json.loads((folder / _DURATIONS).read_text("utf-8"))
        self._contexts = {
            str(Path(file).relative_to(root)): data.contexts_by_lineno(file)
            for file in data.measured_files()
        }

    def find(self, path: str, line: int) -> list[str]:
        """The tests that ran a line of a file below the root.

        A line that runs when its module is imported belongs to no test: for it, those of all lines.
        """
        by_line = self._contexts.get(path, {})
        tests = set(filter(None, by_line.get(line, ())))
        if not tests:
            tests = {test for found in by_line.values() for test in found if test}
        return sorted(tests, key=lambda test: (self.seconds([test]), test))

    @property
    def all_seconds(self) -> float:
        """How long all tests took together."""
        return sum(self._seconds.values())

    def seconds(self, tests: list[str]) -> float:
        """How long some tests took together."""
        return sum(self._seconds.get(test, 0) for test in tests)
