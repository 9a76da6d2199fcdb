"""The server's log lines, and the secrets that they never contain."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.keys import PREFIX
from tests.deadlines import DEADLINE_S
from tests.e2e.wire import exchange, request
from tests.server import open_customer_now, running_server

LAST = request("GET /healthz", None, "Connection: close")


def lines_of(text: str) -> list[dict[str, Any]]:
    """The lines of a log. Each must be an object with its event, level and time."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    return lines


def contains_secret(text: str, key: str) -> bool:
    """Whether a text contains any part of a key's secret."""
    secret = key.removeprefix(PREFIX)
    return any(secret[at : at + 12] in text for at in range(len(secret) - 12))


def requests_with(key: str) -> list[bytes]:
    """Good and bad requests that have a key in the right place and in wrong ones."""
    name = json.dumps({"name": key}).encode()
    return [
        request("GET /api/v1/credits", key),
        request("GET /api/v1/credits", key, f"Authorization: Bearer {key}"),
        request("GET /api/v1/credits", None, f"Authorization: Basic {key}"),
        request("GET /api/v1/credits", key, f"X-Request-Id: {key}", f"Cookie: key={key}"),
        request(f"GET /api/v1/keys/{key}", key),
        request(f"GET /{key}", key),
        request(f"GET /api/v1/keys?offset={key}", key),
        request(f"DELETE /api/v1/keys?id={key}", key),
        request("POST /api/v1/keys", key, f"Idempotency-Key: {key}", body=name),
        request("POST /api/v1/keys", key, f"Idempotency-Key: {key}", body=name[:-2]),
        request("POST /api/v1/keys", key, f"Content-Type: {key}", body=name),
        request("POST /api/v1/keys", key, body=f'{{"name": "a", "kind": "{key}"}}'.encode()),
        request("POST /api/v1/keys", key, body=f'{{"name": "a", "expires_at": "{key}"}}'.encode()),
        request("POST /api/v1/keys", key, f"Transfer-Encoding: {key}"),
        request(f"GET {key}", key),
        request(f"{key} /", key),
    ]


def damage(database_path: Path, key_hash: str, kind: str) -> None:
    """Writes a kind of key that the server cannot read."""
    with closing(sqlite3.connect(database_path)) as connection:
        connection.execute("pragma ignore_check_constraints = on")
        connection.execute("update api_key set kind = ? where hash = ?", (kind, key_hash))
        connection.commit()


@pytest.mark.parametrize("level", ["debug", "info"])
def test_keys_are_never_logged(tmp_path: Path, level: str) -> None:
    with running_server(tmp_path, MODELGATES_LOG_LEVEL=level) as server:
        acme = open_customer_now(server.database_path)
        keys = [acme.management, acme.inference, acme.viewer]
        for key in keys:
            for data in requests_with(key):
                exchange(server.url, data + LAST)
        [created, _] = exchange(
            server.url, request("POST /api/v1/keys", acme.management, body=b'{"name": "a"}') + LAST
        )
        keys.append(created.json["key"])
        damage(server.database_path, created.json["data"]["hash"], f"a ({keys[-1]})")
        [failed, _] = exchange(
            server.url, request("GET /api/v1/key", keys[-1], f"X-Request-Id: {keys[-1]}") + LAST
        )
        assert failed.status == 500
        assert failed.json == {"error": {"message": "Internal Server Error", "code": 500}}
        server.database_path.rename(tmp_path / "moved.db")
        [unavailable, _] = exchange(
            server.url,
            request(
                "POST /api/v1/keys",
                acme.management,
                f"X-Request-Id: {acme.management}",
                body=b'{"name": "a"}',
            )
            + LAST,
        )
        assert unavailable.status == 503
        (tmp_path / "moved.db").rename(server.database_path)
    text = server.log_path.read_text()
    assert not any(contains_secret(text, key) for key in keys)
    [error] = [line for line in lines_of(text) if line["level"] == "error"]
    assert error["request_id"] == f"{PREFIX}[redacted]"
    assert f"a ({PREFIX}[redacted])" in error["exception"]
    failed_line, warning = [line for line in lines_of(text) if line["level"] == "warning"]
    assert (failed_line["status"], failed_line["reason"]) == (500, None)
    assert warning["status"] == 503
    assert "moved or replaced" in warning["reason"]


def test_only_requests_without_access_are_logged_of_bad_ones(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        acme = open_customer_now(server.database_path)
        for data in requests_with(acme.management):
            exchange(server.url, data + LAST)
    events = [line for line in lines_of(server.log_path.read_text()) if "operation" in line]
    assert [(line["operation"], line["status"]) for line in events] == [("get-credits", 401)]


def test_log_has_only_lines_at_or_above_the_level_of_the_setting(tmp_path: Path) -> None:
    with running_server(tmp_path, MODELGATES_LOG_LEVEL="error") as server:
        assert exchange(server.url, LAST)[0].status == 200
    assert server.log_path.read_text() == ""


_LOG_SECRETS = """
import asyncio, logging, sys, warnings
import structlog
from modelgates_server.telemetry import logs

logs.configure("info")
key = sys.argv[1]
log = structlog.get_logger()
library = logging.getLogger("library")

log.info("in the event " + key)
log.info("nested", members={"list": [key, {key: key}], "bytes": key.encode()})
log.info("an object", error=ValueError(key), kind=type(key, (), {}))
log.info("a header", headers=[(b"authorization", b"Bearer some-other-token,")])
log.info("a header of text", header="BEARER some-other-token")
library.info("arguments %s %r", key, key.encode())
library.info("a line\\nbreak %s \\ud800", key)
try:
    raise ValueError(key) from KeyError(key)
except ValueError:
    log.exception("raised")
    library.exception("raised too")
log.info("with a stack", stack_info=True)
library.info("with a stack too %s", key, stack_info=True)
log.debug("not written")


async def fail() -> None:
    asyncio.get_running_loop().call_exception_handler({"message": key, "handle": [key]})


asyncio.run(fail())
"""


def test_secrets_are_redacted_anywhere_in_a_line(acme_key: str) -> None:
    process = subprocess.run(
        [sys.executable, "-c", _LOG_SECRETS, acme_key],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    assert process.stdout == ""
    assert not contains_secret(process.stderr, acme_key)
    assert "some-other-token" not in process.stderr
    events = [line["event"] for line in lines_of(process.stderr)]
    assert len(events) == 12
    assert "arguments sk-mg-v1-[redacted] b'sk-mg-v1-[redacted]'" in events


@pytest.fixture
def acme_key(tmp_path: Path) -> str:
    return open_customer_now(tmp_path / "modelgates.db").management
