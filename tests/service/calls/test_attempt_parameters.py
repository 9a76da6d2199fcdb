"""Providers with their own request parameters, from the request to the charge."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.providers.http import HttpProvider, ProviderSettings
from modelgates_server.service.ports import Store
from tests.gateway import (
    ACME,
    ACME_PRICE,
    TIMEOUTS,
    CallHarness,
    asking,
    metered,
    new_caller,
    sandbox_catalog,
)
from tests.ledger_checks import check_ledger
from tests.support import ManualClock
from tests.upstream import DONE, Upstream, UpstreamReply, chunk, plain, story

replace = msgspec.structs.replace
WITHOUT_OPTIONS = replace(
    ACME, id="acme/plain", endpoint=replace(ACME.endpoint, id="acme:plain", stream_options=False)
)
ALWAYS_THINKING = replace(
    ACME, id="acme/sonar", endpoint=replace(ACME.endpoint, id="acme:sonar", profile="perplexity")
)
PRICES = [replace(ACME_PRICE, id=name, endpoint_id=f"acme:{name}") for name in ("plain", "sonar")]


@pytest.fixture
async def harness(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[CallHarness]:
    acme = HttpProvider(ProviderSettings(name="acme", base_url=upstream.url, api_key=None), clock)
    built = metered(
        store,
        clock,
        tmp_path / "spool",
        catalog=sandbox_catalog([ACME, WITHOUT_OPTIONS, ALWAYS_THINKING], [ACME_PRICE, *PRICES]),
        providers={"acme": acme},
        timeouts=TIMEOUTS,
    )
    yield CallHarness(store, clock, built, await new_caller(store))
    await acme.close()
    await check_ledger(store)


async def test_stream_without_stream_options_is_charged_by_its_usage_or_an_estimate(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = lambda _: UpstreamReply(story())
    options = {"include_usage": True}
    request = asking(model="acme/plain", stream=True, stream_options=options)
    reported = await harness.stream(request)
    assert reported.usage is not None
    assert not reported.usage.estimated
    upstream.say = lambda _: UpstreamReply([chunk("hello"), chunk(finish="stop"), DONE])
    estimated = await harness.stream(request)
    assert estimated.usage is not None
    assert estimated.usage.estimated
    assert 0 < estimated.cost_pico <= estimated.hold_pico
    assert not any("stream_options" in body for body in upstream.asked)


async def test_reasoning_that_cannot_be_turned_off_is_rejected_before_the_hold(
    harness: CallHarness, upstream: Upstream
) -> None:
    request = asking(model="acme/sonar", reasoning={"enabled": False})
    with pytest.raises(InvalidInput, match="Perplexity has no parameter for it"):
        await harness.begin(request)
    assert upstream.asked == []
    account = await harness.account()
    assert (account.usage_pico, account.held_pico) == (0, 0)


async def test_refusal_of_one_endpoint_is_not_held_against_another(
    harness: CallHarness, upstream: Upstream
) -> None:
    def say(body: dict[str, object]) -> UpstreamReply:
        if "max_tokens" in body:
            return plain({"error": {"message": "Unknown parameter: 'max_tokens'."}}, 400)
        return UpstreamReply(story())

    upstream.say = say
    for model, names in (("acme/large", 2), ("acme/large", 1), ("acme/sonar", 2)):
        upstream.asked.clear()
        generation = await harness.stream(asking(model=model, stream=True))
        assert generation.state is HoldState.CAPTURED
        assert len(upstream.asked) == len(generation.attempts) == names
