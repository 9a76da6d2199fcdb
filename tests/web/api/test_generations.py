"""GET /generation: all fields that clients require, exact receipts, and only its own account."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openrouter import components

from modelgates_server.core.keys import key_hash
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Attempt, Generation, Origin
from modelgates_server.core.pricing.catalog import Api as Inference
from modelgates_server.core.pricing.prices import ReceiptLine
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.store.sqlite.archiving import archive
from modelgates_server.store.sqlite.store import SqliteStore
from modelgates_server.web.api.key_responses import workspace_of
from tests.server import Customer
from tests.support import (
    DOLLAR,
    T0_MS,
    capture,
    capture_late,
    expire,
    finished,
    open_generation,
    place,
    void,
    voided_generation,
)
from tests.web.harness import Api

GENERATION = "/api/v1/generation"
ID = "gen-1795439520-0Rx7VofcMnIFxmsr8vrnE"
ORIGIN = Origin(
    request_id="req-7",
    user="customer-17",
    session_id="session-1",
    title="My app",
    referer="https://app.example",
    user_agent="test/1",
)
ATTEMPT = Attempt(
    provider="maker",
    upstream_model="model-1",
    started_at_ms=T0_MS + 3,
    first_byte_at_ms=T0_MS + 423,
    ended_at_ms=T0_MS + 8_003,
    status=200,
    upstream_id="chatcmpl-1",
)
REFUSED = Attempt(
    provider="maker",
    upstream_model="model-1",
    started_at_ms=T0_MS + 1,
    first_byte_at_ms=T0_MS + 2,
    ended_at_ms=T0_MS + 2,
    status=429,
    error="provider_rate_limited",
)
COMMON = {"provider_name": "maker", "endpoint_id": "maker:model-1", "is_byok": False}
NOTHING = (
    *("cache_discount", "upstream_inference_cost", "moderation_latency", "service_tier"),
    *("num_media_prompt", "num_input_audio_prompt", "num_media_completion"),
    *("num_search_results", "num_fetches", "web_search_engine", "app_id", "preset_id"),
    *("router", "response_cache_source_id"),
)
USAGE = Usage(input=700, cache_read=500, output=300, reasoning=400, output_image=7)


async def run(api: Api, generation: Generation) -> None:
    """Record a running call with its hold."""
    placed = place(
        generation.account_id, generation.key_hash, generation.id, generation.hold_pico, T0_MS
    )
    start = msgspec.structs.replace(
        generation, state=HoldState.OPEN, ended_at_ms=None, cost_pico=0, overrun_pico=0
    )
    await api.store.execute(placed, start)


async def charge(api: Api, generation: Generation) -> None:
    """Record a call and charge it."""
    await run(api, generation)
    used_pico = generation.cost_pico + generation.overrun_pico
    end = capture(
        generation.account_id,
        generation.key_hash,
        generation.id,
        used_pico,
        generation.ended_at_ms or 0,
    )
    await api.store.execute(end, generation)


def call_of(acme: Customer, amount_pico: int = DOLLAR, **members: Any) -> Generation:
    key = key_hash(acme.inference)
    return open_generation(acme.account_id, key, ID, amount_pico, **{"origin": ORIGIN, **members})


def line(what: str, quantity: int, rate: str, amount: str) -> dict[str, Any]:
    return {"what": what, "quantity": quantity, "rate": rate, "amount": amount}


async def shown(api: Api, key: str) -> dict[str, Any]:
    answer = await api.call("GET", GENERATION, key, params={"id": ID})
    assert answer.status_code == 200
    components.GenerationResponse.model_validate(answer.json())
    data: dict[str, Any] = answer.json()["data"]
    return data


async def test_archived_generation_is_gone_and_the_archive_is_named(
    api: Api, acme: Customer, tmp_path: Path
) -> None:
    await charge(api, finished(call_of(acme), USAGE, T0_MS + 8_005))
    before = (await api.call("GET", "/api/v1/credits", acme.management)).json()
    assert isinstance(api.store, SqliteStore)
    archive(api.store._path, tmp_path, "2026-11-24", T0_MS + 3 * MS_PER_DAY, lambda _: None)
    gone = await api.call("GET", GENERATION, acme.inference, params={"id": ID})
    assert gone.status_code == 410
    assert gone.json()["error"] == {
        "code": 410,
        "message": f"The record of generation `{ID}` is in the archive "
        "`generations-before-2026-11-24`. Ask the operator of this server for it.",
    }
    assert (await api.call("GET", "/api/v1/credits", acme.management)).json() == before


async def test_service_tier_is_the_one_that_the_provider_reported(api: Api, acme: Customer) -> None:
    generation = call_of(acme, requested_service_tier="auto", service_tier="priority")
    await charge(api, finished(generation, USAGE, T0_MS + 8_005))
    assert (await shown(api, acme.inference))["service_tier"] == "priority"


async def test_generation_has_all_fields_that_old_and_new_clients_require(
    api: Api, acme: Customer
) -> None:
    generation = call_of(
        acme, streamed=True, attempts=(ATTEMPT,), finish_reason="stop", cancelled=True
    )
    await charge(api, finished(generation, USAGE, T0_MS + 8_005))
    data = await shown(api, acme.inference)
    cost = 0.000000002614
    assert data == {
        "id": ID,
        "upstream_id": "chatcmpl-1",
        "request_id": "req-7",
        "session_id": "session-1",
        "created_at": "2026-11-23T13:12:00.000Z",
        "model": "maker/model-1",
        "api_type": "completions",
        "provider_name": "maker",
        "provider_responses": [{"status": 200, "id": "chatcmpl-1", "latency": 420, **COMMON}],
        "streamed": True,
        "cancelled": True,
        "latency": 423,
        "generation_time": 8_000,
        "finish_reason": "stop",
        "native_finish_reason": "stop",
        "total_cost": cost,
        "usage": cost,
        "tokens_prompt": 1200,
        "tokens_completion": 707,
        "native_tokens_prompt": 1200,
        "native_tokens_completion": 707,
        "native_tokens_completion_images": 7,
        "native_tokens_reasoning": 400,
        "native_tokens_cached": 500,
        "external_user": "customer-17",
        "origin": "https://app.example",
        "http_referer": "https://app.example",
        "user_agent": "test/1",
        "workspace_id": workspace_of(acme.account_id),
        "is_byok": False,
        "data_region": "global",
        "state": "captured",
        "error": None,
        "hold": 1,
        "estimated": False,
        "price_id": "price-1",
        "lines": [
            line("input", 700, "0.000000000001", "0.0000000007"),
            line("cache_read", 500, "0.000000000001", "0.0000000005"),
            line("output", 300, "0.000000000002", "0.0000000006"),
            line("reasoning", 400, "0.000000000002", "0.0000000008"),
            line("output_image", 7, "0.000000000002", "0.000000000014"),
        ],
        "omitted": [],
        **dict.fromkeys(NOTHING),
    }


async def test_amounts_are_exact(api: Api, acme: Customer) -> None:
    generation = call_of(acme, 10**13)
    await charge(api, finished(generation, Usage(input=9_007_199_254_741), T0_MS))
    answer = await api.call("GET", GENERATION, acme.inference, params={"id": ID})
    assert '"total_cost":9.007199254741,"usage":9.007199254741,' in answer.text
    assert '"hold":10,' in answer.text


async def test_receipt_lines_add_up_to_the_usage_of_the_account(api: Api, acme: Customer) -> None:
    charged = finished(call_of(acme, 300), Usage(input=200, output=300), T0_MS)
    rounded = ReceiptLine("rounding", 1, Decimal("-5e-13"), Decimal("-5e-13"))
    half = ReceiptLine("request", 1, Decimal("5e-13"), Decimal("5e-13"))
    charged = msgspec.structs.replace(charged, lines=(*charged.lines, half, rounded))
    await charge(api, charged)
    data = await shown(api, acme.viewer)
    assert [line["what"] for line in data["lines"]] == [
        *("input", "output", "overrun", "request", "rounding")
    ]
    assert [line["amount"] for line in data["lines"]][-3:] == [
        *("-0.0000000005", "0.0000000000005", "-0.0000000000005")
    ]
    total = sum(Decimal(line["amount"]) for line in data["lines"])
    credits_answer = await api.call("GET", "/api/v1/credits", acme.viewer)
    assert total == Decimal("0.0000000003")
    assert credits_answer.text.endswith('"total_usage":0.0000000003}}')
    assert data["total_cost"] == 0.0000000003


async def test_running_call_has_no_cost_despite_its_checkpoint(api: Api, acme: Customer) -> None:
    seen = finished(call_of(acme, attempts=(ATTEMPT,)), USAGE)
    checkpoint = msgspec.structs.replace(seen, state=HoldState.OPEN, ended_at_ms=None)
    placed = place(acme.account_id, checkpoint.key_hash, ID, DOLLAR)
    await api.store.execute(placed, checkpoint)
    data = await shown(api, acme.inference)
    assert (data["state"], data["total_cost"], data["usage"], data["lines"]) == ("open", 0, 0, [])
    assert (data["tokens_prompt"], data["native_tokens_completion"]) == (None, None)
    assert data["hold"] == 1


async def test_failed_call_has_its_attempts_and_no_cost(api: Api, acme: Customer) -> None:
    silent = Attempt(provider="maker", upstream_model="model-1", started_at_ms=T0_MS, error="x")
    failed = call_of(
        acme, attempts=(REFUSED, silent), origin=Origin(request_id="r"), error="provider_refused"
    )
    call = voided_generation(failed)
    await run(api, call)
    await api.store.execute(void(acme.account_id, call.key_hash, ID), call)
    data = await shown(api, acme.inference)
    assert (data["state"], data["total_cost"], data["lines"]) == ("voided", 0, [])
    assert data["error"] == "provider_refused"
    assert (data["latency"], data["generation_time"], data["upstream_id"]) == (None, None, None)
    assert (data["origin"], data["http_referer"], data["external_user"]) == ("", None, None)
    # A TypeScript client would reject null in place of the omitted fields.
    assert data["provider_responses"] == [
        {"status": 429, "latency": 1, **COMMON},
        {"status": None, **COMMON},
    ]


async def test_times_are_those_of_the_successful_attempt(api: Api, acme: Customer) -> None:
    await charge(api, finished(call_of(acme, attempts=(REFUSED, ATTEMPT)), USAGE))
    data = await shown(api, acme.inference)
    assert (data["upstream_id"], data["latency"], data["generation_time"]) == (
        *("chatcmpl-1", 423, 8_000),
    )
    assert [response["status"] for response in data["provider_responses"]] == [429, 200]


async def test_lost_call_has_the_cost_of_its_checkpoint(api: Api, acme: Customer) -> None:
    usage = Usage(input=10, output=20, estimated=True)
    lost = finished(call_of(acme), usage, T0_MS + 600_000, HoldState.EXPIRED)
    await run(api, lost)
    end = expire(acme.account_id, lost.key_hash, ID, T0_MS + 600_000, lost.cost_pico)
    await api.store.execute(end, lost)
    data = await shown(api, acme.inference)
    assert (data["state"], data["total_cost"], data["estimated"]) == ("expired", 5e-11, True)


async def test_receipt_of_late_usage_adds_up_to_the_total_cost(api: Api, acme: Customer) -> None:
    lost = finished(call_of(acme), Usage(input=10), T0_MS + 600_000, HoldState.EXPIRED)
    await run(api, lost)
    end = expire(acme.account_id, lost.key_hash, ID, T0_MS + 600_000, lost.cost_pico)
    await api.store.execute(end, lost)
    await api.store.execute(capture_late(acme.account_id, lost.key_hash, ID, 25))
    data = await shown(api, acme.inference)
    assert (data["state"], data["total_cost"], data["usage"]) == ("expired", 3.5e-11, 3.5e-11)
    assert data["lines"] == [
        line("input", 10, "0.000000000001", "0.00000000001"),
        line("late_usage", 1, "0.000000000025", "0.000000000025"),
    ]


@pytest.mark.parametrize(
    ("api_called", "api_type"),
    [
        (Inference.CHAT, "completions"),
        (Inference.COMPLETIONS, "completions"),
        (Inference.EMBEDDINGS, "embeddings"),
    ],
)
async def test_api_type_is_one_that_clients_know(
    api_called: Inference, api_type: str, api: Api, acme: Customer
) -> None:
    await charge(api, finished(call_of(acme, api=api_called), Usage(input=1)))
    assert (await shown(api, acme.inference))["api_type"] == api_type


async def test_times_are_not_negative_when_the_clock_was_set_back(api: Api, acme: Customer) -> None:
    early = msgspec.structs.replace(ATTEMPT, first_byte_at_ms=T0_MS - 1, ended_at_ms=T0_MS - 1)
    await charge(api, finished(call_of(acme, attempts=(early,)), USAGE))
    data = await shown(api, acme.inference)
    assert (data["latency"], data["generation_time"]) == (0, 0)
    assert data["provider_responses"][0]["latency"] == 0


async def test_generation_is_shown_only_to_keys_of_its_account(
    api: Api, acme: Customer, other: Customer
) -> None:
    await charge(api, finished(call_of(acme), USAGE))
    for key in (acme.inference, acme.management, acme.viewer):
        assert (await shown(api, key))["id"] == ID
    for key in (other.inference, other.management, other.viewer):
        answer = await api.call("GET", GENERATION, key, params={"id": ID})
        assert answer.status_code == 404
        message = (
            f"Generation not found: `{ID}`. Check the id, and use a key of the account that made "
            "the call."
        )
        assert answer.json() == {
            "error": {"message": message, "code": 404},
            "user_id": other.account_id,
        }


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 400),
        ({"id": ""}, 400),
        ({"id": "g" * 256}, 400),
        ({"id": "gen-\n"}, 400),
        ({"id": "gen-\x00"}, 400),
        ({"id": "g" * 255}, 404),
        ({"id": "gen-1' or '1'='1"}, 404),
    ],
)
async def test_invalid_or_unknown_id_is_refused(
    params: dict[str, str], status: int, api: Api, acme: Customer
) -> None:
    answer = await api.call("GET", GENERATION, acme.inference, params=params)
    assert answer.status_code == status
