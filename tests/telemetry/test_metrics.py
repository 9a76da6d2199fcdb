import re
from pathlib import Path

import msgspec
import pytest

from modelgates_server.core.metering.generations import Attempt
from modelgates_server.core.metering.repairs import Repair, Repairs
from modelgates_server.service.ports import Store
from modelgates_server.telemetry.metrics import Metrics
from tests.gateway import METRICS_TOKEN
from tests.server import Customer
from tests.support import T0_MS, ManualClock, open_generation, voided_generation
from tests.web.harness import Api

ROOT = Path(__file__).parents[2]

NOT_FOUND = "Resource not found: `/metrics`. The base URL of the API is `http://gateway/api/v1`."


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer",
        "Bearer ",
        "Bearer 0123456789abcde",
        f"Bearer {METRICS_TOKEN}x",
        f"Bearer  {METRICS_TOKEN}",
        f"Basic {METRICS_TOKEN}",
        "Bearer ключ",
    ],
)
async def test_metrics_are_not_found_without_a_valid_token(
    authorization: str | None, api: Api
) -> None:
    headers = {} if authorization is None else {b"Authorization": authorization.encode()}
    answer = await api.client.get("/metrics", headers=headers)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith(NOT_FOUND)
    unknown = await api.client.get("/metricx", headers=headers)
    assert answer.text == unknown.text.replace("/metricx", "/metrics")


async def test_metrics_count_responses_and_name_no_account_or_key(api: Api, acme: Customer) -> None:
    for key in (acme.viewer, acme.viewer, acme.inference, None):
        await api.call("GET", "/api/v1/credits", key)
    await api.call("GET", f"/api/v1/{acme.account_id}")
    answer = await api.call("GET", "/metrics", METRICS_TOKEN)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    name = "modelgates_http_requests_total"
    for operation, status, count in (
        ("get-credits", 200, 2),
        ("get-credits", 403, 1),
        ("get-credits", 401, 1),
        ("none", 404, 1),
    ):
        assert f'{name}{{operation="{operation}",status="{status}"}} {count}.0' in answer.text
    assert acme.account_id not in answer.text
    assert "sk-mg" not in answer.text


async def test_failed_attempt_is_counted_by_its_error_code(
    store: Store, clock: ManualClock
) -> None:
    code = "provider_timed_out"
    attempt = Attempt(provider="acme", upstream_model="m", started_at_ms=T0_MS, error=code)
    call = voided_generation(open_generation("user_1", "a" * 64, "gen-1", 5))
    metrics = Metrics(store, clock)
    metrics.count_ended(msgspec.structs.replace(call, attempts=(attempt,), error=code), 0)
    exposition = (await metrics.exposition()).decode()
    labels = f'endpoint="{call.endpoint_id}",error="{code}"'
    assert f"modelgates_upstream_errors_total{{{labels}}} 1.0" in exposition


async def test_repairs_are_counted_by_provider(store: Store, clock: ManualClock) -> None:
    metrics = Metrics(store, clock)
    metrics.count_repairs("acme", Repairs({Repair.DATA_SKIPPED: 2, Repair.END_MISSING: 1}))
    exposition = (await metrics.exposition()).decode()
    for repair, count in (("data_skipped", 2), ("end_missing", 1)):
        labels = f'provider="acme",repair="{repair}"'
        assert f"modelgates_provider_repairs_total{{{labels}}} {count}.0" in exposition


def test_documentation_lists_every_repair() -> None:
    configuration = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    section = configuration.partition("\n## Repaired responses\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [
        "repair",
        *(repair.value for repair in Repair),
    ]
