"""Restarts that must not happen, and signals that must not kill."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S
from tests.e2e.load import is_listening, wait_until
from tests.e2e.restarts import current_pid, events, restartable_server
from tests.e2e.wire import serves
from tests.server import RunningServer, open_customer_now

pytestmark = pytest.mark.slow


def reasons(server: RunningServer, event: str) -> list[str]:
    return [line["reason"] for line in events(server, event)]


def has_failed_again(server: RunningServer, before: int) -> bool:
    return len(events(server, "restart failed")) > before


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_carries_on_when_the_new_process_cannot_start(tmp_path: Path, workers: str) -> None:
    with restartable_server(tmp_path, "--workers", workers) as server:
        customer = open_customer_now(server.database_path)
        broken = tmp_path / "modelgates.toml"
        broken.write_text("nonsense = true")
        for _ in range(2):
            failed = len(events(server, "restart failed"))
            server.process.send_signal(signal.SIGUSR2)
            wait_until(partial(has_failed_again, server, failed), server.process)
        assert serves(server, customer)
        assert current_pid(server) == server.process.pid
        broken.unlink()
        server.process.send_signal(signal.SIGUSR2)
        assert server.process.wait(DEADLINE_S) == 0
        assert serves(server, customer)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_hangup_is_logged_and_kills_no_process(tmp_path: Path, workers: str) -> None:
    with restartable_server(tmp_path, "--workers", workers, start_new_session=True) as server:
        customer = open_customer_now(server.database_path)
        os.killpg(server.process.pid, signal.SIGHUP)
        wait_until(lambda: events(server, "SIGHUP has no effect yet") != [], server.process)
        assert serves(server, customer)
    assert events(server, "a server process died") == []


def test_hangup_does_not_kill_a_server_that_starts(tmp_path: Path) -> None:
    console = Console(tmp_path)
    with console.start("serve", "--port", "0") as process:
        wait_until(console.path.exists, process)
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert "listens on" in process.stdout.readline()
        process.terminate()
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0


def test_restart_is_rejected_when_systemd_would_end_the_new_process(tmp_path: Path) -> None:
    program = 'export SYSTEMD_EXEC_PID=$$; exec "$0" serve --port 0'
    with restartable_server(tmp_path, shell=program) as server:
        server.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: events(server, "cannot restart") != [], server.process)
        assert "Type=notify" in reasons(server, "cannot restart")[0]


def test_new_process_ends_when_the_server_is_stopped_before_it_is_ready(tmp_path: Path) -> None:
    with restartable_server(tmp_path) as server:
        server.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: events(server, "restarting") != [], server.process)
        server.process.terminate()
        assert server.process.wait(DEADLINE_S) == 0
    assert not is_listening(server.url)
