from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from modelgates_server.bootstrap.composition import http_app
from modelgates_server.core.errors import Stopping
from modelgates_server.core.redaction import NO_SECRETS
from modelgates_server.service.ports import NO_HEADERS, ProviderReply, Store
from modelgates_server.web.services import Services, WebOptions
from tests.deadlines import async_http_client
from tests.gateway import metered
from tests.server import Customer, new_customer
from tests.support import ManualClock, grant

OPTIONS = WebOptions(body_max_bytes=1000, bodies_max_bytes=4000)
TOKEN = "0123456789abcdef"


class Closable:
    """A provider that is never called."""

    closed = False
    redactor = NO_SECRETS

    async def send(
        self, path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> ProviderReply:
        raise AssertionError(path, body, headers)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
async def services(store: Store, clock: ManualClock, tmp_path: Path) -> Services:
    return metered(store, clock, tmp_path / "spool")


@pytest.fixture
async def customer(services: Services) -> Customer:
    return await new_customer(services, credits_pico=0)


def client(services: Services, options: WebOptions) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(http_app(services, options, nullcontext))
    return async_http_client(transport=transport, base_url="http://gateway")


async def test_metrics_are_served_when_a_token_is_set(services: Services) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        client(services, OPTIONS) as without,
        client(services, replace(OPTIONS, metrics_token=TOKEN)) as with_token,
    ):
        assert (await without.get("/metrics", headers=headers)).status_code == 404
        assert (await with_token.get("/metrics", headers=headers)).status_code == 200


async def test_public_url_is_in_the_openapi_document_and_the_documentation(
    services: Services,
) -> None:
    url = "https://gateway.example/llm"
    async with client(services, replace(OPTIONS, public_url=url)) as public:
        assert url in (await public.get("/openapi.json")).text
        assert url in (await public.get("/llms.txt")).text


async def test_unknown_fields_of_a_key_are_accepted_when_the_option_is_set(
    services: Services, customer: Customer
) -> None:
    headers = {"Authorization": f"Bearer {customer.management}"}
    key = {"name": "a", "zzz": 1}
    for allow, status in ((False, 400), (True, 201)):
        options = replace(OPTIONS, allow_unknown_key_members=allow)
        async with client(services, options) as api:
            response = await api.post("/api/v1/keys", json=key, headers=headers)
            assert response.status_code == status


async def test_request_is_rejected_when_its_body_exceeds_the_option(
    services: Services, customer: Customer
) -> None:
    headers = {"Authorization": f"Bearer {customer.inference}"}
    path, body = "/api/v1/chat/completions", {"messages": "x" * 1000}
    async with client(services, OPTIONS) as api:
        assert (await api.post(path, json=body, headers=headers)).status_code == 413


async def test_brand_of_limit_source_is_an_option(services: Services, customer: Customer) -> None:
    headers = {"Authorization": f"Bearer {customer.inference}"}
    body = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "hi"}]}
    async with client(services, replace(OPTIONS, limit_source_prefix="acme")) as api:
        response = await api.post("/api/v1/chat/completions", json=body, headers=headers)
    assert response.status_code == 402
    assert '"acme_' in response.text


async def test_closing_services_closes_every_provider_and_the_store(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    acme, other = Closable(), Closable()
    services = metered(store, clock, tmp_path, providers={"acme": acme, "other": other})
    customer = await new_customer(services)
    await services.close()
    assert (acme.closed, other.closed) == (True, True)
    with pytest.raises(Stopping):
        await store.execute(grant(customer.account_id, 1))
