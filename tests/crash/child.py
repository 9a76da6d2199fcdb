"""The process that is killed: `python -m tests.crash.child DATABASE SEED`.

Before it opens the database, it writes an empty line to standard output; then one line for each
change that the store acknowledged. A line is one `write` below PIPE_BUF, so it is never cut.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from modelgates_server.store.sqlite.opening import open_store
from tests.crash.acknowledged import Acknowledged, to_line
from tests.crash.workload import work
from tests.deadlines import DEADLINE_S

_STDOUT = 1


def report(change: Acknowledged) -> None:
    os.write(_STDOUT, to_line(change))


async def run(path: Path, seed: int) -> None:
    os.write(_STDOUT, b"\n")
    await work(open_store(path), seed, report)


if __name__ == "__main__":
    # A child that hangs dies of this signal, not of its parent's, and the parent notices.
    signal.alarm(DEADLINE_S)
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))
