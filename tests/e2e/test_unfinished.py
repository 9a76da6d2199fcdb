"""Clients that send the head of a request and then nothing, or hardly anything, on every route."""

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deadlines import DEADLINE_S
from tests.e2e.wire import Wire, exchange, request, serves, wire
from tests.server import Customer, RunningServer, open_customer_now, running_server
from tests.web.document import operations_of, our_document
from tests.web.test_routes import UNDESCRIBED_PLACES

pytestmark = pytest.mark.slow

PLACES = sorted(
    {f"{method.upper()} {path}" for method, path, _ in operations_of(our_document())}
    | {f"{method} {path or '/'}" for method, path in UNDESCRIBED_PLACES.values()}
    | {"GET /unknown", "POST /unknown", "PUT /api/v1/keys", "OPTIONS /api/v1/keys", "HEAD /docs"}
)
BODIES = ("Content-Length: 1000", "Transfer-Encoding: chunked")
DRIPS = (b"", b" ")
CHAT = b'{"model": "sandbox/echo", "messages": [{"role": "user", "content": "Hello"}]}'


def heads(customer: Customer) -> list[bytes]:
    """The head of a request with a body, on every route, with every kind of key, of both forms."""
    keys = (None, "sk-mg-v1-unknown", customer.viewer, customer.inference, customer.management)
    return [request(place, key, body) for place in PLACES for key in keys for body in BODIES]


def descriptors(server: RunningServer) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def wait_for(server: RunningServer, most: int) -> None:
    """Wait until the server has no more descriptors than that."""
    while descriptors(server) > most:
        exchange(server.url, request("GET /healthz", None, "Connection: close"))


def drip(clients: list[Wire]) -> None:
    for client in clients:
        client.send(b"1\r\n \r\n")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """Clients have one second; the grace at the end is too long for any test to wait for."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    settings = {
        "MODELGATES_REQUEST_TIMEOUT_S": "1",
        "MODELGATES_SHUTDOWN_GRACE_S": str(2 * DEADLINE_S),
    }
    with running_server(tmp_path, **settings) as running:
        assert serves(running, open_customer_now(running.database_path))
        yield running


def test_unfinished_requests_leave_no_descriptor(server: RunningServer) -> None:
    customer = open_customer_now(server.database_path)
    before = descriptors(server)
    with ExitStack() as stack:
        silent = [stack.enter_context(wire(server.url)) for _ in heads(customer)]
        dripping = [stack.enter_context(wire(server.url)) for _ in heads(customer)]
        for client, head in zip(silent + dripping, heads(customer) * 2, strict=True):
            client.send(head)
        while descriptors(server) > before:
            drip(dripping)
    assert serves(server, customer)


@pytest.mark.parametrize("finishes", [False, True])
def test_stop_does_not_wait_for_unfinished_requests(server: RunningServer, finishes: bool) -> None:
    customer = open_customer_now(server.database_path)
    call = request("POST /api/v1/chat/completions", customer.inference, body=CHAT)
    with ExitStack() as stack:
        for head in [*heads(customer), b"", b"GET /healthz HT"]:
            stack.enter_context(wire(server.url)).send(head)
        caller = stack.enter_context(wire(server.url))
        caller.send(call[:-1])
        serves(server, customer)
        server.process.send_signal(signal.SIGTERM)
        if finishes:
            caller.send(call[-1:])
            assert [answer.status for answer in caller.answers()] == [200]
        assert server.process.wait(DEADLINE_S) == 0, "long before the grace is over"


def test_stop_ends_with_the_grace_when_a_body_never_ends(tmp_path: Path) -> None:
    with running_server(tmp_path, MODELGATES_SHUTDOWN_GRACE_S="1") as running:
        customer = open_customer_now(running.database_path)
        with wire(running.url) as client:
            client.send(request("POST /api/v1/chat/completions", customer.inference, BODIES[1]))
            running.process.send_signal(signal.SIGTERM)
            while running.process.poll() is None:
                client.send(b"400\r\n%b\r\n" % (b" " * 1024))
        assert running.process.wait(DEADLINE_S) == 0


def test_others_are_served_while_thousands_of_clients_send_nothing(server: RunningServer) -> None:
    """More connections than the server takes, as far as the machine allows them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 5000 if hard == resource.RLIM_INFINITY else min(5000, hard - 1000)
    if count < 500:
        pytest.skip(f"the hard limit of open files is {hard}")
    room = max(soft, min(count + 1000, hard)) if hard > 0 else count + 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (room, hard))
    customer = open_customer_now(server.database_path)
    before = descriptors(server)
    kinds = [b"", b"GET /healthz HT", *heads(customer)]
    try:
        with ExitStack() as stack:
            for n in range(count):
                client = stack.enter_context(wire(server.url))
                client.send(kinds[n % len(kinds)])
                if n % 500 == 0:
                    assert serves(server, customer)
            call = request("POST /api/v1/chat/completions", customer.inference, body=CHAT)
            with wire(server.url) as caller:
                caller.send(call)
                answer = caller.answer()
            assert answer is not None
            assert answer.status == 200
            wait_for(server, before)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
