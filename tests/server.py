"""The real server in a separate process, and customers to call it."""

import asyncio
import os
import re
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from modelgates_server.bootstrap import load_settings, open_gateway
from modelgates_server.core.keys import KeyKind, NewKey
from modelgates_server.service.services import LedgerServices
from tests.deadlines import DEADLINE_S
from tests.support import DOLLAR

MODELGATES = Path(sys.executable).with_name("modelgates")
"""The installed command, next to the Python that runs the tests."""


@dataclass(frozen=True)
class RunningServer:
    """A server that accepts requests and logs to `log_path`."""

    url: str
    process: subprocess.Popen[str]
    database_path: Path
    log_path: Path

    @property
    def api(self) -> str:
        """The base URL for clients."""
        return f"{self.url}/api/v1"


@dataclass(frozen=True)
class Customer:
    """An account with credits, and the text of one key of every kind."""

    account_id: str
    management: str
    inference: str
    viewer: str


@contextmanager
def running_server(folder: Path, **environment: str) -> Iterator[RunningServer]:
    """Serves the database in `folder` on a free port. SIGTERM ends it, with exit code 0.

    `environment` has settings: `running_server(tmp_path, MODELGATES_WORKERS="2")`.
    """
    database_path, log_path = folder / "modelgates.db", folder / "server.log"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MODELGATES_")}
    settings = {"MODELGATES_DATABASE_URL": f"sqlite:///{database_path}", **environment}
    with (
        log_path.open("w") as log,
        subprocess.Popen(
            [MODELGATES, "serve", "--port", "0"],
            cwd=folder,
            env={**inherited, **settings},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            url = _printed_url(process.stdout, log_path)
            yield RunningServer(url, process, database_path, log_path)
            process.terminate()
            assert process.wait(DEADLINE_S) == 0, log_path.read_text()
        finally:
            process.kill()


async def open_customer(database_path: Path, credits_pico: int = 100 * DOLLAR) -> Customer:
    """Opens an account with credits and keys. A server may be running on the same file."""
    settings = load_settings(database_url=f"sqlite:///{database_path}")
    async with open_gateway(settings) as services:
        return await new_customer(services, credits_pico)


def open_customer_now(database_path: Path, credits_pico: int = 100 * DOLLAR) -> Customer:
    """Does the same for fixtures and tests that are not async."""
    return asyncio.run(open_customer(database_path, credits_pico))


async def new_customer(services: LedgerServices, credits_pico: int = 100 * DOLLAR) -> Customer:
    """Does the same with services that are open already."""
    account = await services.accounts.open("Acme Lab")
    if credits_pico:
        await services.credits.grant(account.id, credits_pico, "test")
    texts = {}
    for kind in KeyKind:
        _, texts[kind.value] = await services.keys.create(account.id, NewKey(kind=kind, name=kind))
    return Customer(account.id, **texts)


def _printed_url(stdout: IO[str] | None, log_path: Path) -> str:
    assert stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        assert selector.select(DEADLINE_S), f"the server printed no address within {DEADLINE_S} s"
    match = re.search(r"https?://\S+", stdout.readline())
    assert match, f"the server ended before it listened: {log_path.read_text()}"
    return match.group()
