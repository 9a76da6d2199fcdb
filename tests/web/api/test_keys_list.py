"""GET /keys: pages of 100, newest first."""

import pytest

from modelgates_server.core.keys import KeyKind, key_hash
from tests.server import Customer
from tests.web.harness import Api

KEYS = "/api/v1/keys"


async def names(api: Api, acme: Customer, query: str = "") -> list[str]:
    answer = await api.call("GET", KEYS + query, acme.management)
    assert answer.status_code == 200
    return [row["name"] for row in answer.json()["data"]]


async def issue_many(api: Api, acme: Customer, count: int) -> list[str]:
    """Create keys one millisecond apart; returns their names, oldest first."""
    made = [f"key {number}" for number in range(count)]
    for name in made:
        api.clock.forward(1)
        await api.issue(acme.account_id, name=name)
    return made


async def test_pages_have_every_key_once_newest_first(api: Api, acme: Customer) -> None:
    made = await issue_many(api, acme, 203)
    first, second, third, beyond = [
        await names(api, acme, f"?offset={offset}") for offset in (0, 100, 200, 300)
    ]
    assert (len(first), len(second), len(third), beyond) == (100, 100, 5, [])
    assert (first + second + third)[:203] == made[::-1]
    assert set(third[3:]) == {"inference", "viewer"}
    assert await names(api, acme) == first
    assert await names(api, acme, "?offset=1") == [*first[1:], second[0]]


async def test_disabled_key_is_listed_only_on_request(api: Api, acme: Customer) -> None:
    path = f"{KEYS}/{key_hash(acme.inference)}"
    await api.call("PATCH", path, acme.management, json={"disabled": True})
    assert await names(api, acme) == ["viewer"]
    assert await names(api, acme, "?include_disabled=false") == ["viewer"]
    assert set(await names(api, acme, "?include_disabled=true")) == {"inference", "viewer"}


async def test_expired_key_is_listed_by_default(api: Api, acme: Customer) -> None:
    await api.issue(acme.account_id, name="short", expires_at="2026-11-23T13:12:01Z")
    api.clock.forward(2000)
    assert "short" in await names(api, acme)


async def test_management_key_is_not_listed(api: Api, acme: Customer) -> None:
    await api.issue(acme.account_id, KeyKind.MANAGEMENT, name="second management key")
    assert set(await names(api, acme, "?include_disabled=true")) == {"inference", "viewer"}


async def test_unknown_workspace_has_no_keys(api: Api, acme: Customer) -> None:
    rows = (await api.call("GET", KEYS, acme.management)).json()["data"]
    own = rows[0]["workspace_id"]
    assert len(await names(api, acme, f"?workspace_id={own}")) == 2
    assert await names(api, acme, "?workspace_id=00000000-0000-0000-0000-000000000000") == []


async def test_expired_key_is_omitted_on_request(api: Api, acme: Customer) -> None:
    await api.issue(acme.account_id, name="short", expires_at="2026-11-23T13:12:01Z")
    await api.issue(acme.account_id, name="long", expires_at="2030-01-01T00:00:00Z")
    api.clock.forward(2000)
    assert set(await names(api, acme, "?include_expired=false")) == {"inference", "viewer", "long"}
    assert len(await names(api, acme, "?include_expired=true")) == 4
    assert len(await names(api, acme)) == 4


@pytest.mark.parametrize(
    "query",
    [
        "offset=-1",
        "offset=1.5",
        "offset=x",
        "offset=",
        "offset=1000000000",
        "offset=99999999999999999999999",
        "offset=1e3",
        "offset=%D9%A1",
        "offset=1_0",
        "include_disabled=1",
        "include_disabled=True",
        "include_disabled=",
        "include_expired=1",
        "include_expired=",
    ],
)
async def test_invalid_query_is_a_400_that_names_the_parameter(
    query: str, api: Api, acme: Customer
) -> None:
    answer = await api.call("GET", f"{KEYS}?{query}", acme.management)
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"]["message"]
