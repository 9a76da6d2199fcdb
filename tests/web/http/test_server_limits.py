"""Limits on what a client can make the server keep or wait for."""

import resource
import select
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from modelgates_server.web.http.connection import (
    HEAD_MAX_BYTES,
    HEADERS_MAX,
    PIPELINE_MAX,
)
from tests.deadlines import DEADLINE_S, http_connection
from tests.e2e.wire import exchange, is_refusal, request, serves, wire
from tests.server import Customer, RunningServer, open_customer_now
from tests.web.http.limited import (
    CHUNK,
    CHUNKED,
    CONNECTIONS_MAX,
    HEALTH,
    LAST,
    MB,
    limited_server,
    served_again,
)

RESET_AT_ONCE = struct.pack("ii", 1, 0)

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with low limits and a request timeout as long as the deadline of a test."""
    with limited_server(tmp_path_factory.mktemp("server"), request_timeout_s=DEADLINE_S) as running:
        yield running


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
def test_endless_head_or_trailer_is_refused(
    server: RunningServer, start: bytes, more: bytes, piece_bytes: int
) -> None:
    endless = more * (2**20 // len(more))
    pieces = [endless[at : at + piece_bytes] for at in range(0, len(endless), piece_bytes)]
    refusal = exchange(server.url, start, *pieces)[-1]
    assert refusal.status in {401, 431}
    assert is_refusal(refusal)


def test_large_head_sent_byte_by_byte_is_refused(server: RunningServer) -> None:
    with wire(server.url) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET / HTTP/1.1\r\nA: " + b"x" * HEAD_MAX_BYTES:
            client.send(bytes([byte]))
        [refusal] = client.answers()
    assert refusal.status == 431


def test_head_just_below_the_limits_is_served(server: RunningServer, acme: Customer) -> None:
    long = f"A: {'x' * (HEAD_MAX_BYTES - 1024)}"
    many = [f"A{n}: b" for n in range(HEADERS_MAX - 4)]
    for headers in ([long], many):
        good = request("GET /api/v1/credits", acme.management, *headers)
        answer, _ = exchange(server.url, good + LAST)
        assert answer.status == 200


def test_request_is_refused_when_it_has_too_many_headers(server: RunningServer) -> None:
    headers = ["A: b"] * HEADERS_MAX
    [refusal] = exchange(server.url, request("GET /healthz", None, *headers) + LAST)
    assert refusal.status == 431
    assert is_refusal(refusal)


def test_pipelined_requests_get_responses_in_order_up_to_a_limit(
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


def test_broken_body_behind_a_running_request_is_dropped(
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
def test_client_gets_its_responses_after_it_stops_sending(
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


def test_server_serves_on_after_clients_leave_before_their_responses(
    server: RunningServer, acme: Customer
) -> None:
    change = request("POST /api/v1/keys", acme.management, body=b'{"name": "left"}')
    for _ in range(50):
        with wire(server.url) as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
            client.send(change * 3)
    assert serves(server, acme)


def test_client_that_sends_everything_before_reading_gets_the_error(
    server: RunningServer, acme: Customer
) -> None:
    client = http_connection(server.url)
    headers = {"Authorization": f"Bearer {acme.management}", "Content-Type": "application/json"}
    try:
        client.request("POST", "/api/v1/keys", MB[:-1], headers)
        assert client.getresponse().status == 413
        client.close()
        client.request("GET", "/healthz", headers={f"A{n}": "x" * 60_000 for n in range(90)})
        assert client.getresponse().status == 431
    finally:
        client.close()


def test_idle_connections_make_room_for_new_ones(server: RunningServer, acme: Customer) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(wire(server.url)) for _ in range(CONNECTIONS_MAX)]
        for client in clients:
            client.send(HEALTH)
            answer = client.answer()
            assert answer is not None
            assert answer.status == 200
        assert serves(server, acme)
        assert clients[0].answers() == [], "closed, as it was idle for longest"
        clients[-1].send(LAST)
        assert [answer.status for answer in clients[-1].answers()] == [200]


def test_rest_of_a_refused_body_is_read_only_up_to_a_limit(
    server: RunningServer, acme: Customer
) -> None:
    endless = request("POST /api/v1/keys", acme.management, "Transfer-Encoding: chunked")
    with wire(server.url) as client:
        client.send(endless)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.socket.sendall(CHUNK * 64)


@needs_linux
def test_clients_wait_while_the_server_has_no_file_descriptor(server: RunningServer) -> None:
    limit = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (32, limit[1]))
    try:
        with ExitStack() as stack:
            clients = [stack.enter_context(wire(server.url)) for _ in range(CONNECTIONS_MAX)]
            for client in clients:
                client.send(LAST)
            readable, _, _ = select.select([client.socket for client in clients], [], [], 0)
            assert readable == []
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limit)
            assert {answer.status for each in clients for answer in each.answers()} == {200}
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limit)
    assert served_again(server)
