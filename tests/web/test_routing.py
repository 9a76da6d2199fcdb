"""Paths: which spelling of a path leads to which route, and that no spelling leads around a key."""

from contextlib import nullcontext
from dataclasses import replace

import httpx
import pytest

from modelgates_server.bootstrap.composition import http_app
from modelgates_server.web.errors import UnknownPath
from modelgates_server.web.routing import RouteTable
from tests.deadlines import async_http_client
from tests.server import Customer
from tests.web.harness import OPTIONS, Api

ENCODED_SLASHES = [
    "/api%2Fv1/credits",
    "/api/v1%2Fcredits",
    "/api/v1/credits%2Fholds",
    "/api/v1%2fkeys",
    "/api/v1%2Fmodels/sandbox/echo",
    "/api/v1/models%2Fsandbox/echo",
    "/api/v1/models/sandbox/echo%2Fendpoints",
    "/v1%2Fcredits",
    "/%2Fapi/v1/credits",
]
DOUBLY_ENCODED = [
    "/api%252Fv1/credits",
    "/api/v1/models/sandbox%252Fecho",
    "/api/v1/%2563redits",
    "/api/v1/models/%252e%252e/credits",
]


@pytest.mark.parametrize("path", [*ENCODED_SLASHES, *DOUBLY_ENCODED])
async def test_disguised_path_is_not_served(path: str, api: Api, acme: Customer) -> None:
    for headers in ({}, {"Authorization": f"Bearer {acme.management}"}):
        answer = await api.client.get(path, headers=headers)
        assert answer.status_code == 404
        assert "total_credits" not in answer.text


async def test_encoded_path_needs_the_key_of_its_route(api: Api, acme: Customer) -> None:
    for path in ("/api/v1/%63redits", "/%61pi/v1/credits", "/v1/%63redits"):
        assert (await api.client.get(path)).status_code == 401
        wrong = {"Authorization": f"Bearer {acme.inference}"}
        assert (await api.client.get(path, headers=wrong)).status_code == 403


async def test_encoded_slash_is_found_only_in_parameters(api: Api) -> None:
    table = RouteTable(api.table)
    methods, names = table.find("/v1/models/a/b/c", b"/v1/models/a%2Fb%2Fc")
    assert (methods["GET"].id, names) == ("get-model", {"author": "a", "slug": "b/c"})
    with pytest.raises(UnknownPath):
        table.find("/v1/models/a/b", b"/v1%2Fmodels/a/b")


async def test_v1_is_unknown_when_the_setting_is_off(api: Api) -> None:
    app = http_app(api.services, replace(OPTIONS, v1_alias=False), nullcontext)
    async with async_http_client(
        transport=httpx.ASGITransport(app), base_url="http://gateway"
    ) as client:
        assert (await client.get("/v1/models")).status_code == 404
        assert (await client.get("/api/v1/models")).status_code == 200


async def test_alias_is_counted_as_the_same_operation(api: Api, acme: Customer) -> None:
    counted = []
    api.services.metrics.count_request = lambda *each: counted.append(each)  # type: ignore[method-assign]
    app = http_app(api.services, OPTIONS, nullcontext)
    headers = {"Authorization": f"Bearer {acme.management}"}
    async with async_http_client(
        transport=httpx.ASGITransport(app), base_url="http://gateway", headers=headers
    ) as client:
        for prefix in ("/api/v1", "/v1"):
            answer = await client.get(f"{prefix}/credits")
            assert answer.json() == {"data": {"total_credits": 100, "total_usage": 0}}
    assert counted == [("get-credits", 200)] * 2


async def test_next_page_below_the_alias_stays_there(api: Api) -> None:
    answer = await api.call("GET", "/v1/models?offset=0&limit=1")
    assert answer.json()["links"]["next"].startswith("/v1/models?")
