"""A server that may open few files: the clients for which there is no descriptor wait or get 503.

Nobody whose connection was accepted fails, and the database and the spool can be opened.
"""

import json
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from modelgates_server.bootstrap.descriptors import KEPT_FREE, connections_max
from tests.cli.console import Console
from tests.deadlines import DEADLINE_S
from tests.e2e.calls import PROVIDER, chat_body, records, reset_at_once
from tests.e2e.load import wait_until
from tests.e2e.wire import Wire, request
from tests.server import Customer, RunningServer, open_customer_now
from tests.upstream import Upstream, UpstreamReply, answer, plain, running_upstream

OPEN_FILES = 256
MOST = connections_max(4096, OPEN_FILES)
BODY = json.dumps(chat_body("hello", max_tokens=2)).encode()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc"),
]


class HeldUpstream:
    """A provider that responds to nobody before `release`."""

    def __init__(self, upstream: Upstream) -> None:
        self._released = threading.Event()
        self.release = self._released.set
        self.upstream = upstream
        upstream.say = self._say

    def _say(self, _: object) -> UpstreamReply:
        assert self._released.wait(DEADLINE_S)
        return plain(answer("hello"))

    @property
    def asked(self) -> int:
        return len(self.upstream.asked)


@pytest.fixture
def provider() -> Iterator[HeldUpstream]:
    with running_upstream() as upstream:
        held = HeldUpstream(upstream)
        yield held
        held.release()


@pytest.fixture
def server(tmp_path: Path, provider: HeldUpstream) -> Iterator[RunningServer]:
    more = f"connect_timeout_s = {DEADLINE_S}"
    url = provider.upstream.url
    table = PROVIDER.format(name="acme", url=url, more=more, input="0.0001", output="0.01")
    (tmp_path / "modelgates.toml").write_text(table)
    with limited_server(tmp_path, OPEN_FILES) as running:
        yield running


@contextmanager
def limited_server(folder: Path, open_files: int) -> Iterator[RunningServer]:
    """A server that may open 64 files, which it can raise to a hard limit."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, open_files))

    console, log_path = Console(folder), folder / "server.log"
    with (
        log_path.open("w") as log,
        console.start("serve", "--port", "0", stderr=log, preexec_fn=limit) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        yield RunningServer(url, process, console.path, log_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    assert "Traceback" not in log_path.read_text()


def open_files_of(server: RunningServer) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


class Callers:
    """Clients that make one call each, on a connection of its own."""

    def __init__(self, server: RunningServer, customer: Customer) -> None:
        self._stack = ExitStack()
        self._server = server
        self._request = request(
            "POST /api/v1/chat/completions", customer.inference, "Connection: close", body=BODY
        )
        self.wires: list[Wire] = []

    def call(self, count: int) -> None:
        for _ in range(count):
            opened = Wire(self._server.url)
            self._stack.callback(opened.close)
            opened.send(self._request)
            self.wires.append(opened)

    def statuses(self) -> list[int]:
        """The status of each response; 0 for a connection that ended without one."""
        answers = [each.answer() for each in self.wires]
        return [0 if each is None else each.status for each in answers]

    def leave(self) -> None:
        while self.wires:
            reset_at_once(self.wires.pop().socket)
        self._stack.close()


@pytest.fixture
def callers(server: RunningServer) -> Iterator[Callable[[], Callers]]:
    customer = open_customer_now(server.database_path)
    with ExitStack() as stack:

        def new() -> Callers:
            made = Callers(server, customer)
            stack.callback(made.leave)
            return made

        yield new
    account, generations = records(server.database_path, customer.account_id)
    assert account.usage_pico == sum(each.cost_pico for each in generations) > 0


def test_excess_clients_get_503_when_descriptors_run_out(
    server: RunningServer, provider: HeldUpstream, callers: Callable[[], Callers]
) -> None:
    served, excess = callers(), callers()
    served.call(MOST)
    wait_until(lambda: provider.asked == MOST, server.process)
    excess.call(2 * MOST)
    assert excess.statuses() == [503] * 2 * MOST
    assert open_files_of(server) <= OPEN_FILES - KEPT_FREE
    provider.release()
    assert served.statuses() == [200] * MOST
    [warning] = [
        line
        for line in map(json.loads, server.log_path.read_text().splitlines())
        if "remedy" in line  # others tell of connections and of rejected requests
    ]
    assert warning["level"] == "warning"
    assert warning["connections"] == MOST
    assert warning["open_files"] == OPEN_FILES
    assert "ulimit -Hn" in warning["remedy"]


def test_calls_wait_for_a_descriptor_while_calls_without_a_client_use_them(
    server: RunningServer, provider: HeldUpstream, callers: Callable[[], Callers]
) -> None:
    gone, waiting = callers(), callers()
    gone.call(MOST)
    wait_until(lambda: provider.asked == MOST, server.process)
    busy = open_files_of(server)
    gone.leave()  # the calls go on: their usage is charged
    wait_until(lambda: open_files_of(server) <= busy - MOST, server.process)
    waiting.call(MOST)
    nearly_all = OPEN_FILES - KEPT_FREE - 8
    wait_until(lambda: open_files_of(server) >= nearly_all, server.process)
    assert provider.asked < 2 * MOST, "some calls wait"
    provider.release()
    assert waiting.statuses() == [200] * MOST
    assert open_files_of(server) <= OPEN_FILES - KEPT_FREE


def test_server_with_too_few_descriptors_says_so(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    with Console(tmp_path).start("serve", "--port", "0", preexec_fn=limit) as process:
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert err.startswith("Error: A process may open only 100 files. Allow at least 128:")
