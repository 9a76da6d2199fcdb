"""No request and no sweep keeps the event loop from others for long, whatever the amount of data.

The loop's own CPU time is measured, in which a busy machine makes little difference. A turn of the
loop is everything that it does between two looks at its sockets: others wait as long.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from modelgates_server.bootstrap.composition import http_app
from modelgates_server.core.keys import key_hash
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.docsite.openapi import BASE_PATH
from modelgates_server.service.spool_ports import PendingSettlement
from modelgates_server.store.sqlite import admin
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.web.app import App
from tests.deadlines import async_http_client, within
from tests.gateway import METRICS_TOKEN, TIMEOUTS, metered
from tests.large import Large, fill_large, large_catalog
from tests.support import HOLD_MS, ManualClock, finished, open_generation
from tests.web.harness import DOCS_CATALOG, OPTIONS

TURN_MAX_S = 0.05
SPOOLED = 3_000
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """As the server does: a full collection would pass over the objects of all imported tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Turns:
    """The longest turn of the event loop, in seconds of its thread's CPU time."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        loop: Any = asyncio.get_running_loop()
        run_once = loop._run_once

        def run_and_measure() -> None:
            started_s = time.thread_time()
            run_once()
            self.longest_s = max(self.longest_s, time.thread_time() - started_s)

        loop._run_once = run_and_measure

    async def during(self, work: Awaitable[Any]) -> float:
        """The longest turn while `work` is done."""
        await asyncio.sleep(0)
        self.longest_s = 0.0
        async with within():
            await work
        await asyncio.sleep(0)  # the turn that ended the work ends
        return self.longest_s


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Large:
    return fill_large(tmp_path_factory.mktemp("large") / "modelgates.db")


def client_of(app: App) -> httpx.AsyncClient:
    return async_http_client(transport=httpx.ASGITransport(app), base_url="http://gateway")


class Gateway:
    """The application on the large database, and on a catalog of hundreds of models."""

    def __init__(self, large: Large, folder: Path) -> None:
        self.clock, self.customer, self.spool = ManualClock(), large.customer, folder / "spool"
        self.store = open_store(large.path)
        catalog = large_catalog()
        self.services = metered(
            self.store, self.clock, self.spool, catalog=catalog, timeouts=TIMEOUTS
        )
        self.app = http_app(self.services, OPTIONS, nullcontext)
        for model in catalog.models.values():
            call = open_generation("user", "k", "x", 10, model=model.id, endpoint_id=model.id)
            self.services.metrics.count_ended(finished(call, Usage(input=3, output=2)), 3)
        self.client = client_of(self.app)
        # The pages of hundreds of models take half a minute to build, on their own thread.
        few_models = metered(self.store, self.clock, self.spool, catalog=DOCS_CATALOG)
        self.docs = client_of(http_app(few_models, OPTIONS, nullcontext))

    async def get(self, path: str, key: str) -> None:
        client = self.docs if path in DOCUMENTED else self.client
        response = await client.get(path, headers={"Authorization": f"Bearer {key}"})
        assert response.status_code in (200, 404), response.text

    def spooled(self, number: int) -> PendingSettlement:
        customer, name = self.customer, f"gen-{number:08d}"
        call = open_generation(customer.account_id, key_hash(customer.inference), name, 1)
        return PendingSettlement(finished(call, Usage(input=1)))


@pytest.fixture
async def gateway(filled: Large, tmp_path: Path) -> AsyncIterator[Gateway]:
    opened = Gateway(filled, tmp_path)
    async with opened.client:
        yield opened
    await opened.store.close()


MANAGEMENT_READS = {
    "list-keys": [
        f"{BASE_PATH}/keys?offset=49900",
        f"{BASE_PATH}/keys?offset=99900&include_disabled=true",
    ],
    "get-key": [f"{BASE_PATH}/keys/{'0' * 64}"],
    "get-current-key": [f"{BASE_PATH}/key"],
    "get-current-key-alias": [f"{BASE_PATH}/auth/key"],
    "get-credits": [f"{BASE_PATH}/credits"],
    "list-holds": [f"{BASE_PATH}/credits/holds"],
    "get-activity": [
        f"{BASE_PATH}/activity",
        f"{BASE_PATH}/activity?limit=1",
        f"{BASE_PATH}/activity?api_key_hash={5:064x}",
    ],
    "get-generation": [f"{BASE_PATH}/generation?id=gen-00000005"],
    "list-user-models": [f"{BASE_PATH}/models/user"],
}
OTHER_READS = {
    "list-models": [
        f"{BASE_PATH}/models",
        f"{BASE_PATH}/models?sort=pricing-low-to-high&q=model",
        f"{BASE_PATH}/models?{'&'.join(f'a{n}=1' for n in range(50))}",
    ],
    "count-models": [f"{BASE_PATH}/models/count"],
    "list-embedding-models": [f"{BASE_PATH}/embeddings/models"],
    "list-model-endpoints": [f"{BASE_PATH}/models/maker-1/model-1/endpoints"],
    "get-model": [f"{BASE_PATH}/models/maker-1/model-{'x' * 1000}"],
    "get-model-alias": [f"{BASE_PATH}/model/maker-1/model-x"],
    "list-providers": [f"{BASE_PATH}/providers"],
    "get-openapi-json": ["/openapi.json", "/openapi.json?for=generators"],
    "get-openapi-yaml": ["/openapi.yaml", "/openapi.yaml?for=generators"],
    "get-health": ["/healthz"],
    "get-readiness": ["/readyz"],
    "get-metrics": ["/metrics"],
}
DOCUMENTATION = {
    "get-root": ["/"],
    "get-docs": ["/docs"],
    "get-docs-markdown": ["/docs.md"],
    "get-docs-mdx": ["/docs.mdx"],
    "get-llms": ["/llms.txt"],
    "get-llms-full": ["/llms-full.txt"],
    "get-robots": ["/robots.txt"],
    "get-api-catalog": ["/.well-known/api-catalog"],
    "get-docs-page": ["/docs/guides/errors"],
    "search-docs": ["/docs/search?q=hold"],
    "suggest-docs": ["/docs/_search?q=hold"],
}
DOCUMENTED = {path for paths in DOCUMENTATION.values() for path in paths}


async def test_every_read_gives_the_loop_back_in_time(
    gateway: Gateway, subtests: pytest.Subtests
) -> None:
    customer, turns = gateway.customer, Turns()
    await gateway.get("/healthz", "")  # imports what the first request needs
    for name, paths in {**MANAGEMENT_READS, **OTHER_READS, **DOCUMENTATION}.items():
        for path in paths:
            key = METRICS_TOKEN if name == "get-metrics" else customer.management
            with subtests.test(path=path[:80]):
                assert await turns.during(gateway.get(path, key)) < TURN_MAX_S


async def test_every_route_that_reads_is_measured(gateway: Gateway) -> None:
    reads = {route.id for route in gateway.app.routes if route.method == "GET"}
    assert reads == {*MANAGEMENT_READS, *OTHER_READS, *DOCUMENTATION}


async def test_tools_of_agents_give_the_loop_back_in_time(
    gateway: Gateway, subtests: pytest.Subtests
) -> None:
    key, turns = gateway.customer.management, Turns()

    async def call(path: str, name: str, arguments: dict[str, Any]) -> None:
        params = {"name": name, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {"Authorization": f"Bearer {key}", "accept": "application/json"}
        headers["accept"] += ", text/event-stream"
        response = await gateway.client.post(path, json=message, headers=headers)
        assert response.status_code == 200, response.text

    account, docs = f"{BASE_PATH}/mcp", "/docs/_mcp/server"
    await call(account, "get_credits", {})  # imports the library
    for path, name, arguments in (
        (account, "list_keys", {"offset": 99_900, "include_disabled": True}),
        (account, "list_models", {"limit": 100}),
        (account, "get_generation", {"id": "gen-00000005"}),
        (docs, "search_docs", {"query": "hold"}),
    ):
        with subtests.test(tool=name):
            assert await turns.during(call(path, name, arguments)) < TURN_MAX_S


async def test_sweeps_of_thousands_of_holds_give_the_loop_back_in_time(
    filled: Large, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    copy = tmp_path / "modelgates.db"
    admin.backup(filled.path, copy, lambda _, __: None)
    gateway = Gateway(filled._replace(path=copy), tmp_path)
    turns, services = Turns(), gateway.services
    gateway.spool.mkdir()
    for number in range(SPOOLED):
        file = gateway.spool / f"gen-{number:08d}.json"
        file.write_bytes(msgspec.json.encode(gateway.spooled(number)))
    with subtests.test("ids of the spool"):
        assert await turns.during(services.calls.settling.pending_ids()) < TURN_MAX_S
    gateway.clock.forward(3 * HOLD_MS)
    with subtests.test("spool and expired holds"):
        assert await turns.during(services.maintenance.run_once()) < TURN_MAX_S
    account = await gateway.store.account(gateway.customer.account_id)
    assert account is not None
    assert (account.held_pico, account.usage_pico) == (0, SPOOLED)
    await gateway.client.aclose()
    await gateway.store.close()
