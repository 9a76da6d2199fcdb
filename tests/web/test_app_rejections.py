"""The access log of rejected requests."""

import json
from typing import Any

import pytest

from modelgates_server.core.keys import key_hash
from tests.server import Customer
from tests.web.harness import BODY_MAX_BYTES, Api

EVENT = "request rejected"
FIELDS = {
    "event",
    "level",
    "timestamp",
    "operation",
    "method",
    "path",
    "status",
    "error",
    "reason",
    "account_id",
    "key_hash",
    "client",
    "generation_id",
    "request_id",
    "duration_ms",
}


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def lines_in(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if line[:1] == "{"]


async def test_line_says_who_was_rejected_where_and_why(
    api: Api, acme: Customer, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "sk-mg-v1-" + "x" * 49
    await api.call("GET", f"/api/v1/keys/{'a' * 64}?q=private", acme.inference)
    await api.call("GET", "/api/v1/credits", secret)
    first, second = lines_in(capsys)
    assert first.keys() == second.keys() == FIELDS
    assert first["event"] == second["event"] == EVENT
    assert (first["operation"], first["method"]) == ("get-key", "GET")
    assert first["path"] == "/api/v1/keys/{hash}"
    assert (first["status"], first["error"]) == (403, "not_permitted")
    assert (first["account_id"], first["key_hash"]) == (acme.account_id, key_hash(acme.inference))
    assert first["client"] == "127.0.0.1"
    assert first["level"] == "info"
    assert second["status"] == 401
    assert second["account_id"] is second["key_hash"] is None
    assert "private" not in str(first)
    assert secret not in str(second)


async def test_only_rejections_that_concern_operators_are_logged(
    api: Api, acme: Customer, capsys: pytest.CaptureFixture[str]
) -> None:
    await api.call("GET", "/api/v1/nowhere", acme.inference)
    await api.call("DELETE", "/api/v1/credits", acme.inference)
    await api.call("GET", "/api/v1/credits", acme.viewer)
    await api.call("POST", "/api/v1/chat/completions", acme.inference)
    assert lines_in(capsys) == []


async def test_body_that_is_too_large_is_logged(
    api: Api, acme: Customer, capsys: pytest.CaptureFixture[str]
) -> None:
    await api.client.post(
        "/api/v1/chat/completions",
        content=b" " * (BODY_MAX_BYTES + 1),
        headers={"Authorization": f"Bearer {acme.inference}"},
    )
    [line] = lines_in(capsys)
    assert (line["operation"], line["status"]) == ("create-chat-completion", 413)
