"""The server is replaced while clients call it. No call may fail, and each is charged once."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S
from tests.e2e.calls import records
from tests.e2e.restart_load import RestartLoad
from tests.e2e.wire import serves
from tests.server import RunningServer, open_customer_now

pytestmark = pytest.mark.slow


def events(server: RunningServer, name: str) -> list[Any]:
    """The log lines with an event."""
    lines = server.log_path.read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == name]


@contextmanager
def restartable_server(folder: Path, *words: str) -> Iterator[RunningServer]:
    """A server that other processes replace. At the end, the last of them is stopped."""
    console = Console(folder)
    log_path = folder / "server.log"
    with (
        log_path.open("w") as log,
        console.start("serve", "--port", "0", *words, stderr=log) as process,
    ):
        assert process.stdout is not None
        server = RunningServer(
            process.stdout.readline().split()[-1], process, console.path, log_path
        )
        try:
            yield server
        finally:
            os.kill(current_pid(server), signal.SIGTERM)
            process.communicate(timeout=DEADLINE_S)  # until no process has the pipe any more
    assert "Traceback" not in log_path.read_text()


def current_pid(server: RunningServer) -> int:
    taken_over = events(server, "a new process accepts the requests")
    return int(taken_over[-1]["pid"]) if taken_over else server.process.pid


async def restart(server: RunningServer) -> None:
    """Restarts the server, and returns when a new process has taken over."""
    before = current_pid(server)
    os.kill(before, signal.SIGUSR2)
    while current_pid(server) == before:
        assert events(server, "restart failed") == []
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_call_fails_when_new_processes_take_over_under_load(
    tmp_path: Path, workers: str
) -> None:
    with restartable_server(tmp_path, "--workers", workers) as server:
        customer = open_customer_now(server.database_path)
        load = RestartLoad(server, customer)

        async def restart_twice() -> None:
            for _ in range(2):
                await restart(server)
                await load.more()

        asyncio.run(load.run(restart_twice))
        assert server.process.wait(DEADLINE_S) == 0
        assert serves(server, customer)
    assert load.failures == []
    account, generations = records(server.database_path, customer.account_id)
    assert len(generations) == load.successes
    assert account.usage_pico == sum(each.cost_pico for each in generations)
    assert account.held_pico == 0
