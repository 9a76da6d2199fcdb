"""Runs every benchmark. Ratios are what counts: both sides of each are measured in the same run."""

import os
import platform

from benchmarks import credits as credits_api
from benchmarks import ledger, startup

print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}")
credits_api.report()
ledger.report()
startup.report()
