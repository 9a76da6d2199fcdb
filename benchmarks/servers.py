"""Server processes to measure, and accounts for them to answer about."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from modelgates_server.bootstrap import load_settings, open_gateway
from modelgates_server.core.keys import KeyKind
from modelgates_server.core.money import PICOS_PER_DOLLAR
from modelgates_server.service.keys import NewKey

HOST = "127.0.0.1"


class Server(NamedTuple):
    """A running server process."""

    pid: int
    port: int


async def fill(url: str) -> str:
    """An account with credits; the text of its management key."""
    async with open_gateway(load_settings(database_url=url)) as gateway:
        account = await gateway.accounts.open("bench")
        await gateway.credits.grant(account.id, 100 * PICOS_PER_DOLLAR + 5 * 10**11, "bench")
        _, text = await gateway.keys.create(
            account.id, NewKey(kind=KeyKind.MANAGEMENT, name="bench")
        )
        return text


@contextmanager
def modelgates(url: str) -> Iterator[Server]:
    """ModelGates on a database."""
    command = [str(Path(sys.executable).with_name("modelgates")), "serve", "--port", "0"]
    environment = {**os.environ, "MODELGATES_DATABASE_URL": url}
    with _started(command, environment) as (process, line):
        yield Server(process.pid, int(line.rstrip("/").rpartition(":")[2]))


@contextmanager
def bare(answer: str) -> Iterator[Server]:
    """The yardstick; `answer` is JSON with headers and body."""
    command = [sys.executable, "-m", "benchmarks.bare", answer]
    with _started(command, dict(os.environ)) as (process, line):
        yield Server(process.pid, int(line))


@contextmanager
def _started(
    command: list[str], environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that prints one line when it is ready; ended with the block."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.terminate()
