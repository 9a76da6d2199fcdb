"""The account for assistants: each tool does the same as its operation, for the same keys."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelgates_server.core.keys import KeyChange, KeyKind, key_hash
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.store.sqlite.archiving import archive
from modelgates_server.store.sqlite.store import SqliteStore
from modelgates_server.web.mcp import account_tools
from tests.server import Customer
from tests.support import DOLLAR, HOUR_MS, T0_MS, capture, finished, open_generation, place
from tests.web.harness import Api

PATH = "/api/v1/mcp"
READING = {"list_models", "get_generation"}
TOOLS = {
    KeyKind.MANAGEMENT: READING | {"get_credits", "list_keys", "create_key"},
    KeyKind.VIEWER: READING | {"get_credits"},
    KeyKind.INFERENCE: READING,
}
WRONG_KIND = "Only management keys can perform this operation"


async def post(api: Api, key: str | None, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", "accept": "application/json"}
    return await api.call("POST", PATH, key, content=content, headers=headers)


async def ask(api: Api, key: str, method: str, **params: Any) -> Any:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = (await post(api, key, message)).json()
    return answer.get("error") or answer["result"]


async def use(api: Api, key: str, tool: str, arguments: str = "{}") -> tuple[Any, bool]:
    """Call a tool with arguments in JSON; returns its text, and whether that is an error."""
    params = f'{{"name":"{tool}","arguments":{arguments}}}'
    message = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}'
    result = (await post(api, key, message.encode())).json()["result"]
    (content,) = result["content"]
    return content["text"], result.get("isError", False)


def key_of(customer: Customer, kind: KeyKind) -> str:
    text: str = getattr(customer, kind)
    return text


@pytest.mark.parametrize("kind", KeyKind)
async def test_key_is_shown_only_the_tools_it_may_call(
    api: Api, acme: Customer, kind: KeyKind
) -> None:
    listed = await ask(api, key_of(acme, kind), "tools/list")
    assert {tool["name"] for tool in listed["tools"]} == TOOLS[kind]


@pytest.mark.parametrize("kind", KeyKind)
async def test_key_of_another_kind_gets_the_error_of_the_operation(
    api: Api, acme: Customer, kind: KeyKind
) -> None:
    for tool in TOOLS[KeyKind.MANAGEMENT] - TOOLS[kind]:
        text, is_error = await use(api, key_of(acme, kind), tool)
        assert is_error
        assert json.loads(text)["error"] == {"message": WRONG_KIND, "code": 403}


async def test_invalid_key_gets_the_401_of_the_api(api: Api, acme: Customer) -> None:
    disabled, _ = await api.issue(acme.account_id)
    await api.store.change_key(key_hash(disabled), KeyChange(disabled=True), api.clock())
    expired, _ = await api.issue(acme.account_id, expires_at="2026-11-23T14:00:00Z")
    api.clock.forward(HOUR_MS)
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for key in (None, "nonsense", f"{acme.viewer[:-1]}!", disabled, expired):
        refused = await post(api, key, ping)
        same = await api.call("GET", "/api/v1/key", key)
        assert refused.status_code == same.status_code == 401
        assert refused.json() == same.json()
        assert refused.headers["www-authenticate"] == same.headers["www-authenticate"]


async def test_key_is_refused_at_once_when_it_was_disabled_between_calls(
    api: Api, acme: Customer
) -> None:
    text, _ = await api.issue(acme.account_id, KeyKind.VIEWER)
    assert not (await use(api, text, "get_credits"))[1]
    await api.store.change_key(key_hash(text), KeyChange(disabled=True), api.clock())
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert (await post(api, text, ping)).status_code == 401


async def test_credits_are_exact_and_equal_those_of_the_api(api: Api, acme: Customer) -> None:
    await api.spend(acme.account_id, acme.inference, 1_234_567_890_123)
    text, is_error = await use(api, acme.viewer, "get_credits")
    headers = {"X-ModelGates-Metadata": "enabled"}
    same = await api.call("GET", "/api/v1/credits", acme.viewer, headers=headers)
    assert (text, is_error) == (same.text, False)
    assert json.loads(text)["modelgates_metadata"]["balance"] == "98.765432109877"


async def test_models_are_listed_in_pages_with_prices_of_the_caller(
    api: Api, acme: Customer
) -> None:
    text, _ = await use(api, acme.inference, "list_models", '{"offset":1,"limit":2,"q":null}')
    same = await api.call("GET", "/api/v1/models/user?offset=1&limit=2", acme.inference)
    assert json.loads(text) == same.json()
    assert len(json.loads(text)["data"]) == 2
    matches = json.loads((await use(api, acme.inference, "list_models", '{"q":"ECHO"}'))[0])
    assert matches["total_count"] < json.loads(text)["total_count"]
    none = json.loads((await use(api, acme.inference, "list_models", '{"q":"o&q=echo"}'))[0])
    assert none["total_count"] == 0, "an argument cannot add query parameters"
    text, is_error = await use(api, acme.inference, "list_models", '{"limit":0}')
    assert is_error
    assert json.loads(text)["error"]["code"] == 400


async def test_archived_generation_names_its_archive(
    api: Api, acme: Customer, tmp_path: Path
) -> None:
    name, key = acme.account_id, key_hash(acme.inference)
    call = open_generation(name, key, "gen-1", DOLLAR)
    await api.store.execute(place(name, key, "gen-1", DOLLAR), call)
    await api.store.execute(capture(name, key, "gen-1", 3), finished(call, Usage(input=3)))
    assert isinstance(api.store, SqliteStore)
    archive(api.store._path, tmp_path, "2026-11-24", T0_MS + 3 * MS_PER_DAY, lambda _: None)
    text, is_error = await use(api, acme.viewer, "get_generation", '{"id":"gen-1"}')
    assert is_error
    error = json.loads(text)["error"]
    assert (error["code"], "generations-before-2026-11-24" in error["message"]) == (410, True)


async def test_unknown_generation_is_not_found(api: Api, acme: Customer) -> None:
    text, is_error = await use(api, acme.viewer, "get_generation", '{"id":"gen-1 &id=x"}')
    assert is_error
    message = (
        "Generation not found: `gen-1 &id=x`. Check the id, and use a key of the account that "
        "made the call."
    )
    assert json.loads(text)["error"] == {"message": message, "code": 404}
    text, is_error = await use(api, acme.viewer, "get_generation")
    assert (json.loads(text)["error"]["code"], is_error) == (400, True)


async def test_created_key_has_the_exact_limit_of_its_arguments(api: Api, acme: Customer) -> None:
    # A float could not represent this limit exactly.
    arguments = '{"name":"new","limit":1234567.123456789012,"limit_reset":"monthly"}'
    text, is_error = await use(api, acme.management, "create_key", arguments)
    assert not is_error
    created = json.loads(text)
    assert (await api.call("GET", "/api/v1/key", created["key"])).status_code == 200
    key = await api.store.key(created["data"]["hash"])
    assert key is not None
    assert (key.kind, key.limit_pico) == (KeyKind.INFERENCE, 1234567123456789012)
    listed, _ = await use(api, acme.management, "list_keys")
    assert json.loads(listed) == (await api.call("GET", "/api/v1/keys", acme.management)).json()
    assert created["key"] not in listed


@pytest.mark.parametrize(
    "arguments",
    [
        '{"name":"x","limit":5,"idempotency_key":""}',
        '{"name":"x","limit":5,"idempotency_key":5}',
        '{"name":"x","limti":5}',
        '{"name":"x","limit":-1}',
        '{"name":"x","kind":"management"}',
        "{}",
    ],
)
async def test_key_is_not_created_when_its_arguments_are_invalid(
    api: Api, acme: Customer, arguments: str
) -> None:
    before = await api.services.keys.page(acme.account_id, limit=100)
    assert (await use(api, acme.management, "create_key", arguments))[1]
    assert await api.services.keys.page(acme.account_id, limit=100) == before


async def test_key_is_not_created_when_its_limit_is_duplicate(api: Api, acme: Customer) -> None:
    before = await api.services.keys.page(acme.account_id, limit=100)
    params = '{"name":"create_key","arguments":{"name":"x","limit":1,"limit":null}}'
    message = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}'
    answer = await post(api, acme.management, message.encode())
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)
    assert await api.services.keys.page(acme.account_id, limit=100) == before


async def test_repeat_with_idempotency_key_returns_the_same_key(api: Api, acme: Customer) -> None:
    arguments = '{"name":"new","idempotency_key":"once"}'
    first, _ = await use(api, acme.management, "create_key", arguments)
    assert (await use(api, acme.management, "create_key", arguments))[0] == first
    headers = {"Idempotency-Key": "once"}
    body = {"name": "new"}
    same = await api.call("POST", "/api/v1/keys", acme.management, json=body, headers=headers)
    assert same.json()["key"] == json.loads(first)["key"], "the operation returns the same key"
    other, _ = await use(api, acme.management, "create_key", arguments.replace("once", "more"))
    assert json.loads(other)["key"] != json.loads(first)["key"]
    text, is_error = await use(api, acme.management, "create_key", arguments.replace("new", "x"))
    assert (json.loads(text)["error"]["code"], is_error) == (422, True)


async def test_browser_client_may_call_from_any_origin(api: Api, acme: Customer) -> None:
    headers = {"content-type": "application/json", "origin": "http://localhost:6274"}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = await api.call("POST", PATH, acme.viewer, json=ping, headers=headers)
    assert answer.json()["result"] == {}
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_account_does_not_see_data_of_another_account(
    api: Api, acme: Customer, other: Customer
) -> None:
    await api.spend(other.account_id, other.inference, DOLLAR)
    text, _ = await use(api, acme.management, "get_credits")
    assert json.loads(text)["data"]["total_usage"] == 0
    keys, _ = await use(api, acme.management, "list_keys")
    assert key_hash(other.inference) not in keys


async def test_unknown_tool_is_a_protocol_error(api: Api, acme: Customer) -> None:
    error = await ask(api, acme.management, "tools/call", name="delete_key", arguments={})
    assert error["code"] == -32602


async def test_oversized_response_is_an_error_with_a_remedy(
    api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_tools, "ANSWER_MAX_BYTES", 100)
    text, is_error = await use(api, acme.management, "list_models")
    assert (text, is_error) == ("The response is too large. Give a lower `limit`.", True)


async def test_malformed_request_with_valid_key_is_a_protocol_error(
    api: Api, acme: Customer
) -> None:
    answer = await post(api, acme.viewer, b"{")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)


async def test_tool_call_counts_as_one_request(api: Api, acme: Customer) -> None:
    await use(api, acme.management, "get_credits")
    figures = (await api.services.metrics.exposition()).decode()
    counted = [line for line in figures.splitlines() if line.startswith("modelgates_http_requests")]
    assert [line for line in counted if "_total{" in line] == [
        'modelgates_http_requests_total{operation="account-mcp",status="200"} 1.0'
    ]
