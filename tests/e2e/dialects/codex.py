"""Lets the real Codex do a task over each API of a provider: `make test-codex`.

Codex calls a tool, reads its result and answers, through the running server and a scripted model.
It runs without any network but loopback, so that nothing leaves the machine. Prints what it did.
Exits with status 1 if a task failed, if a call was made twice, or if the costs differ.
"""

import os
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

from modelgates_server.core.pricing.prices import dollars
from tests.deadlines import DEADLINE_S
from tests.e2e.calls import Session
from tests.e2e.dialects.conftest import PROVIDER, cost_of
from tests.e2e.dialects.speakers import SPEAKERS
from tests.e2e.dialects.turns import Counts
from tests.server import open_customer_now, running_server
from tests.upstream import running_upstream

CODEX = Path(__file__).parents[1] / "clients/codex/node_modules/.bin/codex"
TASK = "Run echo and tell me what it printed."
CONFIGURATION = """
model = "{dialect}/large"
model_provider = "modelgates"

[model_providers.modelgates]
name = "ModelGates"
base_url = "{api}"
env_key = "MODELGATES_KEY"
wire_api = "responses"
"""
_OPTIONS = ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")


def ask(folder: Path, api: str, dialect: str, key: str) -> subprocess.CompletedProcess[str]:
    """Runs Codex with a home and a working directory of its own."""
    home, work = folder / "home", folder / "work"
    (home / ".codex").mkdir(parents=True)
    work.mkdir()
    text = CONFIGURATION.format(dialect=dialect, api=api)
    (home / ".codex/config.toml").write_text(text)
    return subprocess.run(
        [CODEX, *_OPTIONS, TASK],
        check=False,
        cwd=work,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "MODELGATES_KEY": key},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def run(dialect: str, folder: Path) -> list[str]:
    """The problems of a task over one dialect, and of one without credits."""
    (rich_folder := folder / "rich").mkdir(parents=True)
    (poor_folder := folder / "poor").mkdir()
    with running_upstream() as upstream:
        upstream.say = SPEAKERS[dialect]()
        table = PROVIDER.format(name=dialect, url=upstream.url, dialect=dialect)
        (folder / "modelgates.toml").write_text(table)
        settings = {"MODELGATES_CONFIG": str(folder / "modelgates.toml")}
        with running_server(folder, **settings) as server:
            rich = open_customer_now(server.database_path)
            poor = open_customer_now(server.database_path, credits_pico=0)
            done = ask(rich_folder, server.api, dialect, rich.inference)
            requests = len(upstream.asked)
            refused = ask(poor_folder, server.api, dialect, poor.inference)
            rejected = server.log_path.read_text().count("insufficient_credits")
            with Session(server, rich) as session:
                costs = [dollars(each.cost_pico) for each in session.check_ledger()]
    print(f"{dialect}: {requests} requests, costs {list(map(str, costs))}, {done.stdout[:60]!r}")
    print(f"{dialect}, no credits: {rejected} rejected, {refused.stderr.splitlines()[-1:]}")
    return problems(done, costs, requests, len(upstream.asked), rejected)


def problems(
    done: subprocess.CompletedProcess[str],
    costs: list[Decimal],
    requests: int,
    requests_in_all: int,
    rejected: int,
) -> list[str]:
    checks = {
        f"Codex failed: {done.stderr[-2000:]}": done.returncode == 0,
        f"the result is missing: {done.stdout}": "It printed: " in done.stdout,
        f"{requests} requests instead of 2": requests == 2,
        f"costs {costs}": costs == [cost_of(Counts())] * 2,
        "a call without credits reached the provider": requests_in_all == requests,
        f"{rejected} calls without credits instead of 1": rejected == 1,
    }
    return [problem for problem, is_good in checks.items() if not is_good]


def main() -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=DEADLINE_S)
    with tempfile.TemporaryDirectory() as folder:
        found = [
            f"{dialect}: {problem}"
            for dialect in SPEAKERS
            for problem in run(dialect, Path(folder) / dialect)
        ]
    print("\n".join(found) or "Codex did its task over every dialect.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
