"""Paths that no client library sends: dots and encoded dots lead to no other route."""

import pytest

from tests.deadlines import http_connection
from tests.server import Customer, RunningServer


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/models/../credits",
        "/api/v1/models/sandbox/../../credits",
        "/api/v1/models/%2e%2e/credits",
        "/api/v1/models/..%2Fcredits",
        "/api/v1/models/a/..%2f..%2fcredits",
        "/docs/../api/v1/credits",
        "/docs/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1/./credits",
        "/v1/../api/v1/credits",
        "/api/v1;/credits",
        "/api/v1/credits;x=1",
        "/api/v1/models/%25%32%66",
    ],
)
def test_disguised_path_is_not_served(path: str, server: RunningServer, owner: Customer) -> None:
    connection = http_connection(server.url)
    try:
        connection.putrequest("GET", path)
        connection.putheader("Authorization", f"Bearer {owner.management}")
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 404
        assert b"total_credits" not in answer.read()
    finally:
        connection.close()
