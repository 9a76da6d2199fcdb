"""Several server processes on one socket and one SQLite file."""

import json
import os
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S
from tests.e2e.load import Load, is_listening, key_hashes, wait_until
from tests.e2e.wire import Answer, Wire, request
from tests.server import Customer, RunningServer, open_customer_now, running_server

WORKERS = 2
TOKEN = "0123456789abcdef"
SETTINGS = {"MODELGATES_WORKERS": str(WORKERS), "MODELGATES_METRICS_TOKEN": TOKEN}
CREATE = b'{"name": "test"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    temporary = folder / "tmp"
    temporary.mkdir()
    with running_server(folder, **SETTINGS, TMPDIR=str(temporary)) as running:
        yield running
    assert list(temporary.iterdir()) == [], "the server must leave no temporary files"
    assert "Traceback" not in running.log_path.read_text()


@pytest.fixture(scope="module")
def acme(server: RunningServer) -> Customer:
    return open_customer_now(server.database_path)


def send(client: Wire, line: str, key: str, *headers: str, body: bytes = b"") -> Answer:
    client.send(request(line, key, *headers, body=body))
    answer = client.answer()
    assert answer is not None
    return answer


@contextmanager
def wires(server: RunningServer, key: str) -> Iterator[list[Wire]]:
    """One connection to each worker. Opens new ones until every worker has one."""
    clients: dict[str, Wire] = {}
    with ExitStack() as stack:
        while len(clients) < WORKERS:
            assert server.process.poll() is None
            client = Wire(server.url)
            stack.callback(client.close)
            request_id = send(client, "GET /api/v1/credits", key).headers["x-request-id"]
            clients.setdefault(
                request_id.rsplit("_", 1)[0], client
            )  # its first part names the process
        yield list(clients.values())


def on_each(server: RunningServer, key: str, work: Callable[[Wire], list[str]]) -> list[str]:
    """Does work over four connections to every worker at once; returns all results."""
    with ExitStack() as stack, ThreadPoolExecutor(4 * WORKERS) as pool:
        clients = [client for _ in range(4) for client in stack.enter_context(wires(server, key))]
        return [text for texts in pool.map(work, clients) for text in texts]


def test_change_by_one_worker_is_read_by_the_other_at_once(
    server: RunningServer, acme: Customer
) -> None:
    with wires(server, acme.management) as clients:
        for writer, reader in [clients, clients[::-1]] * 20:
            created = send(writer, "POST /api/v1/keys", acme.management, body=CREATE).json
            assert send(reader, "GET /api/v1/key", created["key"]).status == 200
            path = f"/api/v1/keys/{created['data']['hash']}"
            assert send(writer, f"DELETE {path}", acme.management).status == 200
            assert send(reader, "GET /api/v1/key", created["key"]).status == 401


def test_no_key_is_lost_when_all_workers_create_keys(server: RunningServer, acme: Customer) -> None:
    def create(client: Wire) -> list[str]:
        answers = [
            send(client, "POST /api/v1/keys", acme.management, body=CREATE) for _ in range(20)
        ]
        return [answer.json["data"]["hash"] for answer in answers]

    created = on_each(server, acme.management, create)
    assert len(set(created)) == len(created) == 20 * 4 * WORKERS
    assert set(created) <= key_hashes(server.database_path)


def test_same_request_to_all_workers_creates_one_key(server: RunningServer, acme: Customer) -> None:
    def create(client: Wire) -> list[str]:
        answers = [
            send(client, "POST /api/v1/keys", acme.management, f"Idempotency-Key: {n}", body=CREATE)
            for n in range(10)
        ]
        return [answer.json["key"] for answer in answers]

    assert len(set(on_each(server, acme.management, create))) == 10


def served(client: Wire) -> float:
    """How many times the whole server has answered `GET /credits`."""
    figures = send(client, "GET /metrics", TOKEN).body.decode()
    pattern = r'modelgates_http_requests_total{operation="get-credits",status="200"} (\S+)'
    [count] = re.findall(pattern, figures)
    return float(count)


def pids(server: RunningServer) -> list[int]:
    """The process ids of all workers so far, including dead ones."""
    return [int(n) for n in re.findall(r"server process \[(\d+)\]", server.log_path.read_text())]


def test_metrics_count_all_workers_including_dead_ones(
    server: RunningServer, acme: Customer
) -> None:
    with wires(server, acme.management) as clients:
        before = served(clients[0])
        for client in clients * 5:
            assert send(client, "GET /api/v1/credits", acme.management).status == 200
        assert [served(client) - before for client in clients] == [5 * WORKERS] * WORKERS
    started = pids(server)
    assert len(started) == WORKERS
    os.kill(started[0], signal.SIGKILL)
    wait_until(lambda: len(pids(server)) > WORKERS, server.process)
    with wires(server, acme.management) as clients:
        assert served(clients[0]) >= before + 5 * WORKERS
        assert served(clients[0]) == served(clients[1])


def test_no_response_is_lost_when_all_workers_stop_under_load(tmp_path: Path) -> None:
    with running_server(tmp_path, **SETTINGS) as server:
        customer = open_customer_now(server.database_path)
        load = Load(server.url, server.process, customer.management)
        server.process.terminate()
        assert server.process.wait(DEADLINE_S) == 0
        load.end()
        assert not is_listening(server.url)
    assert load.statuses == {201}
    assert set(load.acknowledged) <= key_hashes(server.database_path)
    assert "Traceback" not in server.log_path.read_text()


def test_workers_stop_when_their_parent_is_killed(tmp_path: Path) -> None:
    console = Console(tmp_path)
    console.environment["TMPDIR"] = str(tmp_path)  # a killed server cannot clean up
    with console.start("serve", "--port", "0", "--workers", str(WORKERS)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().split()[-1]
        log = ""
        while log.count("startup complete") < WORKERS:
            log += process.stderr.readline() or pytest.fail("the server ended by itself")
        process.kill()
        _, rest = process.communicate(timeout=DEADLINE_S)  # it ends with the last worker
    assert not is_listening(url)
    assert "Traceback" not in log + rest


def test_server_stops_with_a_reason_when_a_worker_cannot_start(tmp_path: Path) -> None:
    console = Console(tmp_path)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("create table recipe (name text)")
    log_path = tmp_path / "server.log"
    with (
        log_path.open("w") as log,
        console.start("serve", "--port", "0", "--workers", str(WORKERS), stderr=log) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        running = RunningServer(url, process, console.path, log_path)
        wait_until(lambda: len(pids(running)) == WORKERS, process)
        (tmp_path / "other.db").rename(console.path)
        os.kill(pids(running)[0], signal.SIGKILL)
        assert process.wait(DEADLINE_S) == 1
    *lines, last = log_path.read_text().splitlines()
    assert last == "Error: A server process could not start. Find the reason in the log."
    events = [json.loads(line) for line in lines]
    (reason,) = [event["reason"] for event in events if event["event"] == "cannot start"]
    assert "the SQLite database of another program" in reason
    assert "Traceback" not in log_path.read_text()
