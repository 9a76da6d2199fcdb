"""POST and PATCH /keys: whatever would leave a key without its limit, or on, is refused by name."""

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
# openrouter 1.3.84 and 0.11.46, @openrouter/sdk 1.3.19. modelgates 0.1.0 sends what it is given.
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
OURS = {"POST": {"kind", "disabled"}, "PATCH": {"kind", "expires_at"}}


class KeyRequests:
    """One key of an account, and requests to make another or change it."""

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
        """The message of a 400 that leaves no trace."""
        before = await self.keys()
        answer = await self.send(method, body)
        assert answer.status_code == 400, answer.text
        assert len(answer.content) < 1000
        assert await self.keys() == before
        message: str = answer.json()["error"]["message"]
        return message


@pytest.fixture
def desk(api: Api, acme: Customer) -> KeyRequests:
    return KeyRequests(api, acme)


@pytest.fixture
async def lenient(store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[KeyRequests]:
    """On a server that takes unknown members."""
    api = Api(store, clock, tmp_path / "spool", allow_unknown_key_members=True)
    async with api.client:
        yield KeyRequests(api, await new_customer(api.services))


def of_model(model: Any) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def of_node_sdk(file: str, shape: str) -> set[str]:
    """The members of an outbound type of @openrouter/sdk."""
    text = (NODE_SDK / "esm/models/operations" / f"{file}.d.ts").read_text()
    declared = text.partition(f"export type {shape}$Outbound = {{")[2].partition("};")[0]
    return set(re.findall(r"^    (\w+)\??:", declared, re.MULTILINE))


def test_members_under_test_are_those_of_the_reference_clients() -> None:
    assert of_model(reference.CreateKeysRequestBody) == set(CREATED)
    assert of_model(reference.External) == set(CREATED["external"])
    assert of_model(reference.UpdateKeysRequestBody) == set(CHANGED)
    if NODE_SDK.is_dir():
        assert of_node_sdk("createkeys", "CreateKeysRequestBody") == set(CREATED)
        assert of_node_sdk("createkeys", "External") == set(CREATED["external"])
        assert of_node_sdk("updatekeys", "UpdateKeysRequestBody") <= set(CHANGED)


@pytest.mark.parametrize("member", [None, *CREATED])
async def test_key_is_created_when_its_members_are_those_of_reference_clients(
    desk: KeyRequests, member: str | None
) -> None:
    sent = CREATED if member is None else {"name": "x", "limit": 1, member: CREATED[member]}
    answer = await desk.send("POST", sent)
    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["limit"] == sent["limit"]


@pytest.mark.parametrize("member", [None, *CHANGED])
async def test_key_is_changed_when_the_members_are_those_of_reference_clients(
    desk: KeyRequests, member: str | None
) -> None:
    sent = CHANGED if member is None else {"limit": 1, member: CHANGED[member]}
    answer = await desk.send("PATCH", sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["disabled"] is sent.get("disabled", False)


async def test_change_without_members_changes_nothing_but_the_time(desk: KeyRequests) -> None:
    before = (await desk.send("PATCH", {})).json()["data"]
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
async def test_member_is_refused_with_the_nearest_right_one_when_it_is_unknown(
    desk: KeyRequests, member: str, method: str
) -> None:
    for value in (True, 5, None):
        message = await desk.refusal(method, {"name": "x", member: value})
        assert message.startswith(
            f'Unknown member {json.dumps(member)}. Did you mean "{NEAR[member]}"? The members are: '
        )


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    "member",
    ["rpm_limit", "tpm_limit", "guardrails", "allowed_models", "allowed_data_regions", "", "\0",
     "x" * 10_000, "models", "max_parallel_requests", "🙂", "permissions",
     "tags", "metadata"],
)  # fmt: skip
async def test_member_is_refused_without_a_guess_when_keys_have_nothing_like_it(
    desk: KeyRequests, member: str, method: str
) -> None:
    message = await desk.refusal(method, {"name": "x", member: 5})
    assert "Did you mean" not in message
    assert f"Unknown member {json.dumps(member[:64])}. The members are: name, " in message


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("member", ["enabled", "enable", "active", "isActive"])
async def test_switch_is_refused_with_a_warning_when_its_name_says_the_opposite(
    desk: KeyRequests, member: str, method: str
) -> None:
    message = await desk.refusal(method, {"name": "x", member: False})
    assert 'Did you mean "disabled", which says the opposite? The members are: ' in message


async def test_external_is_refused_without_a_guess_when_a_key_is_changed(desk: KeyRequests) -> None:
    message = await desk.refusal("PATCH", {"external": {"user": "a"}})
    assert message.startswith('Unknown member "external". The members are: ')


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
async def test_member_is_refused_when_it_comes_twice(
    desk: KeyRequests, body: str, method: str
) -> None:
    assert await desk.refusal(method, body) == 'The member "limit" came twice; send it once.'


async def test_switch_is_refused_when_it_comes_twice(desk: KeyRequests) -> None:
    message = await desk.refusal("PATCH", '{"disabled":true,"disabled":false}')
    assert message == 'The member "disabled" came twice; send it once.'


async def test_external_is_refused_when_it_is_not_what_clients_send(desk: KeyRequests) -> None:
    for inner, why in [
        ('{"user":"a","user":"b"}', '"user" came twice'),
        ('{"user":"a","User":"b"}', 'Did you mean "user"?'),
        ('{"user":"a","limit":5}', 'Unknown member "limit"'),
        ("{}", "user"),
        ('"u"', "external"),
        ("5", "external"),
    ]:
        assert why in await desk.refusal("POST", f'{{"name":"x","external":{inner}}}')
    told = await desk.refusal("POST", {"name": "x", "kind": "k" * 60_000})
    assert len(told) < 500
    assert (await desk.send("POST", {"name": "x", "external": None})).status_code == 201


async def test_new_key_is_refused_when_it_is_to_be_disabled(desk: KeyRequests) -> None:
    assert "PATCH /keys/{hash}" in await desk.refusal("POST", {"name": "x", "disabled": True})
    for value in (False, None):
        assert (await desk.send("POST", {"name": "x", "disabled": value})).status_code == 201


async def test_change_of_a_key_is_refused_when_it_is_to_another_kind(desk: KeyRequests) -> None:
    message = await desk.refusal("PATCH", {"kind": "viewer"})
    assert message == "kind is set when a key is created and cannot be changed"
    assert (await desk.send("PATCH", {"kind": "inference"})).status_code == 200


async def test_unknown_member_is_ignored_when_the_server_allows_it(lenient: KeyRequests) -> None:
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
async def test_member_is_refused_when_it_is_a_known_one_but_for_its_letters(
    lenient: KeyRequests, body: dict[str, Any], method: str
) -> None:
    assert 'Did you mean "' in await lenient.refusal(method, {"name": "x", **body})


async def test_doubled_member_is_refused_when_the_server_allows_unknown_ones(
    lenient: KeyRequests,
) -> None:
    for body in ('{"limit":1,"limit":2}', '{"x":1,"x":1}'):
        assert "came twice" in await lenient.refusal("PATCH", body)
    assert "PATCH" in await lenient.refusal("POST", {"name": "x", "disabled": True})
    assert "kind" in await lenient.refusal("PATCH", {"kind": "viewer"})


QUERIES = [
    ("POST", KEYS, "limit=5", "This request takes none."),
    ("PATCH", None, "disabled=true", "This request takes none."),
    ("GET", None, "x=1", "This request takes none."),
    ("DELETE", None, "id=x", "This request takes none."),
    ("DELETE", KEYS, "hash=x", "This request takes: id."),
    ("DELETE", KEYS, "Id=x", 'Did you mean "id"?'),
    ("GET", KEYS, "offst=1", 'Did you mean "offset"?'),
    ("GET", KEYS, "Offset=1", 'Did you mean "offset"?'),
    ("GET", KEYS, "includeDisabled=true", 'Did you mean "include_disabled"?'),
    ("GET", KEYS, "limit=5", "This request takes: include_disabled, include_expired, offset, "),
    ("GET", "/api/v1/activity", "api_key=x", 'Did you mean "api_key_hash"?'),
    ("GET", "/api/v1/activity", "Date=2026-11-23", 'Did you mean "date"?'),
    ("GET", "/api/v1/activity", "from=2026-11-23", "This request takes: date, "),
    ("GET", "/api/v1/activity", "%00=1", "This request takes: date, "),
]


@pytest.mark.parametrize(("method", "path", "query", "hint"), QUERIES)
async def test_query_parameter_is_refused_when_it_is_unknown(
    desk: KeyRequests, method: str, path: str | None, query: str, hint: str
) -> None:
    before = await desk.keys()
    at = f"{path or desk.path}?{query}"
    body = {"json": {"name": "x"}} if method in ("POST", "PATCH") else {}
    answer = await desk.api.call(method, at, desk.acme.management, **body)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    name = json.dumps(unquote(query.partition("=")[0]))
    assert message.startswith(f"Unknown query parameter {name}. ")
    assert hint in message
    assert await desk.keys() == before


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
async def test_query_parameter_is_refused_when_it_comes_twice(
    desk: KeyRequests, method: str, path: str, query: str
) -> None:
    named = query.replace("HASH", key_hash(desk.acme.inference))
    answer = await desk.api.call(method, f"{path}?{named}", desk.acme.management)
    assert answer.status_code == 400
    name = query.partition("=")[0]
    assert answer.json()["error"]["message"] == (
        f'The query parameter "{name}" came twice; send it once.'
    )


def in_query(request: Any) -> set[str]:
    """The members of a request that openrouter puts into its query."""
    return {
        field.alias or name
        for name, field in request.model_fields.items()
        if any(getattr(each, "query", None) for each in field.metadata)
    }


async def test_query_parameters_of_the_reference_clients_are_taken(desk: KeyRequests) -> None:
    keys = {"include_disabled": "true", "include_expired": "true", "offset": "0"}
    activity = {"date": "2026-11-23", "api_key_hash": "0" * 64, "group_by": "workspace"}
    workspace = {"workspace_id": "00000000-0000-0000-0000-000000000000"}
    assert in_query(reference.ListRequest) == {*keys, *workspace}
    assert in_query(reference.GetUserActivityRequest) == {*activity, "user_id", *workspace}
    for path, query in ((KEYS, keys), ("/api/v1/activity", {**activity, "user_id": "x"})):
        sent = {"params": {**query, **workspace}}
        answer = await desk.api.call("GET", path, desk.acme.management, **sent)
        assert answer.status_code == 200, answer.text
