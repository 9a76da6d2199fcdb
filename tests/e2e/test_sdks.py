"""Published clients, unchanged, against the running server."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests.deadlines import DEADLINE_S
from tests.server import Customer, RunningServer

HERE = Path(__file__).parent
OLD = "0.11.46"
OLD_FOLDER = Path(sys.prefix) / "sdks" / f"openrouter-{OLD}"


def run(script: str, server: RunningServer, customer: Customer, folder: Path | None = None) -> str:
    """Runs a client in a separate process; returns the version that it prints."""
    environment = {**os.environ, "PYTHONPATH": str(folder or "")}
    arguments = [server.api, customer.management, customer.inference]
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_newest_openrouter_client_works_unchanged(
    server: RunningServer, customer: Customer
) -> None:
    assert run("sdk_openrouter.py", server, customer) == version("openrouter") != OLD


def test_old_openrouter_client_works_unchanged(server: RunningServer, customer: Customer) -> None:
    assert OLD_FOLDER.is_dir(), f"`make setup-dev` installs openrouter {OLD} there"
    assert run("sdk_openrouter.py", server, customer, OLD_FOLDER) == OLD


def test_modelgates_client_works(server: RunningServer, customer: Customer) -> None:
    assert run("sdk_modelgates.py", server, customer) == version("modelgates")
