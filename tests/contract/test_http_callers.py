"""Authentication on the running server: every row of the contract about callers of /credits."""

import http.client
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from modelgates_server.core.keys import key_hash
from tests.deadlines import http_client, http_connection, http_request
from tests.server import Customer, RunningServer

MISSING = (401, "Missing Authentication header", 'Bearer realm="ModelGates"')
INVALID = 'Bearer realm="ModelGates", error="invalid_token"'
TWO = (
    400,
    (
        "The request has two different keys. Send one of them, as `Authorization: Bearer`, "
        "`x-api-key` or `api-key`."
    ),
    None,
)
UNKNOWN = (401, "User not found.", INVALID)
FORBIDDEN = (
    403,
    "Only management keys can perform this operation",
    'Bearer realm="ModelGates", error="insufficient_scope"',
)


def request(
    server: RunningServer, method: str, path: str, authorization: list[str]
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Sends one request with its header lines exactly as given, which other clients cannot do."""
    connection = http_connection(server.url)
    try:
        connection.putrequest(method, path)
        for value in authorization:
            connection.putheader("Authorization", value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([], MISSING),
        ([""], MISSING),
        (["{management}"], MISSING),
        (["Bearer"], MISSING),
        (["Bearer "], MISSING),
        (["Bearer    "], MISSING),
        (["Basic {management}"], MISSING),
        (['Bearer "{management}"'], MISSING),
        (["Bearer {management}x"], MISSING),
        (["Bearer sk-or-v1-" + "0" * 64], MISSING),
        (["Bearer {management}", "Bearer {viewer}"], TWO),
        (["Bearer {management}", "Bearer {management}"], None),
        (["Bearer sk-mg-v1-" + "0" * 49], UNKNOWN),
        (["Bearer {inference}"], FORBIDDEN),
        (["Bearer {management}"], None),
        (["bearer {management}"], None),
        (["BEARER {management}"], None),
        (["Bearer {viewer}"], None),
    ],
)
def test_authorization_header_gets_its_status_and_challenge(
    written: list[str],
    expected: tuple[int, str, str | None] | None,
    server: RunningServer,
    customer: Customer,
) -> None:
    lines = [value.format(**vars(customer)) for value in written]
    status, headers, body = request(server, "GET", "/api/v1/credits", lines)
    assert headers["Content-Type"] == "application/json"
    if expected is None:
        assert (status, body) == (200, b'{"data":{"total_credits":100,"total_usage":0}}')
        assert "WWW-Authenticate" not in headers
        return
    answer = json.loads(body)
    assert answer.pop("user_id", None) == (customer.account_id if status == 403 else None)
    metadata = answer["error"].pop("metadata", None)
    # A hint about what was sent; it is not sent when nothing was.
    assert (metadata is None) == (not written or status in {400, 403})
    assert answer == {"error": {"message": expected[1], "code": expected[0]}}
    assert (status, headers["WWW-Authenticate"]) == (expected[0], expected[2])


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda client, path: client.delete(path), "User not found."),
        (lambda client, path: client.patch(path, json={"disabled": True}), "API key is disabled."),
    ],
    ids=["deleted", "disabled"],
)
def test_deleted_or_disabled_key_is_rejected_by_the_next_request(
    end: Callable[[httpx.Client, str], httpx.Response],
    message: str,
    server: RunningServer,
    customer: Customer,
) -> None:
    manager = http_client(
        base_url=server.api, headers={"Authorization": f"Bearer {customer.management}"}
    )
    with manager, http_client(base_url=server.api) as user:
        for _ in range(100):
            created = manager.post("/keys", json={"name": "short-lived", "kind": "viewer"}).json()
            headers = {"Authorization": f"Bearer {created['key']}"}
            assert user.get("/credits", headers=headers).status_code == 200
            path = f"/keys/{created['data']['hash']}"
            assert end(manager, path).status_code == 200
            refused = user.get("/credits", headers=headers)
            assert (refused.status_code, refused.json()["error"]["message"]) == (401, message)


def test_key_works_again_when_it_is_enabled_again(
    server: RunningServer, customer: Customer
) -> None:
    manager = http_client(
        base_url=server.api, headers={"Authorization": f"Bearer {customer.management}"}
    )
    headers = {"Authorization": f"Bearer {customer.viewer}"}
    path = f"/keys/{key_hash(customer.viewer)}"
    with manager:
        for disabled, status in ((True, 401), (False, 200)):
            assert manager.patch(path, json={"disabled": disabled}).status_code == 200
            assert (
                http_request("GET", f"{server.api}/credits", headers=headers).status_code == status
            )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/keys", None),
        ("POST", "/keys", {"name": "x"}),
        ("DELETE", "/keys?id=" + "0" * 64, None),
        ("GET", "/keys/" + "0" * 64, None),
        ("PATCH", "/keys/" + "0" * 64, {"name": "x"}),
        ("DELETE", "/keys/" + "0" * 64, None),
    ],
)
def test_key_operations_are_forbidden_for_inference_and_viewer_keys(
    method: str, path: str, body: Any, server: RunningServer, customer: Customer
) -> None:
    for key in (customer.inference, customer.viewer):
        headers = {"Authorization": f"Bearer {key}"}
        answer = http_request(method, server.api + path, json=body, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["user_id"] == customer.account_id


def test_key_of_every_kind_can_read_itself(server: RunningServer, customer: Customer) -> None:
    for key in (customer.management, customer.inference, customer.viewer):
        for path in ("/key", "/auth/key", "/key/", "/auth/key/"):
            answer = http_request(
                "GET", server.api + path, headers={"Authorization": f"Bearer {key}"}
            )
            assert answer.status_code == 200
            assert answer.json()["data"]["label"] == f"{key[:12]}...{key[-3:]}"
