"""Calls and requests that the gateway or the provider refuses."""

import json
from typing import Any

from tests.recorded.gateway import DOLLAR
from tests.recorded.script import Script, scenario
from tests.upstream import DONE, Gate, UpstreamReply, answer, chunk, event, plain, story, usage


@scenario
async def refused_requests(script: Script) -> None:
    await script.chat("an unknown model", model="acme/none")
    await script.chat("a model for another operation", model="acme/embed")
    await script.chat("a model without a price in force", model="acme/later")
    await script.chat("a parameter of the wrong type", stream="yes")
    await script.chat("another spelling of a parameter", Max_Tokens=5)
    await script.chat("a feature that has no price", web_search_options={})
    await script.chat("a tier that has no price", service_tier="priority")
    await script.chat("an invalid maximum cost", headers={"x_modelgates_max_cost": "cheap"})
    post, path, key = "POST", "/chat/completions", script.customer.inference
    await script.send("no messages", post, path, key=key, body={"model": "acme/large"})
    await script.send("no body", post, path, key=key)
    await script.send(
        "invalid JSON", post, path, key=key, body=b"{", content_type="application/json"
    )
    await script.send("invalid UTF-8", post, path, key=key, body=b'{"model": "\xff"}')
    await script.send(
        "another media type", post, path, key=key, body=b"a=1", content_type="text/plain"
    )
    await script.send("a body that is too large", post, path, key=key, body=b" " * (64 * 1024 + 1))
    deep = b"[" * 5000
    await script.send(
        "a body that is nested too deeply",
        post,
        path,
        key=key,
        body=b'{"model": "a", "input": ' + deep,
    )
    await script.chat("a negative maximum cost", headers={"x_modelgates_max_cost": "-1"})
    await script.chat("an idempotency key that is too long", headers={"idempotency_key": "a" * 256})


@scenario
async def refused_callers(script: Script) -> None:
    customer = script.customer
    await script.send("no key", "GET", "/credits")
    await script.send("text that is not a key", "GET", "/credits", key="hello")
    await script.send("an unknown key", "GET", "/credits", key=f"sk-mg-v1-{'0' * 49}")
    await script.send("another scheme", "GET", "/credits", authorization="Basic YTpi")
    await script.send(
        "an inference key that reads credits", "GET", "/credits", key=customer.inference
    )
    await script.chat("a viewer key that makes a call", key=customer.viewer)
    await script.chat("a management key that makes a call", key=customer.management)
    await script.send("a viewer key that lists keys", "GET", "/keys", key=customer.viewer)
    stranger = await script.gateway.open_customer()
    script.provider_returns(plain(answer("hi", usage(3, 5))))
    exchange = await script.chat("a call")
    path = f"/generation?id={exchange.json['id']}"
    await script.send("the receipt with a key of another account", "GET", path, key=stranger.viewer)
    await script.send("no id", "GET", "/generation", key=customer.viewer)
    await script.gateway.close_account(stranger)
    await script.chat("the key of a closed account", key=stranger.inference)


@scenario
async def refused_paths(script: Script) -> None:
    key = script.customer.management
    await script.send("an unknown path", "GET", "/none", key=key)
    await script.send("another method", "PUT", "/credits", key=key)
    await script.send("a path with another slash", "GET", "/credits/", key=key)
    await script.send("HEAD", "HEAD", "/credits", key=key)
    preflight: dict[str, str | None] = {
        "origin": "https://app.example",
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization, x-title",
    }
    await script.send("a preflight request", "OPTIONS", "/chat/completions", **preflight)
    await script.send("without a request id", "GET", "/none", x_request_id=None)
    await script.send("an invalid request id", "GET", "/none", x_request_id="a b")
    many: dict[str, str | None] = {f"x_{number}": "1" for number in range(101)}
    await script.send("too many headers", "GET", "/credits", key=key, **many)
    await script.send(
        "a header that is too large", "GET", "/credits", key=key, x_large="a" * 45_000
    )
    await script.send("an invalid header", "GET", "/credits", key=key, x_bad="a\0b")


@scenario
async def refused_for_credits(script: Script) -> None:
    poor = await script.gateway.open_customer(DOLLAR // 2)
    script.provider_returns(plain(answer("hi", usage(3, 5))))
    await script.chat("fewer tokens would be affordable", key=poor.inference, max_tokens=100)
    await script.chat("the same with several choices", key=poor.inference, max_tokens=50, n=4)
    await script.chat("without max_tokens, the cap is what is affordable", key=poor.inference)
    limit: dict[str, str | None] = {"x_modelgates_max_cost": "0.01"}
    await script.chat("above its maximum cost", headers=limit, max_tokens=100)
    gate = Gate(story()[:2], story()[2:])
    script.provider_returns(UpstreamReply(gate))
    stream = await script.begin_chat(
        "a stream that holds all credits", key=poor.inference, stream=True
    )
    await stream.until(b"word1")
    await script.chat("a call while the credits are held", key=poor.inference, max_tokens=30)
    gate.go.set()
    await stream.finish()
    penniless = await script.gateway.open_customer(0)
    await script.chat("an account that never had credits", key=penniless.inference)
    poorest = await script.gateway.open_customer(DOLLAR // 100)
    await script.chat("a prompt that is unaffordable", key=poorest.inference, max_tokens=1)
    body = {"name": "limited", "limit": 0.5, "limit_reset": "daily"}
    created = await script.send(
        "a key with a limit", "POST", "/keys", key=script.customer.management, body=body
    )
    await script.chat("a call above the limit", key=created.json["key"], max_tokens=100)
    script.provider_returns(plain(answer("hi", usage(3, 5))))
    await script.chat("a call within the limit", key=created.json["key"], max_tokens=10)
    await script.send("the key shows its usage", "GET", "/key", key=created.json["key"])


FAILURES: dict[str, UpstreamReply] = {
    "rate limit of the provider": plain(
        {"error": {"message": "slow down", "code": "rate"}}, 429, **{"Retry-After": "7"}
    ),
    "invalid request": plain({"error": {"message": "temperature is too high"}}, 400),
    "wrong key of the gateway": plain({"error": {"message": "bad key sk-123"}}, 401),
    "error of the provider": plain({"error": {"message": "oops"}}, 500),
    "error in HTML": UpstreamReply([b"<h1>no</h1>"], 502, "text/html"),
    "overload": plain({}, 503),
    "time-out of the provider": plain({"error": "too late"}, 504),
    "JSON that is not a completion": plain({"hello": 1}),
    "body that is not JSON": UpstreamReply([b"{"], 200, "application/json"),
    "error with status 200": plain({"error": {"code": 429, "message": "slow"}}),
    "body that is cut off": UpstreamReply([b'{"choices": ['], 200, "application/json", cut=True),
}


@scenario
async def provider_fails(script: Script) -> None:
    for title, reply in FAILURES.items():
        script.provider_returns(reply)
        exchange = await script.chat(title)
    await script.receipt("its receipt: it costs nothing", exchange.header("x-generation-id"))
    await script.chat("a provider that is unreachable", model="gone/large")


@scenario
async def provider_fails_before_a_stream(script: Script) -> None:
    for title in (
        "rate limit of the provider",
        "error of the provider",
        "JSON that is not a completion",
    ):
        script.provider_returns(FAILURES[title])
        await script.chat(title, stream=True)
    await script.chat("a provider that is unreachable", model="gone/large", stream=True)


BROKEN: dict[str, list[bytes]] = {
    "an error within the stream": [
        chunk("word0 "),
        chunk("word1 "),
        event({"error": {"message": "I am out", "code": "server_error"}}),
    ],
    "an error as the first event": [event({"error": {"message": "no", "code": 429}})],
    "an early end": [chunk("word0 "), chunk("word1 ")],
    "an empty stream": [],
    "[DONE] without a chunk": [DONE],
    "an invalid chunk": [chunk("word0 "), b"data: {\n\n", DONE],
}


@scenario
async def stream_breaks(script: Script) -> None:
    for title, pieces in BROKEN.items():
        script.provider_returns(UpstreamReply(pieces))
        exchange = await script.chat(title, stream=True)
        await script.receipt("its receipt", exchange.header("x-generation-id"))
    script.provider_returns(UpstreamReply(story()[:3], cut=True))
    exchange = await script.chat("a connection that breaks off", stream=True)
    await script.receipt("its receipt", exchange.header("x-generation-id"))


@scenario
async def without_the_database(script: Script) -> None:
    script.provider_returns(plain(answer("hi", usage(3, 5))))
    path = script.gateway.database_path
    elsewhere = path.with_name("elsewhere.db")
    path.rename(elsewhere)
    await script.chat("a call")
    await script.send("readiness", "GET", "//readyz")
    elsewhere.rename(path)
    await script.chat("a call when the database is back")


@scenario
async def keys_refused(script: Script) -> None:
    key, viewer = script.customer.management, script.customer.viewer
    bodies: dict[str, Any] = {
        "no name": {},
        "an empty name": {"name": ""},
        "a negative limit": {"name": "a", "limit": -1},
        "a limit of a hundred digits": b'{"name": "a", "limit": %b}' % (b"1" * 100),
        "an unknown reset": {"name": "a", "limit": 1, "limit_reset": "hourly"},
        "an expiry in the past": {"name": "a", "expires_at": "2020-01-01T00:00:00Z"},
        "an expiry that is not a time": {"name": "a", "expires_at": "soon"},
        "a kind that cannot be created here": {"name": "a", "kind": "management"},
        "a list": [],
        "another workspace": {"name": "a", "workspace_id": "other"},
    }
    for title, body in bodies.items():
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        await script.send(title, "POST", "/keys", key=key, body=data)
    for method in ("GET", "PATCH", "DELETE"):
        body = {"name": "b"} if method == "PATCH" else None
        await script.send("an unknown key", method, f"/keys/{'0' * 64}", key=key, body=body)
    await script.send("no key hash", "DELETE", "/keys", key=key)
    await script.send("an invalid page", "GET", "/keys?offset=-1", key=key)
    await script.send("an invalid flag", "GET", "/keys?include_disabled=1", key=key)
    await script.send("the keys with a viewer key", "GET", "/keys", key=viewer)
