"""Which model a call goes to, and calls that may go to none."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelgates_server.core.errors import GatewayError, InvalidInput, NoEndpoint, UnknownModel
from modelgates_server.providers.http import HttpProvider, ProviderSettings
from modelgates_server.service.ports import Store
from tests.gateway import (
    ACME,
    ACME_PRICE,
    CallHarness,
    asking,
    metered,
    new_caller,
    sandbox_catalog,
)
from tests.support import ManualClock
from tests.upstream import Upstream

replace = msgspec.structs.replace
OTHER = replace(ACME, id="other/small", endpoint=replace(ACME.endpoint, upstream_model="small"))


@pytest.fixture
async def harness(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[CallHarness]:
    acme = HttpProvider(ProviderSettings(name="acme", base_url=upstream.url, api_key=None), clock)
    listing = replace(ACME, parameters=("temperature",))
    catalog = sandbox_catalog([listing, OTHER], [ACME_PRICE])
    built = metered(store, clock, tmp_path / "spool", catalog=catalog, providers={"acme": acme})
    yield CallHarness(store, clock, built, await new_caller(store))
    await acme.close()


async def test_chosen_model_is_called_reported_and_charged(
    harness: CallHarness, upstream: Upstream
) -> None:
    request = asking(model="nobody/knows", models=["nor/this", "other/small", "acme/large"])
    told, generation = await harness.answer(request)
    (sent,) = upstream.asked
    assert sent["model"] == "small"
    assert not {"models", "provider"} & sent.keys()
    assert told["model"] == generation.model == "other/small"
    assert generation.cost_pico == (await harness.account()).usage_pico > 0


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        ({"model": "nobody/knows", "models": ["nor/this"]}, UnknownModel),
        ({"provider": {"only": ["openai"]}}, NoEndpoint),
        ({"provider": {"ignore": ["Acme"]}}, NoEndpoint),
        ({"provider": {"max_price": {"completion": 9_999}}}, NoEndpoint),
        ({"provider": {"require_parameters": True}, "seed": 7}, NoEndpoint),
        ({"provider": {"zdr": True}}, InvalidInput),
        ({"provider": {"data_collection": "deny"}}, InvalidInput),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}]},
            InvalidInput,
        ),
    ],
)
async def test_call_without_an_allowed_provider_places_no_hold_and_reaches_no_provider(
    harness: CallHarness, upstream: Upstream, members: dict[str, Any], refusal: type[GatewayError]
) -> None:
    with pytest.raises(refusal):
        await harness.begin(asking(**{"model": "acme/large", **members}))
    assert upstream.asked == []
    account = await harness.account()
    assert (account.held_pico, account.usage_pico) == (0, 0)


async def test_demand_that_is_met_is_not_sent_to_the_provider(
    harness: CallHarness, upstream: Upstream
) -> None:
    provider = {"only": ["ACME"], "max_price": {"prompt": 100, "completion": "10000"}}
    await harness.answer(asking(provider=provider, route="fallback", transforms=[]))
    (sent,) = upstream.asked
    assert not {"provider", "route", "transforms"} & sent.keys()
