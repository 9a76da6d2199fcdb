"""What a client cannot make the server keep, or wait for."""

import http.client
import json
import resource
import select
import selectors
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pytest

from modelgates_server.web.http.connection import (
    HEAD_MAX_BYTES,
    HEADERS_MAX,
    PIPELINE_MAX,
)
from tests.e2e.wire import exchange, is_refusal, request, serves, wire
from tests.server import DEADLINE_S, Customer, RunningServer, open_customer_now, running_server

CONNECTIONS_MAX = 64
GROWTH_MAX_BYTES = 16 * 2**20
MB = b"x" * 2**20
HEALTH = request("GET /healthz")
LAST = request("GET /healthz", None, "Connection: close")
CHUNKED = request("POST /api/v1/keys", None, "Transfer-Encoding: chunked")

RESET_AT_ONCE = struct.pack("ii", 1, 0)
CHUNK = b"100000\r\n" + MB + b"\r\n"

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with low limits."""
    folder = tmp_path_factory.mktemp("server")
    limits = {
        "MODELGATES_REQUEST_TIMEOUT_S": "1",
        "MODELGATES_MAX_CONNECTIONS": str(CONNECTIONS_MAX),
    }
    with running_server(folder, **limits) as running:
        yield running
    told = [json.loads(line) for line in running.log_path.read_text().splitlines()]
    assert [line for line in told if line["level"] != "info"] == []


@pytest.fixture(scope="module")
def acme(server: RunningServer) -> Customer:
    return open_customer_now(server.database_path)


@pytest.fixture(autouse=True)
def _still_serves(server: RunningServer, acme: Customer) -> Iterator[None]:
    yield
    assert serves(server, acme)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /", b"x"),
        (b"GET / HTTP/1.1\r\nA: ", b"x"),
        (b"GET / HTTP/1.1\r\n", b"x"),
        (b"GET / HTTP/1.1\r\n", b"A:\r\n"),
        (b"GET / HTTP/1.1\r\n", b"Cookie: abc\r\n"),
        (CHUNKED + b"0\r\nA: ", b"x"),
        (CHUNKED + b"0\r\n", b"A: b\r\n"),
        (CHUNKED + b"1;a=", b"x"),
    ],
)
@pytest.mark.parametrize("piece_bytes", [2**20, 64 * 1024, 1460])
def test_a_head_or_trailer_without_end_is_cut_off(
    server: RunningServer, start: bytes, more: bytes, piece_bytes: int
) -> None:
    endless = more * (2**20 // len(more))
    pieces = [endless[at : at + piece_bytes] for at in range(0, len(endless), piece_bytes)]
    refusal = exchange(server.url, start, *pieces)[-1]
    assert refusal.status in {401, 431}
    assert is_refusal(refusal)


def test_a_head_in_single_bytes_is_cut_off(server: RunningServer) -> None:
    with wire(server.url) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET / HTTP/1.1\r\nA: " + b"x" * HEAD_MAX_BYTES:
            client.send(bytes([byte]))
        [refusal] = client.answers()
    assert refusal.status == 431


def test_a_head_of_most_of_the_limit_is_served(server: RunningServer, acme: Customer) -> None:
    long = f"A: {'x' * (HEAD_MAX_BYTES - 1024)}"
    many = [f"A{n}: b" for n in range(HEADERS_MAX - 4)]
    for headers in ([long], many):
        good = request("GET /api/v1/credits", acme.management, *headers)
        answer, _ = exchange(server.url, good + LAST)
        assert answer.status == 200


def test_too_many_headers_are_refused(server: RunningServer) -> None:
    headers = ["A: b"] * HEADERS_MAX
    [refusal] = exchange(server.url, request("GET /healthz", None, *headers) + LAST)
    assert refusal.status == 431
    assert is_refusal(refusal)


def test_a_client_that_keeps_us_waiting_is_let_go(server: RunningServer, acme: Customer) -> None:
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
        clients = {name: stack.enter_context(wire(server.url)) for name in waits}
        for name, (data, _) in waits.items():
            clients[name].send(data)
        told = {name: [answer.status for answer in clients[name].answers()] for name in waits}
    assert told == {name: statuses for name, (_, statuses) in waits.items()}


def test_a_head_that_drips_is_not_waited_for(server: RunningServer) -> None:
    with wire(server.url) as client:
        client.send(b"GET / HTTP/1.1\r\nA: ")
        while not select.select([client.socket], [], [], 0.05)[0]:
            client.send(b"x")
        [refusal] = client.answers()
    assert refusal.status == 408


def test_requests_without_end_are_answered_in_order_up_to_a_limit(
    server: RunningServer, acme: Customer
) -> None:
    lines = [
        request("GET /api/v1/credits", acme.management, f"X-Request-Id: n{n}") for n in range(1000)
    ]
    answers = exchange(server.url, b"".join(lines))
    assert PIPELINE_MAX < len(answers) < 1000
    assert [answer.headers["x-request-id"] for answer in answers] == [
        f"n{n}" for n in range(len(answers))
    ]
    assert {answer.status for answer in answers} == {200}
    assert answers[-1].headers["connection"] == "close"


@pytest.mark.parametrize(
    "end", [b"\x00\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"GET / HT"]
)
def test_what_was_accepted_is_answered_before_a_bad_request_ends_it(
    server: RunningServer, acme: Customer, end: bytes
) -> None:
    good = [
        request("POST /api/v1/keys", acme.management, body=json.dumps({"name": name}).encode())
        for name in "abc"
    ]
    answers = exchange(server.url, b"".join(good) + end)
    assert [answer.json["data"]["name"] for answer in answers[:3]] == ["a", "b", "c"]
    assert [answer.status for answer in answers[3:]] in ([], [400], [408])


def test_a_broken_body_behind_a_running_request_is_dropped(
    server: RunningServer, acme: Customer
) -> None:
    good = request("POST /api/v1/keys", acme.management, body=b'{"name": "first"}')
    bad = request("POST /api/v1/keys", acme.management, "Transfer-Encoding: chunked")
    answers = exchange(server.url, good + bad + b"xyz\r\n")
    assert answers[0].status == 201
    assert [answer.status for answer in answers[1:]] in ([], [400])


@pytest.mark.parametrize(
    "more", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"]
)
def test_a_client_that_has_said_all_is_answered(
    server: RunningServer, acme: Customer, more: bytes
) -> None:
    create = request("POST /api/v1/keys", acme.management, body=b'{"name": "last words"}')
    with wire(server.url) as client:
        client.send(create * 3 + more)
        client.socket.shutdown(socket.SHUT_WR)
        assert [answer.status for answer in client.answers()] == [201] * 3
    with wire(server.url) as client:
        client.send(create[:-1])
        client.socket.shutdown(socket.SHUT_WR)
        assert [answer.status for answer in client.answers()] == [400]


def test_clients_that_leave_before_their_answers_leave_no_trace(
    server: RunningServer, acme: Customer
) -> None:
    change = request("POST /api/v1/keys", acme.management, body=b'{"name": "left"}')
    for _ in range(50):
        with wire(server.url) as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
            client.send(change * 3)
    assert serves(server, acme)


def test_who_sends_all_before_reading_sees_the_refusal(
    server: RunningServer, acme: Customer
) -> None:
    client = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=DEADLINE_S)
    headers = {"Authorization": f"Bearer {acme.management}", "Content-Type": "application/json"}
    try:
        client.request("POST", "/api/v1/keys", MB[:-1], headers)
        assert client.getresponse().status == 413
        client.close()
        client.request("GET", "/healthz", headers={f"A{n}": "x" * 60_000 for n in range(90)})
        assert client.getresponse().status == 431
    finally:
        client.close()


def test_a_body_is_not_read_for_long_after_its_refusal(
    server: RunningServer, acme: Customer
) -> None:
    endless = request("POST /api/v1/keys", acme.management, "Transfer-Encoding: chunked")
    with wire(server.url) as client:
        client.send(endless)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.socket.sendall(CHUNK * 64)


def test_one_connection_too_many_is_told_so(server: RunningServer, acme: Customer) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(wire(server.url)) for _ in range(CONNECTIONS_MAX)]
        for client in clients:
            client.send(HEALTH)
            answer = client.answer()
            assert answer is not None
            assert answer.status == 200
        for _ in range(10):
            [refusal] = exchange(server.url, HEALTH)
            assert refusal.status == 503
            assert refusal.headers["retry-after"] == "1"
            assert is_refusal(refusal)
        for client in clients:
            client.send(request("GET /api/v1/credits", acme.management))
            answer = client.answer()
            assert answer is not None
            assert answer.status == 200
    assert served_again(server)


def served_again(server: RunningServer) -> bool:
    """Whether connections are accepted once those that were too many have gone."""
    while exchange(server.url, LAST)[0].status == 503:
        pass
    return True


@needs_linux
def test_running_out_of_file_descriptors_does_not_stop_the_server(
    server: RunningServer,
) -> None:
    limit = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (32, limit[1]))
    try:
        with ExitStack() as stack:
            clients = [stack.enter_context(wire(server.url)) for _ in range(CONNECTIONS_MAX)]
            assert clients[-1].answers() == [], "closed: there was none left for it"
            clients[0].send(LAST)
            assert [answer.status for answer in clients[0].answers()] == [200]
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limit)
    assert served_again(server)


@needs_linux
def test_no_client_makes_the_server_grow(server: RunningServer, acme: Customer) -> None:
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
    """Send from a client that reads nothing, until all is sent or it is cut off."""
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
