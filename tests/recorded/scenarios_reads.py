"""Keys, models, the server's own operations, and MCP."""

from typing import Any

from tests.recorded.gateway import METRICS_TOKEN
from tests.recorded.script import Script, scenario
from tests.upstream import answer, plain, usage


@scenario
async def keys(script: Script) -> None:
    key = script.customer.management
    await script.ask("the keys there are", "GET", "/keys", key=key)
    body: dict[str, Any] = {
        "name": "recorded \u00e9",
        "limit": 12.5,
        "limit_reset": "monthly",
        "expires_at": "2027-01-01T00:00:00Z",
        "include_byok_in_limit": True,
    }
    made = await script.ask("a new key", "POST", "/keys", key=key, body=body)
    path = f"/keys/{made.json['data']['hash']}"
    once = {"idempotency_key": "key-once"}
    viewer = {"name": "viewer", "kind": "viewer"}
    await script.ask("one that may be repeated", "POST", "/keys", key=key, body=viewer, **once)
    await script.ask("its repeat", "POST", "/keys", key=key, body=viewer, **once)
    await script.ask("another under its key", "POST", "/keys", key=key, body={"name": "b"}, **once)
    await script.ask("one key", "GET", path, key=key)
    await script.ask("it calls itself", "GET", "/key", key=made.json["key"])
    await script.ask("by another path", "GET", "/auth/key", key=made.json["key"])
    changed = {"name": "changed", "limit": None, "limit_reset": None, "disabled": True}
    await script.ask("changed", "PATCH", path, key=key, body=changed)
    await script.ask("it is off", "GET", "/key", key=made.json["key"])
    await script.ask("those that are on", "GET", "/keys", key=key)
    await script.ask("all of them", "GET", "/keys?include_disabled=true&offset=1", key=key)
    await script.ask("an end cannot be changed", "PATCH", path, key=key, body={"expires_at": None})
    await script.ask("deleted", "DELETE", path, key=key)
    await script.ask("deleted again", "DELETE", path, key=key)
    await script.ask("it is gone", "GET", "/key", key=made.json["key"])
    short = {"name": "short", "expires_at": "2026-11-24T00:00:00Z"}
    made = await script.ask("one for a day", "POST", "/keys", key=key, body=short)
    script.gateway.clock.forward(24 * 3_600_000)
    await script.ask("a day later", "GET", "/key", key=made.json["key"])
    by_id = f"/keys?id={made.json['data']['hash']}"
    await script.ask("deleted by its id", "DELETE", by_id, key=key)


@scenario
async def models(script: Script) -> None:
    await script.ask("all models", "GET", "/models")
    await script.ask("a page", "GET", "/models?offset=1&limit=1&sort=context-high-to-low&q=a")
    await script.ask("embeddings", "GET", "/models?output_modalities=embeddings")
    await script.ask("an order that there is not", "GET", "/models?sort=best")
    await script.ask("a bad page", "GET", "/models?limit=0")
    await script.ask("how many", "GET", "/models/count")
    await script.ask("for a caller", "GET", "/models/user?q=large", key=script.customer.inference)
    await script.ask("for nobody", "GET", "/models/user")
    await script.ask("endpoints of one", "GET", "/models/acme/large/endpoints")
    await script.ask("of none", "GET", "/models/acme/none/endpoints")
    await script.ask("providers", "GET", "/providers")


@scenario
async def server(script: Script) -> None:
    await script.ask("alive", "GET", "//healthz")
    await script.ask("ready", "GET", "//readyz")
    await script.ask("figures without the token", "GET", "//metrics")
    script.provider_says(plain(answer("hi", usage(3, 5))))
    await script.chat("a call")
    await script.ask("figures", "GET", "//metrics", key=METRICS_TOKEN)


@scenario
async def mcp(script: Script) -> None:
    key = script.customer.viewer
    asked: list[tuple[str, Any]] = [
        ("a call without a key's permission", {"method": "tools/call", "params": {"name": "none"}}),
        ("the tools", {"method": "tools/list"}),
        ("credits", {"method": "tools/call", "params": {"name": "get-credits", "arguments": {}}}),
    ]
    told: dict[str, str | None] = {
        "accept": "application/json, text/event-stream",
        "mcp_protocol_version": "2025-06-18",
    }
    for title, message in asked:
        body = {"jsonrpc": "2.0", "id": 1, **message}
        await script.ask(title, "POST", "/mcp", key=key, body=body, **told)
    await script.ask("no key", "POST", "/mcp", body={"jsonrpc": "2.0", "id": 1}, **told)
    await script.ask("no message", "POST", "/mcp", key=key, body=b"{", **told)
