"""Nothing waits for the reader of the log: not calls, not health checks, not the end."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deadlines import DEADLINE_S, eventually, http_request
from tests.e2e.calls import Session, records
from tests.e2e.load import is_listening
from tests.e2e.test_logs import lines_of
from tests.server import MODELGATES, RunningServer, open_customer_now

CALLS = 40
"""Their lines are several times as long as the pipe."""


@contextmanager
def small_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that holds one page."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield read_end, write_end
    finally:
        os.close(write_end)
        os.close(read_end)


def fill(write_end: int) -> None:
    """Fills a pipe through a description of its own: that of the server must keep blocking."""
    own = os.open(f"/proc/self/fd/{write_end}", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(own, b"x")
    except BlockingIOError:
        os.close(own)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def server_with(
    folder: Path, *, stdout: int, stderr: int, **settings: str
) -> Iterator[RunningServer]:
    """A server with these descriptors, which the test must not expect to be read."""
    database_path, port = folder / "modelgates.db", free_port()
    url = f"http://127.0.0.1:{port}"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MODELGATES_")}
    with subprocess.Popen(
        [MODELGATES, "serve", "--port", str(port)],
        cwd=folder,
        env={**inherited, "MODELGATES_DATABASE_URL": f"sqlite:///{database_path}", **settings},
        stdout=stdout,
        stderr=stderr,
        text=True,
    ) as process:
        try:
            eventually(lambda: is_listening(url))
            yield RunningServer(url, process, database_path, folder / "server.log")
        finally:
            process.kill()


def use(server: RunningServer) -> None:
    """Makes calls and a health check, and ends the server in good order."""
    customer = open_customer_now(server.database_path)
    with Session(server, customer) as session:
        for _ in range(CALLS):
            assert session.inference.chat(model="sandbox/echo").status_code == 200
        assert http_request("GET", f"{server.url}/healthz").status_code == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(DEADLINE_S) == 0
    account, generations = records(server.database_path, customer.account_id)
    assert len(generations) == CALLS
    assert account.usage_pico == sum(each.cost_pico for each in generations)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_works_and_stops_when_nothing_reads_its_log(tmp_path: Path, workers: str) -> None:
    with (
        small_pipe() as (_, write_end),
        server_with(
            tmp_path, stdout=subprocess.DEVNULL, stderr=write_end, MODELGATES_WORKERS=workers
        ) as server,
    ):
        use(server)


def test_server_works_and_stops_when_all_its_output_is_blocked_from_the_start(
    tmp_path: Path,
) -> None:
    with small_pipe() as (_, write_end):
        fill(write_end)
        with server_with(tmp_path, stdout=write_end, stderr=write_end) as server:
            use(server)


def test_server_works_and_stops_when_the_reader_of_its_log_has_died(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    with server_with(tmp_path, stdout=subprocess.DEVNULL, stderr=write_end) as server:
        os.close(write_end)
        os.close(read_end)
        use(server)


def test_server_works_and_stops_when_its_output_is_closed(tmp_path: Path) -> None:
    port = free_port()
    settings = {"MODELGATES_DATABASE_URL": f"sqlite:///{tmp_path / 'modelgates.db'}"}
    with subprocess.Popen(
        ["sh", "-c", f'exec "{MODELGATES}" serve --port {port} >&- 2>&-'],
        cwd=tmp_path,
        env={**os.environ, **settings},
        text=True,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: is_listening(url))
            use(RunningServer(url, process, tmp_path / "modelgates.db", tmp_path / "server.log"))
        finally:
            process.kill()


_PRINT_EVERYTHING = """
import asyncio, gc, logging, sys, threading, warnings
import structlog
from modelgates_server.telemetry import process_output

process_output.start("info")
process_output.start("info")
key = sys.argv[1]
log = structlog.get_logger()

def fail(*_):
    raise ValueError(key)

class Failing:
    __del__ = fail

log.info("first")
logging.getLogger("library").info("second %s", key)
warnings.warn("third " + key)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
Failing()
logging.getLogger("library").info("%d", key)
async def main():
    asyncio.get_running_loop().call_exception_handler({"message": "sixth " + key})
asyncio.run(main())
print("printed", "in", "pieces")
print("a plain line", file=sys.stderr)
fail()
"""


def test_everything_that_a_process_prints_is_queued_in_order_without_secrets(
    tmp_path: Path,
) -> None:
    key = open_customer_now(tmp_path / "modelgates.db").management
    ended = subprocess.run(
        [sys.executable, "-c", _PRINT_EVERYTHING, key],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert ended.returncode == 1
    assert ended.stdout == "printed in pieces\n"
    assert key not in ended.stderr
    *before, plain, last = ended.stderr.splitlines()
    events = [line["event"] for line in lines_of("\n".join([*before, last]))]
    assert plain == "a plain line"
    assert events[:2] == ["first", "second sk-mg-v1-[redacted]"]
    assert "third" in events[2]
    assert events[3:5] == ["thread failed", "error ignored by Python"]
    assert events[5] == "log line not written"
    assert events[6].startswith("sixth")
    assert events[7:] == ["process failed"]
