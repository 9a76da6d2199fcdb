"""The server with TLS. `tls/README.md` shows how the certificate was made."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S, eventually, http_connection, tcp_connection
from tests.e2e.calls import PROVIDER, chat_body
from tests.e2e.wire import request
from tests.server import RunningServer, open_customer_now, running_server
from tests.upstream import UpstreamReply, answer, plain, running_upstream

TLS = Path(__file__).with_name("tls")
CERT, KEY = TLS / "cert.pem", TLS / "key.pem"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = {
        "MODELGATES_TLS_CERT": str(CERT),
        "MODELGATES_TLS_KEY": str(KEY),
        "MODELGATES_REQUEST_TIMEOUT_S": "1",
    }
    with running_server(tmp_path_factory.mktemp("server"), **settings) as running:
        yield running
    log_lines = [json.loads(line) for line in running.log_path.read_text().splitlines()]
    assert [line for line in log_lines if line["level"] != "info"] == []


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CERT)


def test_client_that_checks_certificates_reads_its_credits(server: RunningServer) -> None:
    customer = open_customer_now(server.database_path)
    assert server.url.startswith("https://")
    client = http_connection(server.url, client_context())
    try:
        for _ in range(3):
            headers = {"Authorization": f"Bearer {customer.management}"}
            client.request("GET", "/api/v1/credits", headers=headers)
            response = client.getresponse()
            assert response.status == 200
            assert json.load(response) == {"data": {"total_credits": 100, "total_usage": 0}}
        client.request("POST", "/api/v1/keys", bytes(100_000), headers)
        assert client.getresponse().status == 413
    finally:
        client.close()


def test_old_version_of_tls_is_refused(server: RunningServer) -> None:
    old = client_context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with raw(server) as client, pytest.raises(ssl.SSLError):
        old.wrap_socket(client, server_hostname="localhost")


@pytest.mark.parametrize(
    "data", [request("GET /healthz"), bytes(1000), b"\x16\x03\x01\x02\x00\x01" + bytes(512)]
)
def test_connection_without_tls_is_closed_without_a_response(
    server: RunningServer, data: bytes
) -> None:
    with raw(server) as client:
        client.sendall(data)
        answer = b"".join(iter(lambda: received(client), b""))
    assert b"HTTP" not in answer


def test_bad_request_over_tls_is_refused(server: RunningServer) -> None:
    for data, status in [(b"\x00\r\n", 400), (b"GET / HTTP/1.1\r\nA: " + b"x" * 99_999, 431)]:
        with client_context().wrap_socket(raw(server), server_hostname="localhost") as client:
            client.sendall(data)
            response = http.client.HTTPResponse(client)
            response.begin()
            assert response.status == status


def test_request_after_connection_close_is_not_executed(server: RunningServer) -> None:
    customer = open_customer_now(server.database_path)
    last = request("GET /healthz", None, "Connection: close")
    more = request("POST /api/v1/keys", customer.management, body=b'{"name": "too late"}')
    with client_context().wrap_socket(raw(server), server_hostname="localhost") as client:
        client.sendall(last + more)
        assert b"too late" not in b"".join(iter(lambda: received(client), b""))
    listed = request("GET /api/v1/keys", customer.management, "Connection: close")
    with client_context().wrap_socket(raw(server), server_hostname="localhost") as client:
        client.sendall(listed)
        assert b"too late" not in b"".join(iter(lambda: received(client), b""))


def test_client_that_sends_nothing_is_disconnected(server: RunningServer) -> None:
    with client_context().wrap_socket(raw(server), server_hostname="localhost") as client:
        assert received(client) == b"", "a second without a request closes the connection"


def test_idle_client_does_not_delay_the_stop_of_the_server(tmp_path: Path) -> None:
    settings = {
        "MODELGATES_TLS_CERT": str(CERT),
        "MODELGATES_TLS_KEY": str(KEY),
        "MODELGATES_SHUTDOWN_GRACE_S": str(2 * DEADLINE_S),
    }
    with (
        running_server(tmp_path, **settings) as server,
        client_context().wrap_socket(raw(server), server_hostname="localhost") as client,
    ):
        client.sendall(request("GET /healthz"))
        assert b"200 OK" in received(client)
        server.process.terminate()
        assert server.process.wait(DEADLINE_S) == 0


def test_handshake_that_hangs_ends_before_the_running_calls_do(tmp_path: Path) -> None:
    settings = {
        "MODELGATES_TLS_CERT": str(CERT),
        "MODELGATES_TLS_KEY": str(KEY),
        "MODELGATES_REQUEST_TIMEOUT_S": str(2 * DEADLINE_S),
        "MODELGATES_SHUTDOWN_GRACE_S": str(2 * DEADLINE_S),
    }
    released = Event()

    def say(_: object) -> UpstreamReply:
        assert released.wait(DEADLINE_S)
        return plain(answer("hello"))

    with running_upstream() as upstream:
        upstream.say = say
        table = PROVIDER.format(
            name="acme", url=upstream.url, more="", input="0.0001", output="0.01"
        )
        (tmp_path / "modelgates.toml").write_text(table)
        with running_server(tmp_path, **settings) as server, raw(server) as silent:
            key = open_customer_now(server.database_path).inference
            call = json.dumps(chat_body("hello", max_tokens=2)).encode()
            with client_context().wrap_socket(raw(server), server_hostname="localhost") as client:
                client.sendall(request("POST /api/v1/chat/completions", key, body=call))
                eventually(lambda: len(upstream.asked) == 1)
                server.process.terminate()
                assert received(silent) == b"", "otherwise it could go on to use a server that ends"
                released.set()
                assert b"200 OK" in received(client)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("locked.pem", "key"),
        ("other.pem", "mismatch"),
        ("README.md", "PEM"),
        ("nothing.pem", "No such file"),
    ],
)
def test_server_does_not_start_when_its_key_file_is_unusable(
    tmp_path: Path, key: str, reason: str
) -> None:
    files = ["--tls-cert", str(CERT), "--tls-key", str(TLS / key)]
    refusal = Console(tmp_path).run("serve", "--port", "0", *files).refusal
    assert str(TLS / key) in refusal
    assert reason in refusal


def raw(server: RunningServer) -> socket.socket:
    return tcp_connection(server.url)


def received(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""


def test_handshake_that_hangs_is_logged(tmp_path: Path) -> None:
    settings = {
        "MODELGATES_TLS_CERT": str(CERT),
        "MODELGATES_TLS_KEY": str(KEY),
        "MODELGATES_REQUEST_TIMEOUT_S": "3",
    }
    with running_server(tmp_path, **settings) as server, raw(server) as silent:
        assert received(silent) == b""
        eventually(lambda: "TLS handshake did not finish" in server.log_path.read_text())
