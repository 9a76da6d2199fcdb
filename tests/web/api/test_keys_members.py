"""POST and PATCH /keys reject every name that could leave a key enabled or without its limit."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import openrouter.operations as reference
import pytest

from modelgates_server.core.keys import key_hash
from modelgates_server.service.ports import Store
from tests.server import Customer, new_customer
from tests.support import ManualClock
from tests.web.harness import Api

KEYS = "/api/v1/keys"
NODE_SDK = Path(__file__).parents[2] / "e2e/clients/node/node_modules/@openrouter/sdk"
# openrouter 1.3.84 and 0.11.46, @openrouter/sdk 1.3.19. modelgates 0.1.0 sends any parameters.
CREATED: dict[str, Any] = {
    "name": "x",
    "creator_user_id": None,
    "expires_at": "2030-01-01T00:00:00Z",
    "external": {"user": "u-1", "api_key": "k" * 32},
    "include_byok_in_limit": True,
    "limit": 5.5,
    "limit_reset": "monthly",
    "workspace_id": None,
}
CHANGED: dict[str, Any] = {
    "disabled": True,
    "include_byok_in_limit": True,
    "limit": 5.5,
    "limit_reset": "monthly",
    "name": "y",
    "workspace_id": None,
}


class KeyRequests:
    """Requests that create a key of an account or change its inference key."""

    def __init__(self, api: Api, acme: Customer) -> None:
        self.api, self.acme = api, acme
        self.path = f"{KEYS}/{key_hash(acme.inference)}"

    async def send(self, method: str, body: str | dict[str, Any]) -> httpx.Response:
        path = KEYS if method == "POST" else self.path
        content = body if isinstance(body, str) else json.dumps(body)
        return await self.api.call(method, path, self.acme.management, content=content)

    async def keys(self) -> Any:
        query = f"{KEYS}?include_disabled=true"
        return (await self.api.call("GET", query, self.acme.management)).json()

    async def refusal(self, method: str, body: str | dict[str, Any]) -> str:
        """The message of a 400, after a check that no key has changed."""
        before = await self.keys()
        answer = await self.send(method, body)
        assert answer.status_code == 400, answer.text
        assert len(answer.content) < 1000
        assert await self.keys() == before
        message: str = answer.json()["error"]["message"]
        return message


@pytest.fixture
def requests(api: Api, acme: Customer) -> KeyRequests:
    return KeyRequests(api, acme)


@pytest.fixture
async def lenient(store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[KeyRequests]:
    """Requests to a server that accepts unknown parameters."""
    api = Api(store, clock, tmp_path / "spool", allow_unknown_key_members=True)
    async with api.client:
        yield KeyRequests(api, await new_customer(api.services))


def quoted(name: str) -> str:
    return f"`{json.dumps(name[:64])[1:-1]}`" if name else '`""`'


def of_model(model: Any) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def of_node_sdk(file: str, shape: str) -> set[str]:
    """The fields of an outbound type of @openrouter/sdk."""
    text = (NODE_SDK / "esm/models/operations" / f"{file}.d.ts").read_text()
    declared = text.partition(f"export type {shape}$Outbound = {{")[2].partition("};")[0]
    return set(re.findall(r"^    (\w+)\??:", declared, re.MULTILINE))


def test_tested_parameters_are_those_of_the_reference_clients() -> None:
    assert of_model(reference.CreateKeysRequestBody) == set(CREATED)
    assert of_model(reference.External) == set(CREATED["external"])
    assert of_model(reference.UpdateKeysRequestBody) == set(CHANGED)
    if NODE_SDK.is_dir():
        assert of_node_sdk("createkeys", "CreateKeysRequestBody") == set(CREATED)
        assert of_node_sdk("createkeys", "External") == set(CREATED["external"])
        assert of_node_sdk("updatekeys", "UpdateKeysRequestBody") <= set(CHANGED)


@pytest.mark.parametrize("member", [None, *CREATED])
async def test_key_is_created_with_parameters_of_reference_clients(
    requests: KeyRequests, member: str | None
) -> None:
    sent = CREATED if member is None else {"name": "x", "limit": 1, member: CREATED[member]}
    answer = await requests.send("POST", sent)
    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["limit"] == sent["limit"]


@pytest.mark.parametrize("member", [None, *CHANGED])
async def test_key_is_changed_with_parameters_of_reference_clients(
    requests: KeyRequests, member: str | None
) -> None:
    sent = CHANGED if member is None else {"limit": 1, member: CHANGED[member]}
    answer = await requests.send("PATCH", sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["disabled"] is sent.get("disabled", False)


async def test_change_without_parameters_changes_nothing(requests: KeyRequests) -> None:
    before = (await requests.send("PATCH", {})).json()["data"]
    assert (before["disabled"], before["limit"]) == (False, None)


NEAR = {
    "limt": "limit", "Limit": "limit", "LIMIT": "limit", "limits": "limit", "lim\u0131t": "limit",
    "\uff4cimit": "limit", "limit ": "limit", "l\u0456mit": "limit", "max_budget": "limit",
    "maxBudget": "limit", "spend_limit": "limit", "spending-limit": "limit", "budget": "limit",
    "max_buget": "limit", "credit_limit": "limit", "limit_usd": "limit", "usage_limit": "limit",
    "limitReset": "limit_reset", "limit-reset": "limit_reset", "reset_interval": "limit_reset",
    "budget_duration": "limit_reset", "limit_rest": "limit_reset", "disable": "disabled",
    "Disabled": "disabled", "paused": "disabled", "is_disabled": "disabled",
    "blocked": "disabled", "revoked": "disabled", "status": "disabled", "diabled": "disabled",
    "expires": "expires_at", "expiry": "expires_at", "expiresAt": "expires_at",
    "expires_in": "expires_at", "ttl": "expires_at", "expire_at": "expires_at",
    "nam": "name", "key_alias": "name", "workspaceId": "workspace_id", "role": "kind",
}  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("member", NEAR)
async def test_unknown_parameter_is_refused_with_the_nearest_known_one(
    requests: KeyRequests, member: str, method: str
) -> None:
    for value in (True, 5, None):
        message = await requests.refusal(method, {"name": "x", member: value})
        assert message.startswith(
            f"Unknown request parameter {quoted(member)}. Did you mean `{NEAR[member]}`? "
            "Supported: name, "
        )


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    "member",
    ["rpm_limit", "tpm_limit", "guardrails", "allowed_models", "allowed_data_regions", "", "\0",
     "x" * 10_000, "models", "max_parallel_requests", "🙂", "permissions",
     "tags", "metadata"],
)  # fmt: skip
async def test_unknown_parameter_is_refused_without_a_guess_when_none_is_near(
    requests: KeyRequests, member: str, method: str
) -> None:
    message = await requests.refusal(method, {"name": "x", member: 5})
    assert "Did you mean" not in message
    assert f"Unknown request parameter {quoted(member)}. Supported: name, " in message


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("member", ["enabled", "enable", "active", "isActive"])
async def test_opposite_of_disabled_is_refused_with_a_warning(
    requests: KeyRequests, member: str, method: str
) -> None:
    message = await requests.refusal(method, {"name": "x", member: False})
    assert "Did you mean `disabled`, which has the opposite meaning? Supported: " in message


async def test_external_is_refused_without_a_guess_when_a_key_is_changed(
    requests: KeyRequests,
) -> None:
    message = await requests.refusal("PATCH", {"external": {"user": "a"}})
    assert message.startswith("Unknown request parameter `external`. Supported: ")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    "body",
    [
        '{"name":"x","limit":1,"limit":2}',
        '{"name":"x","limit":1,"limit":1}',
        r'{"name":"x","limit":1,"l\u0069mit":null}',
        '{"limit":1,"name":"x","limit_reset":null,"limit":null}',
    ],
)
async def test_parameter_is_refused_when_it_is_duplicate(
    requests: KeyRequests, body: str, method: str
) -> None:
    message = await requests.refusal(method, body)
    assert message == "Duplicate request parameter `limit`. Send it once."


async def test_disabled_is_refused_when_it_is_duplicate(requests: KeyRequests) -> None:
    message = await requests.refusal("PATCH", '{"disabled":true,"disabled":false}')
    assert message == "Duplicate request parameter `disabled`. Send it once."


async def test_external_is_refused_when_it_is_invalid(requests: KeyRequests) -> None:
    for inner, why in [
        ('{"user":"a","user":"b"}', "Duplicate request parameter `user`"),
        ('{"user":"a","User":"b"}', "Did you mean `user`?"),
        ('{"user":"a","limit":5}', "Unknown request parameter `limit`"),
        ("{}", "user"),
        ('"u"', "external"),
        ("5", "external"),
    ]:
        assert why in await requests.refusal("POST", f'{{"name":"x","external":{inner}}}')
    message = await requests.refusal("POST", {"name": "x", "kind": "k" * 60_000})
    assert len(message) < 500
    assert (await requests.send("POST", {"name": "x", "external": None})).status_code == 201


async def test_new_key_is_refused_when_it_is_disabled(requests: KeyRequests) -> None:
    assert "PATCH /keys/{hash}" in await requests.refusal("POST", {"name": "x", "disabled": True})
    for value in (False, None):
        assert (await requests.send("POST", {"name": "x", "disabled": value})).status_code == 201


async def test_change_of_kind_is_refused(requests: KeyRequests) -> None:
    message = await requests.refusal("PATCH", {"kind": "viewer"})
    assert message == "`kind` cannot be changed. Leave it out, or create another key."
    assert (await requests.send("PATCH", {"kind": "inference"})).status_code == 200


async def test_unknown_parameter_is_ignored_when_the_server_allows_it(lenient: KeyRequests) -> None:
    newer = {"allowed_models": ["a"], "x": {"limit": 1, "deep": [{"limit": 1}]}}
    created = await lenient.send("POST", {"name": "x", "limit": 5, **newer})
    assert (created.status_code, created.json()["data"]["limit"]) == (201, 5)
    external = {"user": "a", "team": "b"}
    assert (await lenient.send("POST", {"name": "x", "external": external})).status_code == 201
    changed = await lenient.send("PATCH", {"disabled": True, **newer})
    assert (changed.status_code, changed.json()["data"]["disabled"]) == (200, True)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    "body",
    [
        {"Limit": 5}, {"limit ": 5}, {"lim\u0131t": 5}, {"\uff4cimit": 5}, {"limitReset": "daily"},
        {"limit-reset": "daily"}, {"l\u00edmit": 5}, {"li\u200bmit": 5},
        {"expiresAt": "2020-01-01T00:00:00Z"}, {"Kind": "viewer"}, {"DISABLED": True},
        {"di\u017fabled": True}, {"limit_re\u017fet": "daily"},
    ],
)  # fmt: skip
async def test_parameter_is_refused_when_only_its_spelling_differs(
    lenient: KeyRequests, body: dict[str, Any], method: str
) -> None:
    assert "Did you mean `" in await lenient.refusal(method, {"name": "x", **body})


async def test_duplicate_parameter_is_refused_even_when_unknown_ones_are_allowed(
    lenient: KeyRequests,
) -> None:
    for body in ('{"limit":1,"limit":2}', '{"x":1,"x":1}'):
        assert "Duplicate request parameter" in await lenient.refusal("PATCH", body)
    assert "PATCH" in await lenient.refusal("POST", {"name": "x", "disabled": True})
    assert "kind" in await lenient.refusal("PATCH", {"kind": "viewer"})


QUERIES = [
    ("POST", KEYS, "limit=5", "This operation has no query parameters."),
    ("PATCH", None, "disabled=true", "This operation has no query parameters."),
    ("GET", None, "x=1", "This operation has no query parameters."),
    ("DELETE", None, "id=x", "This operation has no query parameters."),
    ("DELETE", KEYS, "hash=x", "Supported: id."),
    ("DELETE", KEYS, "Id=x", "Did you mean `id`?"),
    ("GET", KEYS, "offst=1", "Did you mean `offset`?"),
    ("GET", KEYS, "Offset=1", "Did you mean `offset`?"),
    ("GET", KEYS, "includeDisabled=true", "Did you mean `include_disabled`?"),
    ("GET", KEYS, "limit=5", "Supported: include_disabled, include_expired, offset, "),
    ("GET", "/api/v1/activity", "api_key=x", "Did you mean `api_key_hash`?"),
    ("GET", "/api/v1/activity", "Date=2026-11-23", "Did you mean `date`?"),
    ("GET", "/api/v1/activity", "from=2026-11-23", "Supported: date, "),
    ("GET", "/api/v1/activity", "%00=1", "Supported: date, "),
]


@pytest.mark.parametrize(("method", "path", "query", "hint"), QUERIES)
async def test_query_parameter_is_refused_when_it_is_unknown(
    requests: KeyRequests, method: str, path: str | None, query: str, hint: str
) -> None:
    before = await requests.keys()
    at = f"{path or requests.path}?{query}"
    body = {"json": {"name": "x"}} if method in ("POST", "PATCH") else {}
    answer = await requests.api.call(method, at, requests.acme.management, **body)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    name = quoted(unquote(query.partition("=")[0]))
    assert message.startswith(f"Unknown query parameter {name}. ")
    assert hint in message
    assert await requests.keys() == before


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", KEYS, "offset=0&offset=100"),
        ("GET", KEYS, "include_disabled=true&include_disabled=true"),
        ("GET", KEYS, "offset=0&off%73et=0"),
        ("GET", "/api/v1/activity", "date=2026-11-22&date=2026-11-23"),
        ("DELETE", KEYS, "id=HASH&id=HASH"),
    ],
)
async def test_query_parameter_is_refused_when_it_is_duplicate(
    requests: KeyRequests, method: str, path: str, query: str
) -> None:
    named = query.replace("HASH", key_hash(requests.acme.inference))
    answer = await requests.api.call(method, f"{path}?{named}", requests.acme.management)
    assert answer.status_code == 400
    name = query.partition("=")[0]
    message = f"Duplicate query parameter `{name}`. Send it once."
    assert answer.json()["error"]["message"] == message


def in_query(request: Any) -> set[str]:
    """The parameters that openrouter sends in the query of a request."""
    return {
        field.alias or name
        for name, field in request.model_fields.items()
        if any(getattr(each, "query", None) for each in field.metadata)
    }


async def test_query_parameters_of_the_reference_clients_are_accepted(
    requests: KeyRequests,
) -> None:
    keys = {"include_disabled": "true", "include_expired": "true", "offset": "0"}
    activity = {"date": "2026-11-23", "api_key_hash": "0" * 64, "group_by": "workspace"}
    workspace = {"workspace_id": "00000000-0000-0000-0000-000000000000"}
    assert in_query(reference.ListRequest) == {*keys, *workspace}
    assert in_query(reference.GetUserActivityRequest) == {*activity, "user_id", *workspace}
    for path, query in ((KEYS, keys), ("/api/v1/activity", {**activity, "user_id": "x"})):
        sent = {"params": {**query, **workspace}}
        answer = await requests.api.call("GET", path, requests.acme.management, **sent)
        assert answer.status_code == 200, answer.text
