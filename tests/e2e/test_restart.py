"""The server is replaced while clients call it. No call may fail, and each is charged once."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S
from tests.e2e.calls import records
from tests.e2e.restart_load import RestartLoad
from tests.e2e.restarts import SystemdLike, restart, restartable_server
from tests.e2e.wire import serves
from tests.server import Customer, RunningServer, open_customer_now

pytestmark = pytest.mark.slow


def check(load: RestartLoad, server: RunningServer, customer: Customer) -> None:
    """Checks that no call failed, and that each was charged once."""
    assert load.failures == []
    account, generations = records(server.database_path, customer.account_id)
    assert len(generations) == load.successes
    assert account.usage_pico == sum(each.cost_pico for each in generations)
    assert account.held_pico == 0


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
    check(load, server, customer)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_call_fails_when_systemd_keeps_the_socket_during_a_restart(
    tmp_path: Path, workers: str
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        Console(tmp_path).call("db", "migrate")
        (tmp_path / ".env").write_text(f"MODELGATES_WORKERS={workers}\n")
        parent = SystemdLike(tmp_path, listener)
        try:
            server = RunningServer(
                url, parent.process, parent.console.path, tmp_path / "server.log"
            )
            customer = open_customer_now(server.database_path)
            load = RestartLoad(server, customer)

            async def restart_twice() -> None:
                for _ in range(2):
                    await asyncio.to_thread(parent.restart)
                    await load.more()

            asyncio.run(load.run(restart_twice))
            parent.stop()
        finally:
            parent.close()
    check(load, server, customer)


@contextmanager
def socket_path() -> Iterator[Path]:
    """A path that is short enough for a unix socket."""
    with TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder, "modelgates.sock")


def test_no_call_fails_when_the_server_of_a_unix_socket_is_replaced(tmp_path: Path) -> None:
    with socket_path() as path:
        shell = f'exec "$0" serve --host unix:{path}'
        with restartable_server(tmp_path, shell=shell) as server:
            assert server.url == f"unix:{path}"
            customer = open_customer_now(server.database_path)
            load = RestartLoad(server, customer)

            async def restart_once() -> None:
                await restart(server)
                await load.more()

            asyncio.run(load.run(restart_once))
            assert server.process.wait(DEADLINE_S) == 0
            assert path.is_socket(), "the old process leaves the socket to the new one"
        assert not path.exists()
    check(load, server, customer)


def test_unix_socket_of_a_killed_server_does_not_stop_the_next(tmp_path: Path) -> None:
    with socket_path() as path:
        for stop in (signal.SIGKILL, signal.SIGTERM):
            with Console(tmp_path).start("serve", "--host", f"unix:{path}") as process:
                assert process.stdout is not None
                assert process.stdout.readline() == f"ModelGates listens on unix:{path}\n"
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(DEADLINE_S)
                    client.connect(os.fspath(path))
                    client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                    assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
                process.send_signal(stop)
                process.communicate(timeout=DEADLINE_S)
            assert path.exists() is (stop == signal.SIGKILL)
