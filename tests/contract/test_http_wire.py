"""Behavior that only the real server shows: HEAD, connections, concurrent clients, stored files."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.deadlines import http_client, http_request
from tests.server import Customer, RunningServer, open_customer_now, running_server

TOKEN = "metrics-token-of-this-test"


def as_caller(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/credits", 200),
        ("/api/v1/credits/", 200),
        ("/api/v1/key", 200),
        ("/api/v1/keys", 200),
        ("/api/v1/keys/unknown", 404),
        ("/api/v1/nothing", 404),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/openapi.json", 200),
        ("/openapi.yaml", 200),
        ("/metrics", 404),
    ],
)
def test_head_returns_the_headers_of_get_without_a_body(
    path: str, status: int, server: RunningServer, customer: Customer
) -> None:
    with http_client(base_url=server.url, headers=as_caller(customer.management)) as client:
        got = client.get(path)
        head = client.head(path)
        assert (got.status_code, head.status_code) == (status, status)
        assert head.content == b""
        changing = {"date", "x-request-id"}
        assert {k: v for k, v in head.headers.items() if k not in changing} == {
            k: v for k, v in got.headers.items() if k not in changing
        }
        assert int(head.headers["content-length"]) == len(got.content)
        # A body after HEAD would be read as the start of this response.
        assert client.get("/healthz").text == '{"status":"ok"}'


def test_head_without_permission_is_rejected_like_get(
    server: RunningServer, customer: Customer
) -> None:
    assert http_request("HEAD", f"{server.api}/credits").status_code == 401
    refused = http_request("HEAD", f"{server.api}/credits", headers=as_caller(customer.inference))
    assert refused.status_code == 403


def test_connection_stays_open_after_errors(server: RunningServer, customer: Customer) -> None:
    with http_client(base_url=server.api) as client:
        for _ in range(3):
            assert client.get("/credits").status_code == 401
            assert client.put("/credits").status_code == 405
            assert client.get("/nothing").status_code == 404
            assert client.options("/credits").status_code == 204
            answer = client.get("/credits", headers=as_caller(customer.viewer))
            assert answer.status_code == 200
            assert "connection" not in answer.headers


def test_request_ids_are_unique(server: RunningServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(
            pool.map(
                lambda _: http_request("GET", f"{server.url}/healthz").headers["x-request-id"],
                range(64),
            )
        )
    assert len(set(ids)) == 64


def test_32_clients_that_repeat_one_request_get_one_key(
    server: RunningServer, customer: Customer
) -> None:
    def post(_: int) -> httpx.Response:
        headers = {**as_caller(customer.management), "Idempotency-Key": "all at once"}
        body = {"name": "new", "limit": 5}
        return http_request("POST", f"{server.api}/keys", json=body, headers=headers)

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(post, range(32)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    text = answers[0].json()["key"]
    assert http_request("GET", f"{server.api}/key", headers=as_caller(text)).status_code == 200
    listed = http_request("GET", f"{server.api}/keys", headers=as_caller(customer.management))
    assert [row["name"] for row in listed.json()["data"]].count("new") == 1


def test_keys_are_in_no_file_and_no_log_line(tmp_path: Path) -> None:
    with running_server(tmp_path, MODELGATES_LOG_LEVEL="debug") as server:
        customer = open_customer_now(server.database_path)
        headers = {**as_caller(customer.management), "Idempotency-Key": "repeatable"}
        texts = [customer.management, customer.inference, customer.viewer]
        for extra in ({}, {"Idempotency-Key": "repeatable"}):
            answer = http_request(
                "POST",
                f"{server.api}/keys",
                json={"name": "new"},
                headers={**as_caller(customer.management), **extra},
            )
            texts.append(answer.json()["key"])
        again = http_request("POST", f"{server.api}/keys", json={"name": "new"}, headers=headers)
        assert again.json()["key"] == texts[-1]
        for text in texts:
            http_request("GET", f"{server.api}/credits/{text}?key={text}", headers=as_caller(text))
            http_request("GET", f"{server.api}/credits", headers=as_caller(text))
        searched = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {"modelgates.db", "modelgates.db-wal", "server.log"} <= {p.name for p in searched}
        stored = b"".join(path.read_bytes() for path in searched)
    stored += b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert customer.account_id.encode() in stored
    for text in texts:
        # The label shows three characters at each end; nothing else of the key is stored.
        secret = text.removeprefix("sk-mg-v1-")[3:-3]
        for length in (16, len(secret)):
            assert secret[:length].encode() not in stored
            assert secret[-length:].encode() not in stored


def test_metrics_are_served_only_with_the_token(tmp_path: Path) -> None:
    with running_server(tmp_path, MODELGATES_METRICS_TOKEN=TOKEN) as server:
        for _ in range(3):
            http_request("GET", f"{server.api}/credits")
        answer = http_request("GET", f"{server.url}/metrics", headers=as_caller(TOKEN))
        assert answer.status_code == 200
        counted = 'modelgates_http_requests_total{operation="get-credits",status="401"} 3.0'
        assert counted in answer.text
        for headers in ({}, as_caller("another-token-altogether")):
            assert http_request("GET", f"{server.url}/metrics", headers=headers).status_code == 404


def test_metrics_are_not_found_when_server_has_no_token(server: RunningServer) -> None:
    for headers in ({}, as_caller(TOKEN)):
        answer = http_request("GET", f"{server.url}/metrics", headers=headers)
        assert answer.status_code == 404
        unknown = http_request("GET", f"{server.url}/metric_", headers=headers)
        assert answer.text == unknown.text.replace("/metric_", "/metrics")


def test_server_is_unready_while_its_database_file_is_moved(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert http_request("GET", f"{server.url}/readyz").status_code == 200
        server.database_path.rename(tmp_path / "elsewhere.db")
        answer = http_request("GET", f"{server.url}/readyz")
        assert answer.status_code == 503
        assert answer.json()["parts"]["database"] == "unavailable"
        assert str(tmp_path) not in answer.text
        assert http_request("GET", f"{server.url}/healthz").status_code == 200
        (tmp_path / "elsewhere.db").rename(server.database_path)
        assert http_request("GET", f"{server.url}/readyz").status_code == 200


def test_served_document_has_the_public_url(tmp_path: Path) -> None:
    with running_server(tmp_path, MODELGATES_PUBLIC_URL="https://credits.example") as server:
        document = http_request("GET", f"{server.url}/openapi.json").json()
        assert document["servers"] == [{"url": "https://credits.example/api/v1"}]
        text = http_request("GET", f"{server.url}/openapi.yaml").text
        assert re.search(r"^- url: https://credits\.example/api/v1$", text, re.MULTILINE)
