"""A server whose database and spool are on one small disk, and the calls that it acknowledged."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from modelgates_server.core.pricing.prices import dollars
from tests.cli.console import Console
from tests.deadlines import DEADLINE_S, http_client
from tests.e2e.calls import chat_body, configured, read, records
from tests.e2e.load import wait_until
from tests.full_disk.disk import SmallDisk
from tests.server import Customer, RunningServer, open_customer_now
from tests.upstream import Upstream, UpstreamReply, answer, plain, running_upstream, usage

COST = Decimal("0.0503")
"""Of each call: three tokens read and five written."""


class Site:
    """A folder with a small disk for database and spool, a provider, and a customer."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.spool = self.data / "modelgates.db-spool"
        self.log_path = folder / "server.log"
        self.disk = SmallDisk(self.data, folder / "control")
        self.upstream = upstream
        self.console = Console(folder)
        self.console.path = self.data / "modelgates.db"
        self.console.environment |= {
            "MODELGATES_DATABASE_URL": f"sqlite:///{self.console.path}",
            "MODELGATES_HOLD_TTL_S": "600",
            **configured(folder, upstream.url),
        }
        self.customer: Customer = open_customer_now(self.console.path)

    @contextmanager
    def server(self, stderr: int | None = None, **settings: str) -> Iterator[RunningServer]:
        """Runs a server on the small disk, which the test ends. It logs to a file elsewhere."""
        console = Console(self.folder)
        console.environment = {**self.console.environment, **self.disk.environment, **settings}
        with (
            self.log_path.open("a") as log,
            console.start("serve", "--port", "0", stderr=stderr or log) as process,
        ):
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            yield RunningServer(url, process, self.console.path, self.log_path)

    def usage(self, *, holds_open: bool = False) -> Decimal:
        """The usage of the account, from a ledger that verifies and has no open hold."""
        account, _ = records(self.console.path, self.customer.account_id)
        assert holds_open or account.held_pico == 0
        return dollars(account.usage_pico)

    def waiting(self) -> list[str]:
        """The names of the files in the spool, without the ballast."""
        return sorted(path.name for path in self.spool.iterdir() if path.name != "ballast")


@contextmanager
def small_site(folder: Path) -> Iterator[Site]:
    with running_upstream() as upstream:
        upstream.say = lambda _: plain(answer("hi", usage(3, 5)))
        yield Site(folder, upstream)


def stop(server: RunningServer) -> int:
    """Stops a server cleanly; returns its exit code."""
    server.process.terminate()
    return server.process.wait(DEADLINE_S)


class Clients:
    """Clients of a server. `costs` has the acknowledged ones by generation."""

    def __init__(self, site: Site, server: RunningServer, http: httpx.Client) -> None:
        self.costs: dict[str, Decimal] = {}
        self._site = site
        self._server = server
        self._http = http

    def call(self) -> httpx.Response:
        """Makes a call, and notes its cost."""
        response = self._http.post("/chat/completions", json=chat_body("hello"))
        if response.status_code == 200:
            body = read(response.text)
            self.costs[body["id"]] = body["usage"]["cost"]
        return response

    def calls_across(self, change: Callable[[], object], count: int) -> list[httpx.Response]:
        """Makes calls at once, and makes a change while all of them are running."""
        upstream, go = self._site.upstream, threading.Event()
        say, before = upstream.say, len(upstream.asked)
        upstream.say = lambda body: _after(go, say(body))
        with ThreadPoolExecutor(count) as threads:
            calls = [threads.submit(self.call) for _ in range(count)]
            wait_until(lambda: len(upstream.asked) == before + count, self._server.process)
            upstream.say = say
            change()
            go.set()
            return [call.result() for call in calls]

    def ready(self) -> tuple[int, Any]:
        """The response of `/readyz`."""
        response = self._http.get(f"{self._server.url}/readyz")
        return response.status_code, response.json()

    def until(self, condition: Callable[[int, Any], bool]) -> None:
        """Waits until the response of `/readyz` meets a condition."""
        wait_until(lambda: condition(*self.ready()), self._server.process)

    def until_ready(self) -> None:
        """Waits until the server takes calls, and has its ballast."""
        self.until(lambda status, body: status == 200 and body["parts"].get("disk") == "ok")

    def until_drained(self) -> None:
        """Waits until no end waits for the database."""
        self.until(lambda _, body: body["parts"].get("spool") == "ok")

    def create_key(self) -> httpx.Response:
        """Creates a key of the account."""
        headers = {"Authorization": f"Bearer {self._site.customer.management}"}
        return self._http.post("/keys", json={"name": "more"}, headers=headers)


def _after(go: threading.Event, reply: UpstreamReply) -> UpstreamReply:
    def pieces() -> Iterator[bytes]:
        assert go.wait(DEADLINE_S)
        yield from reply.pieces

    return reply._replace(pieces=pieces())


@contextmanager
def clients(site: Site, server: RunningServer) -> Iterator[Clients]:
    """Clients of a server that is ready."""
    headers = {"Authorization": f"Bearer {site.customer.inference}"}
    limits = httpx.Limits(max_connections=None)
    with http_client(base_url=server.api, headers=headers, limits=limits) as http:
        opened = Clients(site, server, http)
        opened.until_ready()
        yield opened
