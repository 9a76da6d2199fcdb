"""Internal errors: their details never reach the client, which gets a response it can act on."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core import errors as e
from modelgates_server.core.metering.generations import CALL_LOST
from modelgates_server.web.errors import STATUSES, describe, status_of
from tests.server import Customer
from tests.support import error_classes
from tests.web.harness import Api

CREDITS, KEYS = "/api/v1/credits", "/api/v1/keys"
CALLS, MCP = "/api/v1/chat/completions", "/api/v1/mcp"
SECRET = "/var/lib/modelgates/modelgates.db"


_CALL = '{{"model":"sandbox/echo","messages":[{{"role":"user","content":"Hi"}}]}}'


def _message(method: str, **params: Any) -> str:
    """A JSON-RPC message as a template with the field `{key}`."""
    text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    return text.replace("{", "{{").replace("}", "}}").replace("{{key}}", "{key}")


def fails(error: Exception) -> Callable[..., object]:
    async def fail(*_: object, **__: object) -> object:
        raise error

    return fail


async def test_bug_is_a_500_without_details(
    api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.store, "authenticated_key", fails(RuntimeError(SECRET)))
    answer = await api.call("GET", CREDITS, acme.management)
    assert answer.status_code == 500
    assert answer.text == '{"error":{"message":"Internal Server Error","code":500}}'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_bug_after_caller_is_known_is_a_500_with_only_the_user_id(
    api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.store, "keys", fails(KeyError(SECRET)))
    answer = await api.call("GET", KEYS, acme.management)
    assert answer.status_code == 500
    assert answer.json() == {
        "error": {"message": "Internal Server Error", "code": 500},
        "user_id": acme.account_id,
    }


@pytest.mark.parametrize(("method", "path"), [("GET", CREDITS), ("GET", KEYS), ("POST", KEYS)])
async def test_unavailable_database_is_a_503_with_retry_after(
    method: str, path: str, api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        api.store, "authenticated_key", fails(e.StoreUnavailable(f"{SECRET} is locked"))
    )
    answer = await api.call(method, path, acme.management, json={"name": "x"})
    assert answer.status_code == 503
    assert answer.text == '{"error":{"message":"Service temporarily unavailable","code":503}}'
    assert answer.headers["retry-after"] == "1"


async def test_failed_write_is_not_acknowledged(
    api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.store, "create_key", fails(e.StoreUnavailable(SECRET)))
    answer = await api.call("POST", KEYS, acme.management, json={"name": "x"})
    assert answer.status_code == 503
    assert SECRET not in answer.text
    assert "sk-mg-v1-" not in answer.text


GUIDE = Path(__file__).parents[2] / "docs/guides/errors.md"


def test_error_has_the_status_of_its_code() -> None:
    assert status_of(e.ReferenceReused) == STATUSES["reference_reused"] == 422


def test_error_has_the_status_of_its_base_class_when_its_code_has_none() -> None:
    assert "created_key_deleted" not in STATUSES
    assert status_of(e.CreatedKeyDeleted) == STATUSES["conflict"] == 409
    assert status_of(e.InvalidAmount) == STATUSES["invalid_input"] == 400


def test_every_status_belongs_to_an_error_class() -> None:
    assert STATUSES.keys() <= {error.code for error in error_classes()}
    assert set(STATUSES.values()) <= set(range(400, 600))


def test_every_error_class_is_in_the_guide_with_its_status() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| (\d+|none) \| [a-z].*[^.] \|$", GUIDE.read_text("utf-8"))
    statuses = [(error.code, str(status_of(error))) for error in error_classes()]
    assert sorted(rows) == sorted([*statuses, (CALL_LOST, "none")])


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (e.MissingKey(), b'Bearer realm="ModelGates"'),
        (e.UnknownKey(), b'Bearer realm="ModelGates", error="invalid_token"'),
        (e.KeyExpired(), b'Bearer realm="ModelGates", error="invalid_token"'),
        (e.NotPermitted(), b'Bearer realm="ModelGates", error="insufficient_scope"'),
    ],
)
def test_rejected_key_gets_a_challenge(error: Exception, challenge: bytes) -> None:
    assert describe(error)[2] == [(b"www-authenticate", challenge)]


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (e.CallInProgress(), (b"retry-after", b"1")),
        (e.CallEnded(), (b"x-should-retry", b"false")),
        (e.InsufficientCredits("m"), (b"x-should-retry", b"false")),
        (e.InsufficientCredits("m", retry_after_s=7), (b"retry-after", b"7")),
        (e.ProviderRateLimited("m", provider="acme", retry_after_s=0), (b"retry-after", b"0")),
    ],
)
def test_error_has_a_header_that_says_whether_to_retry(
    error: Exception, header: tuple[bytes, bytes]
) -> None:
    assert describe(error)[2] == [header]


def test_error_has_no_retry_header_when_a_retry_may_or_may_not_help() -> None:
    for error in (e.AccountClosed("m"), e.ProviderUnavailable("m", provider="acme")):
        assert describe(error)[2] == []


async def test_negative_max_cost_is_shown_as_the_parsed_amount(api: Api, acme: Customer) -> None:
    body = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"X-ModelGates-Max-Cost": "\xa0\x85-001.50".encode("latin-1")}
    answer = await api.call(
        "POST", "/api/v1/chat/completions", acme.inference, json=body, headers=headers
    )
    assert answer.json()["error"]["message"] == (
        "`X-ModelGates-Max-Cost` must not be negative: -1.5. Give an amount in US dollars."
    )


@pytest.mark.parametrize(
    ("method", "path", "request_"),
    [
        ("GET", f"{KEYS}?offset={{key}}", {}),
        ("GET", f"{KEYS}?{{key}}=1", {}),
        ("GET", "/api/v1/generation?id={key}", {}),
        ("POST", KEYS, {"content": '{{"{key}":1,"name":"x"}}'}),
        ("POST", KEYS, {"content": '{{"name":"{key}\\u001b"}}'}),
        ("POST", KEYS, {"content": '{{"name":"x","expires_at":"{key}"}}'}),
        ("POST", KEYS, {"content": "{{}}", "headers": {"content-type": "{key}"}}),
        ("POST", CALLS, {"content": '{{"model":"{key}","messages":[]}}'}),
        ("POST", CALLS, {"content": _CALL, "headers": {"X-ModelGates-Max-Cost": "{key}"}}),
        ("POST", MCP, {"content": "{{}}", "headers": {"content-type": "text/{key}"}}),
        ("POST", MCP, {"content": '{{"{key}":1,"{key}":2}}'}),
        ("POST", MCP, {"content": _message("{key}")}),
        ("POST", MCP, {"content": _message("tools/call", name="{key}")}),
        *(
            ("POST", MCP, {"content": _message("tools/call", name=name, arguments=arguments)})
            for name, arguments in (
                ("create_key", {"name": "{key}\x1b"}),
                ("create_key", {"{key}": 1}),
                ("create_key", {"name": "x", "limit": "{key}"}),
                ("get_generation", {"id": "{key}"}),
            )
        ),
    ],
)
async def test_key_in_a_wrong_place_is_not_repeated(
    method: str, path: str, request_: dict[str, Any], api: Api, acme: Customer
) -> None:
    key = acme.management
    headers = {"content-type": "application/json", "accept": "application/json"}
    headers |= request_.get("headers", {})
    caller = acme.inference if path == CALLS else key
    answer = await api.call(
        method,
        path.format(key=key),
        caller,
        content=request_.get("content", "").format(key=key),
        headers={name: value.format(key=key) for name, value in headers.items()},
    )
    assert key[:20].lower() not in answer.text.lower()
    if path != MCP:
        assert answer.status_code >= 400
