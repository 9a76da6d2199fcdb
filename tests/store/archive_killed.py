"""A process that archives and kills itself: `python -m tests.store.archive_killed DB FOLDER STEP`.

It dies right before the step with this number: a statement that begins or ends a transaction, a
file that is synced or renamed. Prints the number of steps if it comes to its end.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.store.archived import run


class Steps:
    """Counts steps, and kills the process before the last one."""

    def __init__(self, last: int) -> None:
        self.count = 0
        self._last = last

    def take(self) -> None:
        self.count += 1
        if self.count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **keywords: Any) -> Any:
            self.take()
            return work(*args, **keywords)

        return counted


class KilledConnection(sqlite3.Connection):
    steps: Steps

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql in {"begin immediate", "commit"} or sql.startswith("pragma wal_checkpoint"):
            self.steps.take()
        return super().execute(sql, parameters)


def connect(path: Path) -> KilledConnection:
    return sqlite3.connect(path, timeout=0, isolation_level=None, factory=KilledConnection)


def main(path: str, folder: str, last: str) -> None:
    steps = KilledConnection.steps = Steps(int(last))
    os.fsync = steps.before(os.fsync)
    Path.rename = steps.before(Path.rename)  # type: ignore[method-assign]
    run(Path(path), Path(folder), connect)
    print(steps.count, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
