"""Keys, models, the operations of the server, and MCP."""

from typing import Any

from tests.recorded.gateway import METRICS_TOKEN
from tests.recorded.script import Script, scenario
from tests.upstream import answer, plain, usage


@scenario
async def keys(script: Script) -> None:
    key = script.customer.management
    await script.send("the keys there are", "GET", "/keys", key=key)
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
    await script.send("one that may be repeated", "POST", "/keys", key=key, body=viewer, **once)
    await script.send("its repeat", "POST", "/keys", key=key, body=viewer, **once)
    await script.send("another under its key", "POST", "/keys", key=key, body={"name": "b"}, **once)
    await script.send("one key", "GET", path, key=key)
    await script.send("it calls itself", "GET", "/key", key=created.json["key"])
    await script.send("by another path", "GET", "/auth/key", key=created.json["key"])
    changed = {"name": "changed", "limit": None, "limit_reset": None, "disabled": True}
    await script.send("changed", "PATCH", path, key=key, body=changed)
    await script.send("it is off", "GET", "/key", key=created.json["key"])
    await script.send("those that are on", "GET", "/keys", key=key)
    await script.send("all of them", "GET", "/keys?include_disabled=true&offset=1", key=key)
    await script.send("an end cannot be changed", "PATCH", path, key=key, body={"expires_at": None})
    await script.send("deleted", "DELETE", path, key=key)
    await script.send("deleted again", "DELETE", path, key=key)
    await script.send("it is gone", "GET", "/key", key=created.json["key"])
    short = {"name": "short", "expires_at": "2026-11-24T00:00:00Z"}
    created = await script.send("one for a day", "POST", "/keys", key=key, body=short)
    script.gateway.clock.forward(24 * 3_600_000)
    await script.send("a day later", "GET", "/key", key=created.json["key"])
    by_id = f"/keys?id={created.json['data']['hash']}"
    await script.send("deleted by its id", "DELETE", by_id, key=key)


@scenario
async def models(script: Script) -> None:
    await script.send("all models", "GET", "/models")
    await script.send("a page", "GET", "/models?offset=1&limit=1&sort=context-high-to-low&q=a")
    await script.send("embeddings", "GET", "/models?output_modalities=embeddings")
    await script.send("an order that there is not", "GET", "/models?sort=best")
    await script.send("a bad page", "GET", "/models?limit=0")
    await script.send("how many", "GET", "/models/count")
    await script.send("for a caller", "GET", "/models/user?q=large", key=script.customer.inference)
    await script.send("for nobody", "GET", "/models/user")
    await script.send("endpoints of one", "GET", "/models/acme/large/endpoints")
    await script.send("of none", "GET", "/models/acme/none/endpoints")
    await script.send("providers", "GET", "/providers")


@scenario
async def server(script: Script) -> None:
    await script.send("alive", "GET", "//healthz")
    await script.send("ready", "GET", "//readyz")
    await script.send("figures without the token", "GET", "//metrics")
    script.provider_returns(plain(answer("hi", usage(3, 5))))
    await script.chat("a call")
    await script.send("figures", "GET", "//metrics", key=METRICS_TOKEN)


@scenario
async def mcp(script: Script) -> None:
    key = script.customer.viewer
    messages: list[tuple[str, Any]] = [
        ("a call without a key's permission", {"method": "tools/call", "params": {"name": "none"}}),
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
    await script.send("no message", "POST", "/mcp", key=key, body=b"{", **headers)
