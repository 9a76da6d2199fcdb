"""The server starts, stops, and starts again after it was killed."""

import ctypes
import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.console import Console, Ended
from tests.deadlines import DEADLINE_S
from tests.e2e.load import ENOUGH, Load, is_listening, key_hashes, wait_until
from tests.e2e.wire import Wire, request, serves, wire
from tests.server import (
    open_customer_now,
    running_server,
)

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_request_in_progress_is_completed_before_the_server_stops(
    tmp_path: Path, stop: int
) -> None:
    body = b'{"name": "just in time"}'
    with running_server(tmp_path) as server:
        customer = open_customer_now(server.database_path)
        with wire(server.url) as client, wire(server.url) as idle:
            head = request(
                "POST /api/v1/keys",
                customer.management,
                "Expect: 100-continue",
                f"Content-Length: {len(body)}",
            )
            client.send(head)
            assert status_of(client) == 100
            server.process.send_signal(stop)
            assert idle.answers() == [], "an idle connection is closed after two seconds"
            wait_until(lambda: not is_listening(server.url), server.process)
            client.send(body)
            [answer] = client.answers()
            assert answer.status == 201
            assert answer.headers["connection"] == "close"
        assert server.process.wait(DEADLINE_S) == 0
    assert answer.json["data"]["hash"] in key_hashes(tmp_path / "modelgates.db")
    assert "Traceback" not in server.log_path.read_text()


def status_of(client: Wire) -> int:
    answer = client.answer()
    assert answer is not None
    return answer.status


def test_no_response_is_lost_when_the_server_stops_under_load(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        customer = open_customer_now(server.database_path)
        load = Load(server.url, server.process, customer.management)
        server.process.terminate()
        assert server.process.wait(DEADLINE_S) == 0
        load.end()
    assert load.statuses == {201}
    assert set(load.acknowledged) <= key_hashes(server.database_path)
    assert "Traceback" not in server.log_path.read_text()


def test_unfinished_request_is_cut_off_when_the_grace_period_ends(tmp_path: Path) -> None:
    with running_server(tmp_path, MODELGATES_SHUTDOWN_GRACE_S="1") as server:
        customer = open_customer_now(server.database_path)
        with wire(server.url) as client:
            client.send(
                request(
                    "POST /api/v1/keys",
                    customer.management,
                    "Expect: 100-continue",
                    "Content-Length: 9",
                )
            )
            assert status_of(client) == 100
            server.process.terminate()
            assert [answer.status for answer in client.answers()] == [503]
        assert server.process.wait(DEADLINE_S) == 0
    assert "Traceback" not in server.log_path.read_text()


def test_second_interrupt_stops_the_server_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, wire(server.url) as client:
        customer = open_customer_now(server.database_path)
        client.send(
            request(
                "POST /api/v1/keys",
                customer.management,
                "Expect: 100-continue",
                "Content-Length: 9",
            )
        )
        assert status_of(client) == 100
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: not is_listening(server.url), server.process)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(DEADLINE_S) == 0
    assert "Traceback" not in server.log_path.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("moment", ["the database exists", "the server listens"])
def test_server_leaves_nothing_behind_when_it_is_stopped_while_starting(
    tmp_path: Path, workers: str, moment: str
) -> None:
    console, temporary = Console(tmp_path), tmp_path / "tmp"
    temporary.mkdir()
    console.environment["TMPDIR"] = str(temporary)
    with console.start("serve", "--port", "0", "--workers", workers) as process:
        assert process.stdout is not None
        if moment == "the database exists":
            wait_until(console.path.exists, process)
        elif moment == "the server listens":
            assert process.stdout.readline()
        process.terminate()
        _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode in {0, -signal.SIGTERM}
    assert "Traceback" not in stderr
    assert list(temporary.iterdir()) == []
    with running_server(tmp_path) as server:
        assert serves(server, open_customer_now(server.database_path))


def test_acknowledged_keys_survive_a_kill(tmp_path: Path) -> None:
    console = Console(tmp_path)
    console.environment["TMPDIR"] = str(tmp_path)  # a killed server cannot clean up
    acknowledged: set[str] = set()
    key = console.key(console.account(), "management")["key"]
    for _ in range(2):
        with console.start("serve", "--port", "0", stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            load = Load(url, process, key)
            process.kill()
            load.end()
        assert load.statuses == {201}
        acknowledged |= set(load.acknowledged)
        assert acknowledged <= key_hashes(console.path)
    assert len(acknowledged) >= 2 * ENOUGH
    assert console.run("ledger", "verify").code == 0


def newer_schema(console: Console) -> None:
    console.call("db", "migrate")
    with closing(sqlite3.connect(console.path)) as connection:
        connection.execute("pragma user_version = 9999")


def foreign_database(console: Console) -> None:
    with closing(sqlite3.connect(console.path)) as connection:
        connection.execute("create table recipe (name text)")


def not_a_database(console: Console) -> None:
    console.path.write_bytes(b"once upon a time " * 1000)


def damaged_database(console: Console) -> None:
    console.call("db", "migrate")
    with console.path.open("r+b") as file:
        file.seek(100)
        file.write(bytes(4000))


def no_folder(console: Console) -> None:
    console.environment["MODELGATES_DATABASE_URL"] = "sqlite:///no/such/folder/modelgates.db"


def folder_as_database(console: Console) -> None:
    console.path.mkdir()


def read_only_folder(console: Console) -> None:
    console.folder.chmod(0o555)


def read_only_file(console: Console) -> None:
    console.call("db", "migrate")
    console.path.chmod(0o444)


def unknown_host(console: Console) -> None:
    console.environment["MODELGATES_HOST"] = "no-such-host.invalid"


def foreign_address(console: Console) -> None:
    console.environment["MODELGATES_HOST"] = "192.0.2.1"


DATABASES: dict[Callable[[Console], None], str] = {
    newer_schema: "a newer ModelGates has migrated it",
    foreign_database: "the SQLite database of another program",
    not_a_database: "damaged or not a database",
    damaged_database: "damaged or not a database",
    no_folder: "no/such/folder does not exist",
    folder_as_database: "cannot be opened",
}

LOCATIONS: dict[Callable[[Console], None], str] = {
    read_only_folder: "writable",
    read_only_file: "writable",
    unknown_host: "Cannot listen on no-such-host.invalid, port 0",
    foreign_address: "Cannot listen on 192.0.2.1, port 0",
}


@pytest.mark.parametrize("damage", DATABASES, ids=lambda damage: damage.__name__)
def test_unusable_database_is_reported_in_one_line(
    tmp_path: Path, damage: Callable[[Console], None]
) -> None:
    console = Console(tmp_path)
    damage(console)
    assert DATABASES[damage] in console.call("serve", "--port", "0").refusal


@pytest.mark.parametrize("damage", LOCATIONS, ids=lambda damage: damage.__name__)
def test_unusable_folder_or_address_is_reported_in_one_line(
    tmp_path: Path, damage: Callable[[Console], None]
) -> None:
    console = Console(tmp_path)
    damage(console)
    try:
        with console.start("serve", "--port", "0", preexec_fn=obey_permissions) as process:
            stdout, stderr = process.communicate(timeout=DEADLINE_S)
    finally:
        tmp_path.chmod(0o755)
    assert LOCATIONS[damage] in Ended(process.returncode, stdout, stderr).refusal


@pytest.mark.parametrize("workers", ["1", "2"])
def test_port_in_use_is_reported_in_one_line(tmp_path: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        refusal = Console(tmp_path).run("serve", "--port", port, "--workers", workers).refusal
    assert refusal == (
        f"Cannot listen on 127.0.0.1, port {port}: Address already in use. "
        "Choose another address with --host and --port."
    )


def test_locked_database_is_reported_in_one_line(tmp_path: Path) -> None:
    console = Console(tmp_path)
    console.call("db", "migrate")
    with closing(sqlite3.connect(console.path)) as connection:
        connection.execute("begin immediate")
        assert "locked by another program" in console.run("serve", "--port", "0").refusal


def obey_permissions() -> None:
    """Takes the right to write anywhere from root in a child process, on systems that allow it."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)
