"""Run every benchmark. Look at the ratios: both sides of each are measured in the same run."""

import argparse
import os
import platform

from benchmarks import credits as credits_api
from benchmarks import dialects, docs, inference, ledger, memory, startup, storage, streams

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument(
    "--calls",
    type=int,
    default=memory.CALLS,
    help="number of calls of the memory benchmark; fewer for a quick look",
)
given = parser.parse_args()

print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}")
credits_api.report()
ledger.report()
storage.report()
startup.report()
docs.report()
inference.report()
dialects.report()
streams.report()
memory.report(given.calls)
