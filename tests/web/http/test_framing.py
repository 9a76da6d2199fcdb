"""Heads and bodies that a proxy could read in another way than the server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.wire import exchange, is_refusal, request, serves
from tests.server import Customer, RunningServer, open_customer_now, running_server

pytestmark = pytest.mark.slow

HOST = "Host: gateway"
CHUNKED = "Transfer-Encoding: chunked"
REJECTED = {
    "no host": ("1.1", []),
    "two hosts": ("1.1", [HOST, "Host: other"]),
    "the same host twice": ("1.1", [HOST, "hOST: gateway"]),
    "two hosts in HTTP/1.0": ("1.0", [HOST, HOST]),
    "a list of hosts": ("1.1", ["Host: gateway, other"]),
    "a host with a path": ("1.1", ["Host: gateway/x"]),
    "a host with a user": ("1.1", ["Host: user@gateway"]),
    "a host with a space": ("1.1", ["Host: gate way"]),
    "a host with a bad port": ("1.1", ["Host: gateway:x"]),
    "half an IPv6 address": ("1.1", ["Host: [::1"]),
    "a host with markup": ("1.1", ['Host: a"><script>']),
    "a host in a folded line": ("1.1", ["Host:", " gateway"]),
    "a host after a space": ("1.1", [" Host: gateway"]),
    "a space before the colon of the host": ("1.1", ["Host : gateway"]),
    "HTTP/0.9": ("0.9", [HOST]),
    "HTTP/2.0": ("2.0", [HOST]),
    "a coding in HTTP/1.0": ("1.0", [HOST, CHUNKED]),
    "a coding before chunked": ("1.1", [HOST, "Transfer-Encoding: gzip, chunked"]),
    "nothing before chunked": ("1.1", [HOST, "Transfer-Encoding: , chunked"]),
    "identity and chunked": ("1.1", [HOST, "Transfer-Encoding: identity", CHUNKED]),
    "identity": ("1.1", [HOST, "Transfer-Encoding: identity"]),
    "an empty coding": ("1.1", [HOST, "Transfer-Encoding:"]),
    "chunked in quotes": ("1.1", [HOST, 'Transfer-Encoding: "chunked"']),
    "chunked with a parameter": ("1.1", [HOST, f"{CHUNKED};q=1"]),
    "chunked and a comma": ("1.1", [HOST, f"{CHUNKED},"]),
    "chunked after a vertical tab": ("1.1", [HOST, "Transfer-Encoding: \x0bchunked"]),
    "chunked in a folded line": ("1.1", [HOST, "Transfer-Encoding:", " chunked"]),
    "a space before the colon of the coding": ("1.1", [HOST, "Transfer-Encoding : chunked"]),
    "chunked and a length": ("1.1", [HOST, "tRANSFER-eNCODING: cHUNKED", "cONTENT-lENGTH: 5"]),
    "a length in a folded line": ("1.1", [HOST, "Content-Length:", " 5"]),
    "a hexadecimal length": ("1.1", [HOST, "Content-Length: 0x5"]),
    "a length with an underscore": ("1.1", [HOST, "Content-Length: 1_0"]),
    "a length with a space": ("1.1", [HOST, "Content-Length: 1 0"]),
    "a chunk size with a space": ("1.1", [HOST, CHUNKED, "", "5 "]),
    "a chunk size with a sign": ("1.1", [HOST, CHUNKED, "", "+5"]),
    "a chunk size with a prefix": ("1.1", [HOST, CHUNKED, "", "0x5"]),
    "a chunk that is too long": ("1.1", [HOST, CHUNKED, "", "1", "xx"]),
    "a line feed in a chunk extension": ("1.1", [HOST, CHUNKED, "", "1;a\nb", "x"]),
    "a length in a trailer": ("1.1", [HOST, CHUNKED, "", "0", "Content-Length: 5", ""]),
}
ACCEPTED = {
    "a host in mixed case": ("1.1", "hOsT:Gateway"),
    "white space around the host": ("1.1", "Host: \t gateway \t"),
    "a host with an underscore and a port": ("1.1", "Host: model_gates:8000"),
    "an IPv6 address": ("1.1", "Host: [::1]:8000"),
    "an empty host": ("1.1", "Host:"),
    "no host in HTTP/1.0": ("1.0", "Accept: */*"),
}
UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA")
SMUGGLED = b'{"name": "smuggled"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("server")
    with running_server(folder, MODELGATES_REQUEST_TIMEOUT_S="1") as running:
        yield running


@pytest.fixture(scope="module")
def acme(server: RunningServer) -> Customer:
    return open_customer_now(server.database_path)


@pytest.fixture(autouse=True)
def _nothing_was_smuggled(server: RunningServer, acme: Customer) -> Iterator[None]:
    yield
    assert serves(server, acme)
    listing = request("GET /api/v1/keys", acme.management, "Connection: close")
    [keys] = exchange(server.url, listing)
    assert "smuggled" not in keys.body.decode()


@pytest.mark.parametrize("case", REJECTED)
@pytest.mark.parametrize("line", ["POST /api/v1/keys", "GET /healthz"])
def test_ambiguous_request_gets_one_400(
    server: RunningServer, acme: Customer, case: str, line: str
) -> None:
    version, lines = REJECTED[case]
    # The lines come first: a chunk and a folded line must follow them.
    key = f"Authorization: Bearer {acme.management}"
    head = "\r\n".join([f"{line} HTTP/{version}", *lines[:1], key, *lines[1:], "", ""])
    if lines and lines[0] == "Host:":
        head = "\r\n".join([f"{line} HTTP/{version}", *lines, key, "", ""])
    more = request("POST /api/v1/keys", acme.management, body=SMUGGLED)
    answers = exchange(server.url, head.encode("latin-1") + b"0\r\n\r\n" + more)
    # A response that needs no body may precede the part that is wrong.
    assert [answer.status for answer in answers] in ([400], [200])
    assert answers[0].status == 400 or (line.startswith("GET") and "" in lines)
    assert answers[0].status == 200 or is_refusal(answers[0])


@pytest.mark.parametrize("case", ACCEPTED)
def test_host_is_accepted_in_every_valid_form(server: RunningServer, case: str) -> None:
    version, line = ACCEPTED[case]
    head = f"GET /healthz HTTP/{version}\r\n{line}\r\nConnection: close\r\n\r\n"
    assert [answer.status for answer in exchange(server.url, head.encode())] == [200]


@pytest.mark.parametrize("name", ["transfer-encoding", "TRANSFER-ENCODING"])
def test_chunked_body_is_read_whatever_the_case(
    server: RunningServer, acme: Customer, name: str
) -> None:
    head = request("POST /api/v1/keys", acme.management, f"{name}: ChunKed", "Connection: close")
    [created] = exchange(server.url, head + b'd;a="b"\r\n{"name": "x"}\r\n0\r\nA: b\r\n\r\n')
    assert created.status == 201


@pytest.mark.parametrize("form", ["Content-Length: {}", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("piece_bytes", [1, 7, 10_000])
def test_body_after_upgrade_is_a_body(
    server: RunningServer, acme: Customer, form: str, piece_bytes: int
) -> None:
    """Java's HTTP client sends `Upgrade: h2c` with every request."""
    inner = request("POST /api/v1/keys", acme.management, body=SMUGGLED)
    create = b'{"name": "after upgrade"}'
    data = b""
    for body in (inner, create):
        head = request("POST /api/v1/keys", acme.management, *UPGRADE, form.format(len(body)))
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        data += head + (chunks if "chunked" in form else body)
    data += request("GET /healthz", None, *UPGRADE, "Content-Length: 0")
    data += request("GET /healthz", None, "Connection: close")
    pieces = [data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)]
    statuses = [answer.status for answer in exchange(server.url, *pieces)]
    assert statuses == [400, 201, 200, 200]
