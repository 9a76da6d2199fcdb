"""The account for assistants: each tool does what its operation does, for the same keys."""

import json
from typing import Any

import httpx
import pytest

from modelgates_server.core.keys import KeyChange, KeyKind, key_hash
from modelgates_server.web.mcp import account_tools
from tests.server import Customer
from tests.support import DOLLAR, HOUR_MS
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
    """What a tool answers to arguments in JSON, and whether that is an error."""
    params = f'{{"name":"{tool}","arguments":{arguments}}}'
    message = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}'
    result = (await post(api, key, message.encode())).json()["result"]
    (content,) = result["content"]
    return content["text"], result.get("isError", False)


def key_of(customer: Customer, kind: KeyKind) -> str:
    text: str = getattr(customer, kind)
    return text


@pytest.mark.parametrize("kind", KeyKind)
async def test_a_key_is_shown_the_tools_it_may_call(
    api: Api, acme: Customer, kind: KeyKind
) -> None:
    listed = await ask(api, key_of(acme, kind), "tools/list")
    assert {tool["name"] for tool in listed["tools"]} == TOOLS[kind]


@pytest.mark.parametrize("kind", KeyKind)
async def test_a_key_of_another_kind_is_refused_as_by_the_operation(
    api: Api, acme: Customer, kind: KeyKind
) -> None:
    for tool in TOOLS[KeyKind.MANAGEMENT] - TOOLS[kind]:
        text, is_error = await use(api, key_of(acme, kind), tool)
        assert is_error
        assert json.loads(text)["error"] == {"message": WRONG_KIND, "code": 403}


async def test_without_a_good_key_it_is_the_401_of_the_api(api: Api, acme: Customer) -> None:
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


async def test_a_key_disabled_between_two_calls_is_refused_at_once(
    api: Api, acme: Customer
) -> None:
    text, _ = await api.issue(acme.account_id, KeyKind.VIEWER)
    assert not (await use(api, text, "get_credits"))[1]
    await api.store.change_key(key_hash(text), KeyChange(disabled=True), api.clock())
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert (await post(api, text, ping)).status_code == 401


async def test_credits_are_those_of_the_api_and_exact(api: Api, acme: Customer) -> None:
    await api.spend(acme.account_id, acme.inference, 1_234_567_890_123)
    text, is_error = await use(api, acme.viewer, "get_credits")
    headers = {"X-ModelGates-Metadata": "enabled"}
    same = await api.call("GET", "/api/v1/credits", acme.viewer, headers=headers)
    assert (text, is_error) == (same.text, False)
    assert json.loads(text)["modelgates_metadata"]["balance"] == "98.765432109877"


async def test_models_come_a_few_at_a_time_with_the_prices_of_the_caller(
    api: Api, acme: Customer
) -> None:
    text, _ = await use(api, acme.inference, "list_models", '{"offset":1,"limit":2,"q":null}')
    same = await api.call("GET", "/api/v1/models/user?offset=1&limit=2", acme.inference)
    assert json.loads(text) == same.json()
    assert len(json.loads(text)["data"]) == 2
    found = json.loads((await use(api, acme.inference, "list_models", '{"q":"ECHO"}'))[0])
    assert found["total_count"] < json.loads(text)["total_count"]
    none = json.loads((await use(api, acme.inference, "list_models", '{"q":"o&q=echo"}'))[0])
    assert none["total_count"] == 0, "an argument stays one"
    text, is_error = await use(api, acme.inference, "list_models", '{"limit":0}')
    assert is_error
    assert json.loads(text)["error"]["code"] == 400


async def test_a_generation_of_somebody_else_is_not_found(api: Api, acme: Customer) -> None:
    text, is_error = await use(api, acme.viewer, "get_generation", '{"id":"gen-1 &id=x"}')
    assert is_error
    assert json.loads(text)["error"] == {"message": "Generation not found", "code": 404}
    text, is_error = await use(api, acme.viewer, "get_generation")
    assert (json.loads(text)["error"]["code"], is_error) == (400, True)


async def test_a_created_key_works_with_the_limit_that_was_written(
    api: Api, acme: Customer
) -> None:
    # As a float this would be another number.
    wanted = '{"name":"new","limit":1234567.123456789012,"limit_reset":"monthly"}'
    text, is_error = await use(api, acme.management, "create_key", wanted)
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
async def test_a_key_that_was_asked_for_wrongly_is_not_made(
    api: Api, acme: Customer, arguments: str
) -> None:
    before = await api.services.keys.page(acme.account_id, limit=100)
    assert (await use(api, acme.management, "create_key", arguments))[1]
    assert await api.services.keys.page(acme.account_id, limit=100) == before


async def test_a_limit_written_twice_makes_no_key(api: Api, acme: Customer) -> None:
    before = await api.services.keys.page(acme.account_id, limit=100)
    params = '{"name":"create_key","arguments":{"name":"x","limit":1,"limit":null}}'
    message = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}'
    answer = await post(api, acme.management, message.encode())
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)
    assert await api.services.keys.page(acme.account_id, limit=100) == before


async def test_a_key_that_is_asked_for_again_is_the_same_key(api: Api, acme: Customer) -> None:
    wanted = '{"name":"new","idempotency_key":"once"}'
    first, _ = await use(api, acme.management, "create_key", wanted)
    assert (await use(api, acme.management, "create_key", wanted))[0] == first
    headers = {"Idempotency-Key": "once"}
    body = {"name": "new"}
    same = await api.call("POST", "/api/v1/keys", acme.management, json=body, headers=headers)
    assert same.json()["key"] == json.loads(first)["key"], "as by the operation"
    other, _ = await use(api, acme.management, "create_key", wanted.replace("once", "more"))
    assert json.loads(other)["key"] != json.loads(first)["key"]
    text, is_error = await use(api, acme.management, "create_key", wanted.replace("new", "x"))
    assert (json.loads(text)["error"]["code"], is_error) == (422, True)


async def test_a_client_in_a_browser_may_come_from_anywhere(api: Api, acme: Customer) -> None:
    headers = {"content-type": "application/json", "origin": "http://localhost:6274"}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = await api.call("POST", PATH, acme.viewer, json=ping, headers=headers)
    assert answer.json()["result"] == {}
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_accounts_do_not_see_each_other(api: Api, acme: Customer, other: Customer) -> None:
    await api.spend(other.account_id, other.inference, DOLLAR)
    text, _ = await use(api, acme.management, "get_credits")
    assert json.loads(text)["data"]["total_usage"] == 0
    keys, _ = await use(api, acme.management, "list_keys")
    assert key_hash(other.inference) not in keys


async def test_an_unknown_tool_is_a_protocol_error(api: Api, acme: Customer) -> None:
    error = await ask(api, acme.management, "tools/call", name="delete_key", arguments={})
    assert error["code"] == -32602


async def test_an_answer_that_is_too_large_says_what_to_do(
    api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_tools, "ANSWER_MAX_BYTES", 100)
    text, is_error = await use(api, acme.management, "list_models")
    assert (text, is_error) == ("The answer is too large; ask for less with limit", True)


async def test_a_malformed_request_of_a_good_key_is_a_protocol_error(
    api: Api, acme: Customer
) -> None:
    answer = await post(api, acme.viewer, b"{")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)


async def test_call_of_a_tool_counts_as_one_request(api: Api, acme: Customer) -> None:
    await use(api, acme.management, "get_credits")
    figures = (await api.services.metrics.exposition()).decode()
    counted = [line for line in figures.splitlines() if line.startswith("modelgates_http_requests")]
    assert [line for line in counted if "_total{" in line] == [
        'modelgates_http_requests_total{operation="account-mcp",status="200"} 1.0'
    ]
