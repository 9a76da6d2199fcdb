"""Every route, called with every kind of key."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from modelgates_server.core.keys import KeyChange, KeyKind, key_hash
from tests.gateway import METRICS_TOKEN
from tests.server import Customer, new_customer
from tests.support import DOLLAR, HOUR_MS
from tests.web.document import operations_of, our_document
from tests.web.harness import UNDESCRIBED, Api

# Method and path of the routes that the OpenAPI document does not describe.
UNDESCRIBED_PLACES = {
    "account-mcp": ("POST", "/api/v1/mcp"),
    "create-coinbase-charge": ("POST", "/api/v1/credits/coinbase"),
    "docs-mcp": ("POST", "/docs/_mcp/server"),
    "get-api-catalog": ("GET", "/.well-known/api-catalog"),
    "get-docs": ("GET", "/docs"),
    "get-docs-markdown": ("GET", "/docs.md"),
    "get-docs-mdx": ("GET", "/docs.mdx"),
    "get-docs-page": ("GET", "/docs/{path}"),
    "get-llms": ("GET", "/llms.txt"),
    "get-llms-full": ("GET", "/llms-full.txt"),
    "get-robots": ("GET", "/robots.txt"),
    "get-root": ("GET", ""),
    "search-docs": ("GET", "/docs/search"),
    "suggest-docs": ("GET", "/docs/_search"),
}
ALL_KINDS = {kind.value for kind in KeyKind}
# The expected kinds come from the document, which people review, not from the routes.
ADMITTED: dict[str, set[str]] = {
    operation["operationId"]: set(operation["x-key-kinds"])
    for *_, operation in operations_of(our_document())
} | {name: ALL_KINDS if name == "account-mcp" else set() for name in UNDESCRIBED_PLACES}
DIALECTS = dict.fromkeys(ADMITTED, "openai-chat") | {
    "create-message": "anthropic",
    "count-message-tokens": "anthropic",
    "create-response": "openai-responses",
}
PROTECTED = sorted(name for name, kinds in ADMITTED.items() if kinds)
PUBLIC = sorted(name for name, kinds in ADMITTED.items() if not kinds)
NAMED_KEY = ["delete-key", "delete-key-by-id", "get-key", "update-key"]
SUCCESS = {
    "create-key": 201,
    "create-coinbase-charge": 410,
    **dict.fromkeys(("get-metrics", "get-generation", "get-root"), 404),
}
PREFIXES = ("/api/v1", "/v1")
WRONG_KIND = "Only management keys can perform this operation"
WRONG_FOR_CALLS = "{} keys cannot call models. Create an inference key."
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
BODIES: dict[str, dict[str, Any]] = {
    "create-key": {"name": "new"},
    "update-key": {"name": "changed"},
    "create-chat-completion": {
        "model": "sandbox/echo",
        "messages": [{"role": "user", "content": "hello"}],
    },
    "create-message": {
        "model": "sandbox/echo",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hello"}],
    },
    "count-message-tokens": {
        "model": "sandbox/echo",
        "messages": [{"role": "user", "content": "hello"}],
    },
    "create-response": {"model": "sandbox/echo", "input": "hello"},
    "create-completion": {"model": "sandbox/echo", "prompt": "hello"},
    "create-embeddings": {"model": "sandbox/embed", "input": "hello"},
    "account-mcp": PING,
    "docs-mcp": PING,
}
DIALECTS = dict.fromkeys(ADMITTED, "openai-chat") | {
    "create-message": "anthropic",
    "count-message-tokens": "anthropic",
    "create-response": "openai-responses",
}
PLACES = {
    name: (method, path)
    for method, path, o in operations_of(our_document())
    for name in [o["operationId"]]
} | UNDESCRIBED_PLACES


async def ask(
    api: Api, operation_id: str, key: str | None, named: str = "0" * 64, prefix: str = "/api/v1"
) -> httpx.Response:
    """Send a valid request; `named` is the hash of the key in its path or query."""
    method, path = PLACES[operation_id]
    if path.startswith("/api/v1"):
        path = prefix + path.removeprefix("/api/v1")
    request: dict[str, Any] = {}
    if operation_id in BODIES:
        request["json"] = BODIES[operation_id]
    if operation_id in {"delete-key-by-id", "get-generation"}:
        request["params"] = {"id": named}
    path = path.replace("{hash}", named).replace("{author}/{slug}", "sandbox/echo")
    path = path.replace("{path}", "llms.txt")
    return await api.call(method, path, key, **request)


async def test_routes_agree_with_the_document_on_paths_and_kinds(api: Api) -> None:
    assert {o.id: {kind.value for kind in o.kinds} for o in api.table} == ADMITTED
    assert set(UNDESCRIBED_PLACES) == UNDESCRIBED
    # `:path`, Starlette's mark of a parameter that may contain slashes, is not in the document.
    assert {o.id: (o.method, o.path.replace(":path", "")) for o in api.table} == PLACES
    assert len(api.table) == len(PLACES), "an operation id is duplicate"


def test_document_requires_a_key_exactly_where_routes_do() -> None:
    for *_, operation in operations_of(our_document()):
        requires_key = operation.get("security", [{"apiKey": []}]) == [{"apiKey": []}]
        assert requires_key == bool(operation["x-key-kinds"]), operation["operationId"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("kind", list(KeyKind))
async def test_key_kind_is_admitted_only_where_documented(
    kind: KeyKind, prefix: str, api: Api, acme: Customer, subtests: pytest.Subtests
) -> None:
    for operation_id in PROTECTED:
        with subtests.test(operation_id):
            _, named = await api.issue(acme.account_id)
            answer = await ask(api, operation_id, getattr(acme, kind), named, prefix)
            if kind in ADMITTED[operation_id]:
                assert answer.status_code == SUCCESS.get(operation_id, 200)
            else:
                assert answer.status_code == 403
                calls = ADMITTED[operation_id] == {"inference"}
                message = WRONG_FOR_CALLS.format(kind.capitalize()) if calls else WRONG_KIND
                told = answer.json()
                assert told["error"]["message"] == message
                if DIALECTS[operation_id] == "openai-chat":
                    error = {"message": message, "code": 403}
                    assert told == {"error": error, "user_id": acme.account_id}
                else:
                    assert told["error"]["type"] == "permission_error"
                key = await api.services.keys.get(named)
                assert key.updated_at_ms is None, "a refused request changed the key"


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_public_route_responds_alike_with_and_without_keys(
    prefix: str, api: Api, acme: Customer, subtests: pytest.Subtests
) -> None:
    for operation_id in PUBLIC:
        with subtests.test(operation_id):
            plain = await ask(api, operation_id, None, prefix=prefix)
            assert plain.status_code == SUCCESS.get(operation_id, 200)
            for key in (acme.management, acme.inference, acme.viewer, "nonsense"):
                answer = await ask(api, operation_id, key, prefix=prefix)
                assert (answer.status_code, answer.content) == (plain.status_code, plain.content)


async def missing(_: Api, __: Customer) -> str | None:
    return None


async def malformed(_: Api, acme: Customer) -> str | None:
    return acme.management[:-1]


async def never_issued(_: Api, __: Customer) -> str | None:
    return "sk-mg-v1-" + "0" * 49


async def deleted(api: Api, acme: Customer) -> str | None:
    await change(api, acme.management, KeyChange(deleted=True))
    return acme.management


async def disabled(api: Api, acme: Customer) -> str | None:
    await change(api, acme.management, KeyChange(disabled=True))
    return acme.management


async def expired(api: Api, acme: Customer) -> str | None:
    key, _ = await api.issue(acme.account_id, KeyKind.MANAGEMENT, expires_at="2026-11-23T14:00:00Z")
    api.clock.forward(HOUR_MS)
    return key


async def closed_account(api: Api, acme: Customer) -> str | None:
    await api.services.credits.adjust(acme.account_id, -100 * DOLLAR, "closing")
    await api.services.accounts.close(acme.account_id)
    return acme.management


async def replaced(api: Api, acme: Customer) -> str:
    key = await api.services.keys.get(key_hash(acme.management))
    await api.services.keys.rotate(key, 0)
    return acme.management


async def change(api: Api, key: str, key_change: KeyChange) -> None:
    await api.store.change_key(key_hash(key), key_change, api.clock())


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (missing, "Missing Authentication header"),
        (malformed, "Missing Authentication header"),
        (never_issued, "User not found."),
        (deleted, "User not found."),
        (disabled, "API key is disabled."),
        (expired, "API key has expired."),
        (replaced, "API key was replaced by a new one."),
        (closed_account, "API key is disabled."),
    ],
)
async def test_unusable_key_is_refused_by_every_protected_route(
    make: Callable[[Api, Customer], Awaitable[str | None]],
    message: str,
    prefix: str,
    api: Api,
    acme: Customer,
    subtests: pytest.Subtests,
) -> None:
    key = await make(api, acme)
    before = await api.store.key(key_hash(acme.inference))
    for operation_id in PROTECTED:
        with subtests.test(operation_id):
            answer = await ask(api, operation_id, key, key_hash(acme.inference), prefix)
            assert answer.status_code == 401
            error = answer.json()["error"]
            assert (answer.status_code, error["message"]) == (401, message)
            if DIALECTS[operation_id] == "openai-chat":
                assert error["code"] == 401
            else:
                assert error["type"] == "authentication_error"
            assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert before == await api.store.key(key_hash(acme.inference))


@pytest.mark.parametrize("operation_id", NAMED_KEY)
async def test_key_of_another_account_is_not_found_or_changed(
    operation_id: str, api: Api, acme: Customer
) -> None:
    other = await new_customer(api.services)
    named = key_hash(other.inference)
    before = await api.store.key(named)
    answer = await ask(api, operation_id, acme.management, named)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "API key not found"
    assert before == await api.store.key(named)
    assert (await ask(api, operation_id, other.management, named)).status_code == 200


@pytest.mark.parametrize("operation_id", NAMED_KEY)
async def test_management_key_cannot_be_changed_through_the_api(
    operation_id: str, api: Api, acme: Customer
) -> None:
    named = key_hash(acme.management)
    before = await api.store.key(named)
    assert (await ask(api, operation_id, acme.management, named)).status_code == 404
    assert before == await api.store.key(named)


async def test_keys_of_another_account_are_not_listed(
    api: Api, acme: Customer, other: Customer
) -> None:
    listed = (await ask(api, "list-keys", acme.management)).json()["data"]
    assert {row["hash"] for row in listed} == {key_hash(acme.inference), key_hash(acme.viewer)}
    assert {row["creator_user_id"] for row in listed} == {acme.account_id}
    assert other.account_id not in str(listed)


async def test_metrics_are_not_found_without_the_token(api: Api) -> None:
    assert (await ask(api, "get-metrics", METRICS_TOKEN + "x")).status_code == 404
    assert (await ask(api, "get-metrics", METRICS_TOKEN)).status_code == 200
