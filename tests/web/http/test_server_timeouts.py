"""Limits on how long a client can make the server wait, and on the memory it uses meanwhile."""

import json
import select
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest

from tests.deadlines import DEADLINE_MS, DEADLINE_S
from tests.e2e.calls import chat_body
from tests.e2e.wire import exchange, request, serves, wire
from tests.server import Customer, RunningServer, open_customer_now
from tests.web.http.limited import CHUNK, CHUNKED, HEALTH, MB, limited_server, served_again

GROWTH_MAX_BYTES = 16 * 2**20
READ_BYTES = 8 * 2**20
LONG = "16000"
"""The tokens of each choice: 28 MB of events in all."""

NOTICED_S = 2
"""After this time, the server has looked at the connection."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that waits one second for a client."""
    with limited_server(tmp_path_factory.mktemp("server"), request_timeout_s=1) as running:
        yield running


@pytest.fixture(scope="module")
def acme(server: RunningServer) -> Customer:
    return open_customer_now(server.database_path)


@pytest.fixture(autouse=True)
def _still_serves(server: RunningServer, acme: Customer) -> Iterator[None]:
    yield
    assert serves(server, acme)


def test_connection_ends_when_client_stops_sending(server: RunningServer, acme: Customer) -> None:
    waits = {
        "nothing": (b"", []),
        "blank lines": (b"\r\n" * 10, []),
        "half of a head": (b"GET / HTTP/1.1\r\nHost: ", [408]),
        "half of a second head": (HEALTH + b"GET / HT", [200, 408]),
        "half of a body": (request("POST /api/v1/keys", acme.management, body=b"12")[:-1], [408]),
        "half of the chunks": (
            request("POST /api/v1/keys", acme.management, "Transfer-Encoding: chunked")
            + b"1\r\n{\r\n",
            [408],
        ),
        "no body, and no key": (request("POST /api/v1/keys", None, "Content-Length: 1"), [401]),
        "no body after 100": (
            request(
                "POST /api/v1/keys", acme.management, "Expect: 100-continue", "Content-Length: 9"
            ),
            [100, 408],
        ),
        "too much of a body": (
            request("POST /api/v1/keys", acme.management, "Content-Length: 999999"),
            [413],
        ),
    }
    with ExitStack() as stack:
        clients = {}
        for name, (data, _) in waits.items():  # send at once: the timeout starts on connection
            clients[name] = stack.enter_context(wire(server.url))
            clients[name].send(data)
        received = {name: [answer.status for answer in clients[name].answers()] for name in waits}
    assert received == {name: statuses for name, (_, statuses) in waits.items()}


def test_slowly_dripping_head_gets_a_408(server: RunningServer) -> None:
    with wire(server.url) as client:
        client.send(b"GET / HTTP/1.1\r\nA: ")
        while not select.select([client.socket], [], [], 0.05)[0]:
            client.send(b"x")
        [refusal] = client.answers()
    assert refusal.status == 408


@pytest.mark.parametrize(
    "end", [b"\x00\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"GET / HT"]
)
def test_accepted_requests_get_responses_before_a_bad_request_ends_the_connection(
    server: RunningServer, acme: Customer, end: bytes
) -> None:
    good = [
        request("POST /api/v1/keys", acme.management, body=json.dumps({"name": name}).encode())
        for name in "abc"
    ]
    answers = exchange(server.url, b"".join(good) + end)
    assert [answer.json["data"]["name"] for answer in answers[:3]] == ["a", "b", "c"]
    assert [answer.status for answer in answers[3:]] in ([], [400], [408])


def test_connection_ends_when_client_stops_reading_after_it_has_read_much(
    server: RunningServer, acme: Customer
) -> None:
    body = json.dumps({**chat_body(LONG, model="sandbox/lorem"), "n": 8, "stream": True}).encode()
    with wire(server.url) as client:
        client.send(request("POST /api/v1/chat/completions", acme.inference, body=body))
        received, begun_s = 0, time.monotonic()
        while received < READ_BYTES or time.monotonic() - begun_s < NOTICED_S:
            received += len(client.socket.recv(64 * 1024))
        gone = select.poll()
        gone.register(client.socket, select.POLLHUP | select.POLLERR)
        assert gone.poll(DEADLINE_MS), "it was reset"


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_memory_stays_bounded_when_clients_flood_the_server(
    server: RunningServer, acme: Customer
) -> None:
    text = acme.management
    floods = [
        [request("POST /api/v1/keys", text, "Content-Length: 99999999"), *[MB] * 20],
        [request("POST /api/v1/keys", text, "Transfer-Encoding: chunked"), *[CHUNK] * 20],
        [request("POST /api/v1/keys", None, "Transfer-Encoding: chunked"), *[CHUNK] * 20],
        [b"GET / HTTP/1.1\r\nA: ", *[MB] * 20],
        [b"GET / HTTP/1.1\r\n", *[b"A:\r\n" * 250_000] * 20],
        [CHUNKED + b"0\r\n", *[b"A:b\r\n" * 200_000] * 20],
        [HEALTH * 25_000] * 20,
        [request("GET /openapi.json") * 25_000] * 20,
    ]
    with wire(server.url) as first:  # what a first request loads is no flood's
        first.send(request("GET /openapi.json"))
        assert first.answer() is not None
    before = memory_bytes(server, "VmRSS")
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # forget the peak
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for flood in floods * 4:
            client = stack.enter_context(wire(server.url))
            client.socket.setblocking(False)
            selector.register(client.socket, selectors.EVENT_WRITE, memoryview(b"".join(flood)))
        while selector.get_map():
            for key, _ in selector.select(DEADLINE_S):
                send_some(selector, key)
        assert memory_bytes(server, "VmHWM") - before < GROWTH_MAX_BYTES
    assert served_again(server)
    assert memory_bytes(server, "VmHWM") - before < GROWTH_MAX_BYTES


def send_some(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Send from a client that reads nothing, until everything is sent or the server ends it."""
    client = cast("socket.socket", key.fileobj)
    try:
        sent = client.send(key.data[: len(MB)])
    except (BrokenPipeError, ConnectionResetError):
        sent = len(key.data)
    if sent == len(key.data):
        selector.unregister(client)
    else:
        selector.modify(client, selectors.EVENT_WRITE, key.data[sent:])


def memory_bytes(server: RunningServer, figure: str) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{figure}:")]
    return int(line.split()[1]) * 1024
