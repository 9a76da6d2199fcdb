"""The number of lines about rejected requests is limited."""

import json

import pytest

from modelgates_server.telemetry import rejected_requests
from modelgates_server.telemetry.rejected_requests import (
    CONNECTION_LINES_MAX_PER_S,
    LINES_MAX_PER_S,
    RejectedRequests,
)


async def test_window_admits_a_hundred_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejected_requests, "_WINDOW_S", 3600)
    rejections = RejectedRequests()
    assert LINES_MAX_PER_S == 100
    assert [rejections.admits(401) for _ in range(150)].count(True) == LINES_MAX_PER_S


@pytest.mark.parametrize("status", [200, 400, 404, 405, 409, 422])
async def test_other_statuses_are_not_logged(status: int) -> None:
    assert not RejectedRequests().admits(status)


@pytest.mark.parametrize("status", [401, 402, 403, 413, 429, 500, 502, 503, 504])
async def test_rejections_are_logged(status: int) -> None:
    assert RejectedRequests().admits(status)


async def test_connections_do_not_take_the_lines_of_requests(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rejected_requests, "_WINDOW_S", 3600)
    counted = list[int]()
    rejections = RejectedRequests(counted.append)
    for _ in range(1000):
        rejections.of_connection(503, "Too many connections.", "203.0.113.7")
    assert counted == [503] * 1000
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(lines) == CONNECTION_LINES_MAX_PER_S
    assert (lines[0]["status"], lines[0]["level"], lines[0]["client"]) == (
        503,
        "warning",
        "203.0.113.7",
    )
    assert rejections.admits(401)
