"""Rejections before there is a request are counted and logged."""

import json
import re
from pathlib import Path

import pytest

from tests.deadlines import eventually, http_request
from tests.e2e.wire import exchange
from tests.server import RunningServer, running_server

TOKEN = "metrics-token-0123456789"
BAD = {
    400: b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    408: b"GET /healthz?sk-mg-v1-private HTTP/1.1\r\nHost: ",
    431: b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 64 * 1024,
}

pytestmark = pytest.mark.slow


def counted(server: RunningServer) -> dict[int, float]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    text = http_request("GET", f"{server.url}/metrics", headers=headers).text
    found = re.findall(
        r'^modelgates_connections_rejected_total{status="(\d+)"} (\S+)$', text, re.MULTILINE
    )
    return {int(status): float(count) for status, count in found}


def test_rejections_without_a_request_are_counted_and_logged(tmp_path: Path) -> None:
    settings = {"MODELGATES_REQUEST_TIMEOUT_S": "1", "MODELGATES_METRICS_TOKEN": TOKEN}
    with running_server(tmp_path, **settings) as server:
        for status, data in BAD.items():
            assert [answer.status for answer in exchange(server.url, data)] == [status]
        eventually(lambda: counted(server) == dict.fromkeys(BAD, 1))
    lines = [json.loads(line) for line in server.log_path.read_text().splitlines()]
    rejected = [line for line in lines if line["event"] == "connection rejected"]
    assert [line["status"] for line in rejected] == list(BAD)
    assert {line["client"] for line in rejected} == {"127.0.0.1"}
    assert "within 1 seconds" in rejected[1]["reason"]
    assert "private" not in server.log_path.read_text()
