"""The process that is killed: `python -m tests.crash.child DATABASE SEED`.

It tells on standard output, a line each, what the store acknowledged, after an empty line that says
that the database is about to be opened. A line is one `write` below PIPE_BUF: never half a line.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from modelgates_server.store.sqlite.store import open_store
from tests.crash.acknowledged import Acknowledged, to_line
from tests.crash.workload import work
from tests.deadlines import DEADLINE_S

_STDOUT = 1


def tell(acknowledged: Acknowledged) -> None:
    os.write(_STDOUT, to_line(acknowledged))


async def run(path: Path, seed: int) -> None:
    os.write(_STDOUT, b"\n")
    await work(open_store(path), seed, tell)


if __name__ == "__main__":
    # One that hangs ends by another signal than its parent's, which the parent sees.
    signal.alarm(DEADLINE_S)
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))
