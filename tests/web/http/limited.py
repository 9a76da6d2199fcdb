"""A server with low limits, for tests that try to make it keep data or wait."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.wire import exchange, request
from tests.server import RunningServer, running_server

CONNECTIONS_MAX = 64
MADE_ROOM = "connections that waited for their clients were closed to make room"
REJECTED = {"connection rejected", "more connections rejected"}
MB = b"x" * 2**20
CHUNK = b"100000\r\n" + MB + b"\r\n"
HEALTH = request("GET /healthz")
LAST = request("GET /healthz", None, "Connection: close")
CHUNKED = request("POST /api/v1/keys", None, "Transfer-Encoding: chunked")


@contextmanager
def limited_server(folder: Path, request_timeout_s: int) -> Iterator[RunningServer]:
    """A server with this request timeout. It may warn only about its connections."""
    limits = {
        "MODELGATES_REQUEST_TIMEOUT_S": str(request_timeout_s),
        "MODELGATES_MAX_CONNECTIONS": str(CONNECTIONS_MAX),
    }
    with running_server(folder, **limits) as running:
        yield running
    logged = [json.loads(line) for line in running.log_path.read_text().splitlines()]
    warnings = [line["event"] for line in logged if line["level"] != "info"]
    assert set(warnings) <= {MADE_ROOM, *REJECTED}


def served_again(server: RunningServer) -> bool:
    """Wait until the server accepts connections again, after excess ones have closed."""
    while exchange(server.url, LAST)[0].status == 503:
        pass
    return True
