"""`modelgates healthcheck` against real servers, and against other programs on its port."""

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import UnixStreamServer
from urllib.parse import urlsplit

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S
from tests.gateway import moved_away
from tests.server import RunningServer, running_server

TLS = Path(__file__).parents[1] / "e2e" / "tls"
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - this is what containers use
UNAVAILABLE = b"""{"status": "unavailable", "parts": {"database": "unavailable", "disk": "ok"},
 "causes": {"database": "The database is locked."}, "error": {"message": "no", "code": 503}}"""
WARNING = b"""{"status": "ok", "parts": {"database": "ok", "clock": "warning"},
 "causes": {"clock": "The clock stepped back."}}"""


def use(console: Console, url: str) -> None:
    """Makes the command check the server at a URL. No proxy would reach it."""
    parts = urlsplit(url)
    console.environment["MODELGATES_PORT"] = str(parts.port)
    for name in PROXIES:
        console.environment[name] = "http://127.0.0.1:9"
    for name in ("NO_PROXY", "no_proxy"):
        console.environment.pop(name, None)


def responder(status: int, body: bytes) -> type[BaseHTTPRequestHandler]:
    """A handler that sends the same response to every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def replying(status: int, body: bytes) -> Iterator[str]:
    """A server that sends the same response to every request; yields its URL."""
    with HTTPServer(("127.0.0.1", 0), responder(status, body)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(DEADLINE_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(
        tmp_path_factory.mktemp("server"), MODELGATES_HOST=EVERY_ADDRESS
    ) as running:
        yield running


def test_server_on_every_address_is_ready_whatever_the_proxies(
    console: Console, server: RunningServer
) -> None:
    use(console, server.url)
    console.environment["MODELGATES_HOST"] = EVERY_ADDRESS
    port = urlsplit(server.url).port
    assert console.run("healthcheck") == (0, f"http://127.0.0.1:{port}/readyz is ready.\n", "")
    ended = console.call("healthcheck", "--live", "--timeout", str(DEADLINE_S))
    assert ended == (0, f"http://127.0.0.1:{port}/healthz responds.\n", "")


def test_unready_server_is_named_with_the_cause(console: Console, server: RunningServer) -> None:
    use(console, server.url)
    with moved_away(server.database_path):
        refusal = console.call("healthcheck").refusal
        assert "is not ready. database: The database was moved or replaced while in" in refusal
        assert console.call("healthcheck", "--live").code == 0
    assert console.call("healthcheck").code == 0


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (200, WARNING, 0, "/readyz is ready. clock: The clock stepped back."),
        (503, UNAVAILABLE, 1, "/readyz is not ready. database: The database is locked."),
        (404, b"{}", 1, "responds with status 404, but not like ModelGates. Check the port."),
        (200, b"<html>", 1, "responds with status 200, but not like ModelGates."),
        (503, b"busy", 1, "responds with status 503, but not like ModelGates."),
    ],
)
def test_response_decides(
    status: int, body: bytes, code: int, message: str, console: Console
) -> None:
    with replying(status, body) as url:
        use(console, url)
        ended = console.call("healthcheck")
    assert ended.code == code
    assert message in ended.out + ended.err


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", EVERY_ADDRESS])
def test_server_that_does_not_run_is_not_ready(host: str, console: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    use(console, url)
    console.environment["MODELGATES_HOST"] = host
    assert "/readyz: Connection refused." in console.call("healthcheck").refusal


@pytest.mark.parametrize("tls", [False, True])
def test_silent_server_is_not_ready_after_the_timeout(tls: bool, console: Console) -> None:
    if tls:
        console.environment["MODELGATES_TLS_CERT"] = str(TLS / "cert.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        use(console, f"http://127.0.0.1:{listener.getsockname()[1]}")
        refusal = console.call("healthcheck", "--timeout", "0.2").refusal
    assert refusal.startswith("No response from http")
    assert refusal.endswith("within 0.2 seconds.")


def test_port_that_the_server_chooses_is_an_error(console: Console) -> None:
    console.environment["MODELGATES_PORT"] = "0"
    assert "Set a port." in console.call("healthcheck").refusal


def test_certificate_of_the_settings_is_accepted_and_no_other(
    console: Console, tmp_path: Path
) -> None:
    cert, key = str(TLS / "cert.pem"), str(TLS / "key.pem")
    folder = tmp_path / "server"
    folder.mkdir()
    with running_server(folder, MODELGATES_TLS_CERT=cert, MODELGATES_TLS_KEY=key) as server:
        use(console, server.url)
        console.environment |= {"MODELGATES_TLS_CERT": cert, "MODELGATES_TLS_KEY": key}
        assert console.run("healthcheck").code == 0
        renewed = tmp_path / "renewed.pem"
        renewed.write_text(ssl.DER_cert_to_PEM_cert(b"another certificate"))
        console.environment["MODELGATES_TLS_CERT"] = str(renewed)
        refusal = console.call("healthcheck").refusal
        assert "its certificate is not the one in" in refusal
        assert "restart the server" in refusal
        console.environment["MODELGATES_TLS_CERT"] = key
        assert (
            "cannot be read: there is no certificate in it." in console.call("healthcheck").refusal
        )
        del console.environment["MODELGATES_TLS_CERT"]
        refusal = console.call("healthcheck").refusal
        assert "/readyz: the connection was closed. Check `MODELGATES_TLS_CERT`" in refusal
    with replying(200, b'{"status":"ok"}') as url:
        use(console, url)
        console.environment["MODELGATES_TLS_CERT"] = cert
        refusal = console.call("healthcheck").refusal
        assert re.fullmatch(
            r"No response from https://\S+: it does not speak TLS. Check .*", refusal
        )
        assert "_ssl.c" not in refusal


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n", "it is not a PEM file"),
    ],
    ids=["missing", "damaged"],
)
def test_certificate_that_cannot_be_read_is_named(
    content: str | None, reason: str, console: Console
) -> None:
    cert = console.folder / "cert.pem"
    if content is not None:
        cert.write_text(content)
    console.environment["MODELGATES_TLS_CERT"] = str(cert)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        use(console, f"http://127.0.0.1:{listener.getsockname()[1]}")
        refusal = console.call("healthcheck").refusal
    assert f"`MODELGATES_TLS_CERT` names {cert}, which cannot be read: {reason}" in refusal
    assert "No response" not in refusal


def test_timeout_without_an_end_is_rejected(console: Console) -> None:
    assert console.call("healthcheck", "--timeout", "inf").code == 2


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_server_on_every_ipv6_address_is_reached_at_the_loopback(
    console: Console, tmp_path: Path
) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    with running_server(folder, MODELGATES_HOST="::") as server:
        use(console, server.url)
        console.environment["MODELGATES_HOST"] = "::"
        ended = console.call("healthcheck")
    assert ended.out == f"http://[::1]:{urlsplit(server.url).port}/readyz is ready.\n"


def test_server_on_a_unix_socket_is_reached(console: Console) -> None:
    console.environment |= {"MODELGATES_HOST": "unix:server.sock", "MODELGATES_PORT": "0"}
    shown = "http://unix:server.sock/readyz"
    refusal = console.call("healthcheck").refusal
    assert refusal.endswith("/readyz: the socket does not exist: the server is not running.")
    with (
        contextlib.chdir(console.folder),
        UnixStreamServer("server.sock", responder(200, WARNING)) as server,
    ):
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        ended = console.call("healthcheck")
        thread.join(DEADLINE_S)
    assert ended.out == f"{shown} is ready. clock: The clock stepped back.\n"
