"""Malformed and invalid requests, sent to the real server byte by byte."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgates_server.core.keys import key_hash
from tests.e2e.wire import exchange, is_refusal, request, serves
from tests.server import Customer, RunningServer, open_customer_now, running_server

NO_HASH = "a" * 64
LAST = request("GET /healthz", None, "Connection: close")
"""Follows each case: gets a response if the connection is still usable, and then closes it."""

CHAT = b'{"model": "sandbox/echo", "messages": [{"role": "user", "content": "Hello"}]}'

NOT_HTTP = {
    "TLS on the plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown HTTP version": b"GET / HTTP/1.2\r\n\r\n",
    "lines without CR": b"GET / HTTP/1.1\nHost: a\n\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\n\x00: a\r\n\r\n",
    "NUL in the target": b"GET /\x00 HTTP/1.1\r\n\r\n",
    "DEL in a value": b"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n",
    "a target that is not ASCII": b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
    "a target that is not a path": b"GET credits HTTP/1.1\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\n\r\n",
    "a target with a space": b"GET / x HTTP/1.1\r\n\r\n",
    "a URL without a path": b"GET http://gateway HTTP/1.1\r\n\r\n",
    "a URL with a bad port": b"GET http://gateway:99999/ HTTP/1.1\r\n\r\n",
    "an unknown method": b"FETCH / HTTP/1.1\r\n\r\n",
    "a method in lower case": b"get / HTTP/1.1\r\n\r\n",
    "CONNECT": b"CONNECT gateway:443 HTTP/1.1\r\n\r\n\x16\x03\x01",
}

BAD_FRAMING = {
    "two lengths": ["Content-Length: 5", "Content-Length: 6"],
    "the same length twice": ["Content-Length: 5", "Content-Length: 5"],
    "a list of lengths": ["Content-Length: 5, 5"],
    "a length with a sign": ["Content-Length: +5"],
    "a negative length": ["Content-Length: -5"],
    "an empty length": ["Content-Length: "],
    "a length of 20 digits": ["Content-Length: 99999999999999999999"],
    "a length of 5,000 digits": ["Content-Length: " + "9" * 5000],
    "a length and then chunked": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "chunked and then a length": ["Transfer-Encoding: chunked", "Content-Length: 5"],
    "chunked twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "an unknown encoding": ["Transfer-Encoding: gzip"],
    "chunked not last": ["Transfer-Encoding: chunked, gzip"],
    "a chunk size that is not a number": ["Transfer-Encoding: chunked", "", "xyz"],
    "a negative chunk size": ["Transfer-Encoding: chunked", "", "-5"],
    "a chunk size of 17 digits": ["Transfer-Encoding: chunked", "", "1" + "0" * 16],
}

REFUSED = {
    "an unknown path": (404, "GET /api/v1/nothing"),
    "NUL in the path": (404, "GET /api/v1/credits%00"),
    "bad UTF-8 in the path": (404, "GET /api/v1/keys/%ff"),
    "an escaped path to another resource": (404, f"GET /api/v1/keys/..%2fcredits%2f{NO_HASH}"),
    "a path of percent signs": (404, "GET /" + "%" * 8000),
    "no path": (404, "OPTIONS *"),
    "TRACE": (405, "TRACE /api/v1/credits"),
    "a WebDAV method": (405, "PROPFIND /api/v1/credits"),
    "bad UTF-8 in the query": (400, "GET /api/v1/keys?offset=%ff"),
    "NUL in the query": (400, "GET /api/v1/keys?include_disabled=%00"),
    "an offset of 5,000 digits": (400, f"GET /api/v1/keys?offset={'9' * 5000}"),
    "digits that are not ASCII": (400, "GET /api/v1/keys?offset=%D9%A1"),
    "no body": (400, "POST /api/v1/keys"),
}

BAD_BODIES = {
    "half an object": b'{"name": "a',
    "two objects": b'{"name": "a"}{"name": "b"}',
    "an array": b'[{"name": "a"}]',
    "null": b"null",
    "spaces": b" " * 100,
    "NUL": b"\x00",
    "a byte order mark": b'\xef\xbb\xbf{"name": "a"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "bad UTF-8": b'{"name": "\xff\xfe"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "a surrogate as UTF-8": b'{"name": "\xed\xa0\x80"}',
    "NUL in a name": b'{"name": "a\\u0000b"}',
    "a line break in a name": b'{"name": "a\\nb"}',
    "an empty name": b'{"name": ""}',
    "a name of 256 characters": b'{"name": "' + b"x" * 256 + b'"}',
    "a name that is a number": b'{"name": 1}',
    "no name": b"{}",
    "deep nesting": b'{"name": ' + b"[" * 60_000,
    "deep nesting in an unknown field": b'{"name": "a", "x": ' + b'{"x":' * 10_000,
    "deep nesting in a limit": b'{"name": "a", "limit": ' + b"[" * 60_000,
    "NaN": b'{"name": "a", "limit": NaN}',
    "infinity": b'{"name": "a", "limit": 1e999999999999999999}',
    "a huge exponent": b'{"name": "a", "limit": 1e999999}',
    "a tiny amount": b'{"name": "a", "limit": 1e-13}',
    "a limit of 60,000 digits": b'{"name": "a", "limit": ' + b"9" * 60_000 + b"}",
    "a negative limit": b'{"name": "a", "limit": -1}',
    "a limit as text": b'{"name": "a", "limit": "1"}',
    "a limit that is true": b'{"name": "a", "limit": true}',
    "a limit that is an object": b'{"name": "a", "limit": {}}',
    "a kind that the API does not create": b'{"name": "a", "kind": "management"}',
    "a year of 13 digits": b'{"name": "a", "expires_at": "9999999999999-01-01T00:00:00Z"}',
    "an unknown window": b'{"name": "a", "limit": 1, "limit_reset": "yearly"}',
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Customer]]:
    """The server of these tests. At the end, its database and log show no trace of them."""
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, MODELGATES_REQUEST_TIMEOUT_S="1") as running:
        customer = open_customer_now(running.database_path)
        before = contents(running.database_path)
        yield running, customer
    assert contents(running.database_path) == before
    log_lines = [json.loads(line) for line in running.log_path.read_text().splitlines()]
    assert [line for line in log_lines if line["level"] != "info"] == [], "bad input is not logged"


@pytest.fixture(scope="module")
def server(served: tuple[RunningServer, Customer]) -> RunningServer:
    return served[0]


@pytest.fixture(scope="module")
def acme(served: tuple[RunningServer, Customer]) -> Customer:
    return served[1]


@pytest.fixture(autouse=True)
def _still_serves(server: RunningServer, acme: Customer) -> Iterator[None]:
    yield
    assert serves(server, acme)


def contents(database_path: Path) -> list[Any]:
    """All rows of all tables that a request can write to."""
    connection = sqlite3.connect(database_path)
    try:
        select = "select name from sqlite_schema where type = 'table' and name not like 'sqlite%'"
        tables = [name for (name,) in connection.execute(select)]
        money = {"account", "entry", "hold", "generation", "activity", "answer"}
        assert money | {
            *("api_key", "key_secret", "issuance", "price", "record_dictionary", "archive"),
        } == set(tables)
        return [connection.execute(f"select * from {table}").fetchall() for table in tables]
    finally:
        connection.close()


@pytest.mark.parametrize("case", NOT_HTTP)
def test_input_that_is_not_http_gets_one_error(server: RunningServer, case: str) -> None:
    [refusal] = exchange(server.url, NOT_HTTP[case] + LAST)
    assert refusal.status == 400
    assert is_refusal(refusal)
    assert refusal.headers["connection"] == "close"


@pytest.mark.parametrize("line", ["POST /api/v1/keys", "DELETE /api/v1/keys/HASH"])
@pytest.mark.parametrize("case", BAD_FRAMING)
def test_request_is_refused_when_the_end_of_its_body_is_ambiguous(
    server: RunningServer, acme: Customer, case: str, line: str
) -> None:
    start = line.replace("HASH", key_hash(acme.inference))
    key = f"Authorization: Bearer {acme.management}"
    head = "\r\n".join([f"{start} HTTP/1.1", "Host: gateway", key, *BAD_FRAMING[case], "", ""])
    smuggled = request("POST /api/v1/keys", acme.management, body=b'{"name": "smuggled"}')
    [refusal] = exchange(server.url, head.encode() + b"0\r\n\r\n" + smuggled)
    assert refusal.status == 400
    assert is_refusal(refusal)


@pytest.mark.parametrize("case", REFUSED)
def test_request_is_refused_when_its_method_path_or_query_is_bad(
    server: RunningServer, acme: Customer, case: str
) -> None:
    status, line = REFUSED[case]
    refusal, last = exchange(server.url, request(line, acme.management) + LAST)
    assert refusal.status == status
    assert is_refusal(refusal)
    assert last.status == 200


@pytest.mark.parametrize("case", BAD_BODIES)
def test_request_is_refused_when_its_body_is_bad(
    server: RunningServer, acme: Customer, case: str
) -> None:
    body = BAD_BODIES[case]
    refusal, last = exchange(
        server.url, request("POST /api/v1/keys", acme.management, body=body) + LAST
    )
    assert refusal.status == 400
    assert is_refusal(refusal)
    assert len(refusal.body) < 1000, "an error does not repeat the input"
    assert last.status == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "\xff"])
def test_request_is_refused_when_its_body_has_another_media_type(
    server: RunningServer, acme: Customer, media_type: str
) -> None:
    bad = request(
        "POST /api/v1/keys", acme.management, f"Content-Type: {media_type}", body=b'{"name": "a"}'
    )
    refusal, last = exchange(server.url, bad + LAST)
    assert refusal.status == 415
    assert is_refusal(refusal)
    assert last.status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Authorization: \r\n",
        b"Authorization: Bearer\r\n",
        b"Authorization: Bearer \xff\xfe\r\n",
        b"Authorization: Bearer sk-mg-v1-" + "é".encode() * 49 + b"\r\n",
        b"Authorization: Bearer " + b"x" * 16_000 + b"\r\n",
        b"Authorization: Bearer KEY\r\nAuthorization: Basic YTpi\r\n",
        b"Authorization: Bearer KEY, Bearer KEY\r\n",
    ],
)
def test_request_is_refused_without_exactly_one_key(
    server: RunningServer, acme: Customer, authorization: bytes
) -> None:
    lines = authorization.replace(b"KEY", acme.management.encode())
    bad = b"GET /api/v1/credits HTTP/1.1\r\nHost: gateway\r\n" + lines + b"\r\n"
    refusal, last = exchange(server.url, bad + LAST)
    assert refusal.status == 401
    assert is_refusal(refusal)
    assert last.status == 200


@pytest.mark.parametrize(
    ("line", "body", "name"),
    [
        ("POST /api/v1/keys", b'{"name": "a"}', "Idempotency-Key"),
        ("POST /api/v1/chat/completions", CHAT, "Idempotency-Key"),
        ("POST /api/v1/chat/completions", CHAT, "X-ModelGates-Max-Cost"),
    ],
)
def test_request_is_refused_when_a_header_that_must_be_unique_comes_twice(
    server: RunningServer, acme: Customer, line: str, body: bytes, name: str
) -> None:
    key = acme.inference if "chat" in line else acme.management
    bad = request(line, key, f"{name}: 1", f"{name.lower()}: 2", body=body)
    refusal, last = exchange(server.url, bad + LAST)
    assert refusal.status == 400
    assert is_refusal(refusal)
    assert f"Duplicate `{name}` header" in refusal.json["error"]["message"]
    assert last.status == 200


def test_unknown_parameter_is_ignored_when_the_setting_allows_it(tmp_path: Path) -> None:
    body = b'{"name": "a", "newer": 1}'
    with running_server(tmp_path, MODELGATES_ALLOW_UNKNOWN_KEY_MEMBERS="true") as lenient:
        customer = open_customer_now(lenient.database_path)
        creation = request("POST /api/v1/keys", customer.management, body=body)
        created, _ = exchange(lenient.url, creation + LAST)
        assert created.status == 201
        creation = request("POST /api/v1/keys", customer.management, body=b'{"Name": "a"}')
        refused, _ = exchange(lenient.url, creation + LAST)
        assert refused.status == 400


def test_key_in_a_trailer_is_ignored(server: RunningServer, acme: Customer) -> None:
    head = "POST /api/v1/keys HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailer = f"Authorization: Bearer {acme.management}\r\n\r\n"
    body = 'd\r\n{"name": "a"}\r\n0\r\n'
    refusal, last = exchange(server.url, (head + body + trailer).encode() + LAST)
    assert refusal.status == 401
    assert last.status == 200


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        ("GET http://elsewhere/api/v1/credits", []),
        ("GET /api/v1/credits?x=%ff&x=%00", []),
        ("GET /api/v1/credits", ["X-Junk: \xff\xfe"]),
        ("GET /api/v1/credits", ["X-Request-Id: {}<script>", "X-Request-Id: a"]),
        ("GET /api/v1/credits", ["Upgrade: websocket", "Connection: Upgrade"]),
        ("GET /api/v1/credits", ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"]),
        ("GET /api/v1/credits", ["Expect: 100-continue"]),
        ("GET /api/v1/credits", ["Content-Length: 0"]),
    ],
)
def test_request_succeeds_when_it_is_unusual_but_valid(
    server: RunningServer, acme: Customer, line: str, headers: list[str]
) -> None:
    answer, last = exchange(server.url, request(line, acme.management, *headers) + LAST)
    assert answer.status == 200
    assert answer.json["data"] == {"total_credits": 100, "total_usage": 0}
    assert last.status == 200


def test_http_1_0_connection_gets_one_response(server: RunningServer, acme: Customer) -> None:
    old = request("GET /api/v1/credits", acme.management).replace(b"HTTP/1.1", b"HTTP/1.0")
    [answer] = exchange(server.url, old + LAST)
    assert answer.status == 200
    assert answer.headers["connection"] == "close"


def test_request_after_connection_close_is_not_executed(
    server: RunningServer, acme: Customer
) -> None:
    more = request("POST /api/v1/keys", acme.management, body=b'{"name": "too late"}')
    [answer] = exchange(server.url, LAST + more)
    assert answer.status == 200


_GOOD = [
    request("GET /api/v1/credits", "KEY", "X-Request-Id: a", "Accept: */*"),
    request("GET /api/v1/keys?offset=1", "KEY", "Connection: keep-alive"),
    request("GET /api/v1/keys/" + NO_HASH, "KEY"),
    request("POST /api/v1/keys", "KEY", "Idempotency-Key: a", body=b'{"name": 5, "limit": 1.5}'),
    request("PATCH /api/v1/keys/" + NO_HASH, "KEY", body=b'{"disabled": true}'),
    request("POST /api/v1/keys", "KEY", "Transfer-Encoding: chunked")
    + b'd\r\n{"name": 1234}\r\n0\r\n\r\n',
]


@settings(max_examples=500)
@given(
    requests=st.lists(st.sampled_from(_GOOD), min_size=1, max_size=4),
    changes=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.integers(0, 8),
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from([b"\r\n", b"\r\n\r\n", b":", b" ", b"\x00", b"0\r\n\r\n", b"%"]),
            ),
        ),
        max_size=8,
    ),
)
def test_server_survives_any_change_of_bytes(
    server: RunningServer,
    acme: Customer,
    requests: list[bytes],
    changes: list[tuple[float, int, bytes]],
) -> None:
    data = bytearray(b"".join(requests).replace(b"KEY", acme.management.encode()))
    for where, dropped, put in changes:
        at = int(where * len(data))
        data[at : at + dropped] = put
    for answer in exchange(server.url, bytes(data) + b"\r\n\r\n" + LAST):
        assert answer.status < 500
        assert answer.status < 400 or is_refusal(answer)
    assert serves(server, acme)
