"""Service tiers on their way: what leaves for the provider, what is charged, who learns of it."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Endpoint
from modelgates_server.core.pricing.prices import Tier
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.providers.http import HttpProvider, ProviderSettings
from modelgates_server.service.ports import Store
from tests.gateway import (
    ACME,
    ACME_PRICE,
    READ_PICO,
    TIMEOUTS,
    WRITTEN_PICO,
    CallHarness,
    asking,
    metered,
    new_caller,
    sandbox_catalog,
)
from tests.support import ManualClock
from tests.upstream import DONE, Upstream, UpstreamReply, answer, chunk, plain, usage, used

replace = msgspec.structs.replace
TIERED = replace(
    ACME_PRICE,
    id="price_acme_tiers",
    endpoint_id="acme:tiered",
    tiers=(
        *ACME_PRICE.tiers,
        Tier(0, {Meter.INPUT: Decimal("0.0002"), Meter.OUTPUT: Decimal("0.02")}, "priority"),
    ),
)
GROQ = Endpoint(
    id="acme:groq", provider="acme", upstream_model="groq", standard_service_tier="on_demand"
)
MODELS = [
    ACME,
    replace(
        ACME,
        id="acme/tiered",
        endpoint=replace(ACME.endpoint, id="acme:tiered", upstream_model="tiered"),
    ),
    replace(ACME, id="acme/groq", endpoint=GROQ),
]
PRICES = [ACME_PRICE, TIERED, replace(ACME_PRICE, id="price_groq", endpoint_id="acme:groq")]
COST_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO
WARNING = "service tier not requested or without a price: charged as standard"


@pytest.fixture
async def harness(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[CallHarness]:
    acme = HttpProvider(ProviderSettings(name="acme", base_url=upstream.url, api_key=None), clock)
    built = metered(
        store,
        clock,
        tmp_path / "spool",
        catalog=sandbox_catalog(MODELS, PRICES),
        providers={"acme": acme},
        timeouts=TIMEOUTS,
    )
    yield CallHarness(store, clock, built, await new_caller(store))
    await acme.close()


def counted(harness: CallHarness, endpoint: str, service_tier: str) -> float | None:
    return harness.metered.metrics._registry.get_sample_value(
        "modelgates_service_tier_unpriced_total",
        {"endpoint": endpoint, "service_tier": service_tier},
    )


def served(upstream: Upstream, service_tier: Any) -> None:
    upstream.say = lambda _: plain(answer("hi", usage(3, 5), service_tier=service_tier))


@pytest.mark.parametrize(
    ("model", "members", "sent"),
    [
        ("acme/large", {"service_tier": "auto"}, {"service_tier": "default"}),
        ("acme/groq", {"service_tier": "auto"}, {"service_tier": "on_demand"}),
        ("acme/tiered", {"service_tier": "auto"}, {"service_tier": "auto"}),
        ("acme/tiered", {"service_tier": "priority"}, {"service_tier": "priority"}),
        ("acme/large", {"service_tier": "default"}, {"service_tier": "default"}),
        ("acme/large", {"service_tier": "on_demand"}, {"service_tier": "default"}),
        ("acme/tiered", {"service_tier": "standard"}, {"service_tier": "default"}),
        ("acme/groq", {"service_tier": "default"}, {"service_tier": "on_demand"}),
        ("acme/large", {"service_tier": None}, {"service_tier": None}),
        ("acme/large", {}, {}),
        ("acme/tiered", {}, {}),
    ],
)
async def test_provider_is_sent_its_own_word_and_no_tier_without_a_price(
    harness: CallHarness,
    upstream: Upstream,
    model: str,
    members: dict[str, Any],
    sent: dict[str, Any],
) -> None:
    await harness.answer(asking(model=model, **members))
    [body] = upstream.asked
    assert {name: value for name, value in body.items() if name == "service_tier"} == sent


async def test_tier_without_a_price_is_refused_before_anything_is_sent(
    harness: CallHarness, upstream: Upstream
) -> None:
    with pytest.raises(InvalidInput, match="'flex' has no price here"):
        await harness.begin(asking(service_tier="flex"))
    assert upstream.asked == []
    assert (await harness.account()).held_pico == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_served_tier_is_charged_and_stored(
    harness: CallHarness, upstream: Upstream, stream: bool
) -> None:
    chunks = [chunk("a", service_tier="auto"), chunk(finish="stop", service_tier="priority")]
    served(upstream, "priority")
    request = asking(model="acme/tiered", stream=stream)
    with capture_logs() as logs:
        if stream:
            upstream.say = lambda _: UpstreamReply([*chunks, used(usage(3, 5)), DONE])
            generation = await harness.stream(request)
        else:
            _, generation = await harness.answer(request)
    assert generation.cost_pico == 2 * COST_PICO
    assert (generation.service_tier, generation.charged_service_tier) == ("priority", "priority")
    assert counted(harness, "acme:tiered", "priority") is None
    assert WARNING not in [line["event"] for line in logs]


@pytest.mark.parametrize(
    ("word", "label"), [("priority", "priority"), ("Flex", "flex"), ("turbo-9000", "other")]
)
async def test_served_tier_without_a_price_is_charged_as_standard_counted_and_logged(
    harness: CallHarness, upstream: Upstream, word: str, label: str
) -> None:
    served(upstream, word)
    with capture_logs() as logs:
        body, generation = await harness.answer(asking(service_tier="auto"))
    assert generation.cost_pico == COST_PICO
    assert generation.service_tier == word
    assert body["service_tier"] == word
    assert counted(harness, "acme:large", label) == 1
    [line] = [line for line in logs if line["event"] == WARNING]
    assert (line["id"], line["requested"], line["served"]) == (generation.id, "auto", word)


@pytest.mark.parametrize("word", ["default", "standard", "on_demand", None, "", "auto", 7])
async def test_standard_tier_by_another_name_is_not_reported_as_different(
    harness: CallHarness, upstream: Upstream, word: Any
) -> None:
    served(upstream, word)
    with capture_logs() as logs:
        _, generation = await harness.answer(asking())
    assert generation.cost_pico == COST_PICO
    assert WARNING not in [line["event"] for line in logs]
