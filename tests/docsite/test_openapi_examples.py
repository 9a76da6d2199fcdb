"""The error examples that a request can provoke are the responses of the server."""

import json
from typing import Any

import pytest

from modelgates_server.core.keys import KeyChange, KeyKind, key_hash, key_text
from tests.server import Customer
from tests.support import HOUR_MS
from tests.web.document import our_document, referenced
from tests.web.harness import Api

DOCUMENT = our_document()
ACCOUNT_ID = "user_7VofcMnIFxmsr8vrnEnVHP"
ECHO = "sandbox/echo"
CHAT = {"model": ECHO, "messages": [{"role": "user", "content": "Hello"}]}
SEARCH = [{"type": "web_search"}]
PAST = "2020-01-01T00:00:00Z"
AS_JSON, AS_FORM = (
    {"Content-Type": f"application/{kind}"} for kind in ("json", "x-www-form-urlencoded")
)


async def key_of(kind: str, api: Api, acme: Customer, other: Customer) -> str:
    if kind == "unknown":
        return key_text(bytes(32))
    if kind == "malformed":
        return acme.management[:-2]
    if kind == "other":
        return other.management
    if kind == "disabled":
        text, hash_ = await api.issue(acme.account_id, KeyKind.MANAGEMENT)
        await api.store.change_key(hash_, KeyChange(disabled=True), api.clock())
        return text
    if kind == "expired":
        until = "2026-11-23T14:00:00Z"
        text, _ = await api.issue(acme.account_id, KeyKind.MANAGEMENT, expires_at=until)
        api.clock.forward(HOUR_MS)
        return text
    return str(getattr(acme, kind))


@pytest.mark.parametrize(
    ("place", "kind", "request_"),
    [
        ("GET /credits 401 missing", None, {}),
        ("GET /credits 401 malformed", "malformed", {}),
        ("GET /credits 401 unknown", "unknown", {}),
        ("GET /credits 401 disabled", "disabled", {}),
        ("GET /credits 401 expired", "expired", {}),
        ("GET /credits 403 wrong_kind", "inference", {}),
        ("GET /keys 400 offset", "management", {"params": {"offset": "x"}}),
        ("GET /keys 400 include_disabled", "management", {"params": {"include_disabled": "x"}}),
        ("GET /keys 400 unknown", "management", {"params": {"offst": "1"}}),
        ("GET /keys 400 twice", "management", {"params": {"offset": ["1", "2"]}}),
        ("GET /keys/{hash} 400 unknown", "management", {"params": {"id": "x"}}),
        ("POST /keys 400 no_body", "management", {}),
        ("POST /keys 400 unknown", "management", {"json": {"name": "x", "max_budget": 5}}),
        ("POST /keys 400 twice", "management", {"content": b'{"limit":1,"limit":2}'}),
        ("POST /keys 400 disabled", "management", {"json": {"name": "x", "disabled": True}}),
        ("POST /keys 400 misfit", "management", {"json": {"name": 5}}),
        ("POST /keys 400 places", "management", {"json": {"name": "x", "limit": 1e-13}}),
        ("POST /keys 400 reset", "management", {"json": {"name": "x", "limit_reset": "daily"}}),
        ("POST /keys 400 past", "management", {"json": {"name": "x", "expires_at": PAST}}),
        ("POST /keys 413 large", "management", {"content": b" " * 70_000, "headers": AS_JSON}),
        ("POST /keys 415 media_type", "management", {"content": b"name=x", "headers": AS_FORM}),
        ("DELETE /keys 400 unnamed", "management", {}),
        ("PATCH /keys/{hash} 400 unknown", "management", {"json": {"disable": True}}),
        ("PATCH /keys/{hash} 400 kind", "management", {"json": {"kind": "viewer"}}),
        ("PATCH /keys/{hash} 400 expires_at", "management", {"json": {"expires_at": PAST}}),
        ("GET /keys/{hash} 404 key", "other", {}),
        ("GET /models 400 limit", None, {"params": {"limit": "0"}}),
        ("GET /models 400 sort", None, {"params": {"sort": "x"}}),
        ("GET /models 400 filter", None, {"params": {"zdr": "true"}}),
        ("GET /models/user 400 limit", "viewer", {"params": {"limit": "0"}}),
        ("GET /models/{author}/{slug}/endpoints 404 model", None, {}),
        ("GET /generation 400 id", "viewer", {}),
        ("GET /generation 404 generation", "viewer", {"params": {"id": "gen-1"}}),
        ("GET /activity 400 unknown", "viewer", {"params": {"api_key": "x"}}),
        ("GET /activity 400 date", "viewer", {"params": {"date": "2020-01-01"}}),
        ("GET /activity 400 api_key_hash", "viewer", {"params": {"api_key_hash": "x"}}),
        (
            "POST /chat/completions 400 model",
            "inference",
            {"json": {**CHAT, "model": "openai/gpt-99"}},
        ),
        ("POST /chat/completions 400 nothing", "inference", {"json": {"model": ECHO}}),
        ("POST /chat/completions 400 unpriced", "inference", {"json": {**CHAT, "tools": SEARCH}}),
        ("POST /chat/completions 403 wrong_kind", "management", {"json": CHAT}),
        ("GET /metrics 404 token", None, {}),
    ],
)
async def test_error_example_is_the_response_of_the_server(
    place: str,
    kind: str | None,
    request_: dict[str, Any],
    api: Api,
    acme: Customer,
    other: Customer,
) -> None:
    method, path, status, name = place.split()
    key = None if kind is None else await key_of(kind, api, acme, other)
    filled = path.format(hash=key_hash(acme.inference), author="x", slug="y")
    at = filled if path == "/metrics" else f"/api/v1{filled}"
    answer = await api.call(method, at, key, **request_)
    described = DOCUMENT["paths"][path][method.lower()]["responses"][status]
    examples = referenced(DOCUMENT, described)["content"]["application/json"]["examples"]
    expected = referenced(DOCUMENT, examples[name])["value"]
    account_id = other.account_id if kind == "other" else acme.account_id
    assert answer.status_code == int(status)
    text = answer.text.replace("http://gateway/", "https://gateway.example/")
    assert json.loads(text.replace(account_id, ACCOUNT_ID)) == expected
