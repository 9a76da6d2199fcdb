"""Keys, models, the operations of the server, and MCP."""

from typing import Any

from tests.recorded.gateway import METRICS_TOKEN
from tests.recorded.script import Script, scenario
from tests.upstream import answer, plain, usage


@scenario
async def keys(script: Script) -> None:
    key = script.customer.management
    await script.send("the existing keys", "GET", "/keys", key=key)
    body: dict[str, Any] = {
        "name": "recorded \u00e9",
        "limit": 12.5,
        "limit_reset": "monthly",
        "expires_at": "2027-01-01T00:00:00Z",
        "include_byok_in_limit": True,
    }
    created = await script.send("a new key", "POST", "/keys", key=key, body=body)
    path = f"/keys/{created.json['data']['hash']}"
    once = {"idempotency_key": "key-once"}
    viewer = {"name": "viewer", "kind": "viewer"}
    await script.send(
        "a key with an idempotency key", "POST", "/keys", key=key, body=viewer, **once
    )
    await script.send("its repeat", "POST", "/keys", key=key, body=viewer, **once)
    await script.send(
        "another key under the same idempotency key",
        "POST",
        "/keys",
        key=key,
        body={"name": "b"},
        **once,
    )
    await script.send("one key", "GET", path, key=key)
    await script.send("the new key reads itself", "GET", "/key", key=created.json["key"])
    await script.send("the same at another path", "GET", "/auth/key", key=created.json["key"])
    changed = {"name": "changed", "limit": None, "limit_reset": None, "disabled": True}
    await script.send("changed", "PATCH", path, key=key, body=changed)
    await script.send("the disabled key", "GET", "/key", key=created.json["key"])
    await script.send("the enabled keys", "GET", "/keys", key=key)
    await script.send(
        "all keys from the second on", "GET", "/keys?include_disabled=true&offset=1", key=key
    )
    await script.send(
        "the expiry cannot be changed", "PATCH", path, key=key, body={"expires_at": None}
    )
    await script.send("deleted", "DELETE", path, key=key)
    await script.send("deleted again", "DELETE", path, key=key)
    await script.send("the deleted key", "GET", "/key", key=created.json["key"])
    short = {"name": "short", "expires_at": "2026-11-24T00:00:00Z"}
    created = await script.send("a key for one day", "POST", "/keys", key=key, body=short)
    script.gateway.clock.forward(24 * 3_600_000)
    await script.send("a day later", "GET", "/key", key=created.json["key"])
    by_id = f"/keys?id={created.json['data']['hash']}"
    await script.send("deleted by its id", "DELETE", by_id, key=key)


@scenario
async def models(script: Script) -> None:
    await script.send("all models", "GET", "/models")
    await script.send("a page", "GET", "/models?offset=1&limit=1&sort=context-high-to-low&q=a")
    await script.send("embeddings", "GET", "/models?output_modalities=embeddings")
    await script.send("an unknown sort order", "GET", "/models?sort=best")
    await script.send("an invalid page", "GET", "/models?limit=0")
    await script.send("the number of models", "GET", "/models/count")
    await script.send(
        "the models of a key", "GET", "/models/user?q=large", key=script.customer.inference
    )
    await script.send("the same without a key", "GET", "/models/user")
    await script.send("the models for embeddings", "GET", "/embeddings/models")
    await script.send("one model", "GET", "/models/acme/large")
    await script.send("the same at another path", "GET", "/model/acme/large")
    await script.send("an unknown model", "GET", "/models/acme/none")
    await script.send("endpoints of a model", "GET", "/models/acme/large/endpoints")
    await script.send("endpoints of an unknown model", "GET", "/models/acme/none/endpoints")
    await script.send("providers", "GET", "/providers")


@scenario
async def server(script: Script) -> None:
    await script.send("liveness", "GET", "//healthz")
    await script.send("readiness", "GET", "//readyz")
    await script.send("metrics without the token", "GET", "//metrics")
    script.provider_returns(plain(answer("hi", usage(3, 5))))
    await script.chat("a call")
    await script.send("metrics", "GET", "//metrics", key=METRICS_TOKEN)


@scenario
async def mcp(script: Script) -> None:
    key = script.customer.viewer
    messages: list[tuple[str, Any]] = [
        ("a call of an unknown tool", {"method": "tools/call", "params": {"name": "none"}}),
        ("the tools", {"method": "tools/list"}),
        ("credits", {"method": "tools/call", "params": {"name": "get-credits", "arguments": {}}}),
    ]
    headers: dict[str, str | None] = {
        "accept": "application/json, text/event-stream",
        "mcp_protocol_version": "2025-06-18",
    }
    for title, message in messages:
        body = {"jsonrpc": "2.0", "id": 1, **message}
        await script.send(title, "POST", "/mcp", key=key, body=body, **headers)
    await script.send("no key", "POST", "/mcp", body={"jsonrpc": "2.0", "id": 1}, **headers)
    await script.send("an invalid message", "POST", "/mcp", key=key, body=b"{", **headers)
