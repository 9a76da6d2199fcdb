"""Placing and ending the holds of calls: races, limits, and a database that goes away."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from modelgates_server.core.errors import (
    GatewayError,
    InsufficientCredits,
    KeyLimitExceeded,
    MaxCostExceeded,
    PriceNotFound,
    UnknownModel,
)
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.core.pricing.prices import Tier
from modelgates_server.providers.http import HttpProvider, ProviderSettings
from modelgates_server.service.calls.call import Call, CallService
from modelgates_server.service.ports import Store
from modelgates_server.service.verify import verify
from tests.gateway import (
    ACME,
    ACME_PRICE,
    READ_PICO,
    WRITTEN_PICO,
    CallHarness,
    asking,
    begin,
    key_of,
    metered,
    new_caller,
    sandbox_catalog,
    take,
)
from tests.support import DOLLAR, ManualClock
from tests.upstream import Gate, Upstream, UpstreamReply, answer, plain, usage

TRUE_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO

pytestmark = pytest.mark.usefixtures("verified_ledger")

FREE = msgspec.structs.replace(
    ACME_PRICE,
    id="price_free",
    tiers=(Tier(0, dict.fromkeys(ACME_PRICE.tiers[0].rates, Decimal(0))),),
)


@asynccontextmanager
async def serving(
    store: Store, clock: ManualClock, folder: Path, upstream: Upstream, catalog: Catalog
) -> AsyncIterator[CallService]:
    """The service with another catalog."""
    acme = HttpProvider(ProviderSettings(name="acme", base_url=upstream.url, api_key=None), clock)
    yield metered(store, clock, folder, catalog=catalog, providers={"acme": acme}).calls
    await acme.close()


@pytest.mark.ledger(holds_open=True)
async def test_concurrent_calls_never_hold_more_than_the_balance(
    store: Store, harness: CallHarness, upstream: Upstream
) -> None:
    request = asking(max_tokens=10)
    one_pico = (await harness.begin(request)).generation.hold_pico
    caller = await new_caller(store, 7 * one_pico)
    upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
    gate = Gate([], list(plain(answer("hi", usage(3, 5))).pieces))
    calls = await asyncio.gather(
        *(begin(harness.calls, caller, request) for _ in range(50)), return_exceptions=True
    )
    begun = [call for call in calls if isinstance(call, Call)]
    refused = [call for call in calls if isinstance(call, InsufficientCredits)]
    assert (len(begun), len(refused)) == (7, 43)
    assert {refusal.reason for refusal in refused} == {"in_flight_budget_exhausted"}
    assert all(refusal.retry_after_s for refusal in refused)
    work = asyncio.gather(*(take(call) for call in begun))
    gate.go.set()
    await work
    assert len(upstream.asked) == 7
    account = await store.account(caller.account_id)
    assert account is not None
    assert (account.usage_pico, account.held_pico) == (7 * TRUE_PICO, 0)


@pytest.mark.ledger(holds_open=True)
async def test_concurrent_first_calls_of_a_new_key_stay_within_its_limit(
    store: Store, harness: CallHarness
) -> None:
    request = asking(max_tokens=10)
    one_pico = (await harness.begin(request)).generation.hold_pico
    caller = await key_of(store, harness.caller.account_id, limit_pico=3 * one_pico)
    calls = await asyncio.gather(
        *(begin(harness.calls, caller, request) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(call, Call) for call in calls) == 3
    assert sum(isinstance(call, KeyLimitExceeded) for call in calls) == 17


@pytest.mark.ledger(holds_open=True)
async def test_call_without_a_limit_holds_all_credits_and_the_next_one_waits(
    store: Store, harness: CallHarness
) -> None:
    caller = await new_caller(store, DOLLAR // 2)
    call = await begin(harness.calls, caller, asking())
    assert isinstance(call, Call)
    tokens = call.generation.completion_tokens_max
    assert 1 < tokens < ACME.output_tokens, "the cap is what the balance affords"
    assert call.generation.hold_pico <= DOLLAR // 2
    with pytest.raises(InsufficientCredits) as refused:
        await begin(harness.calls, caller, asking())
    assert refused.value.reason == "in_flight_budget_exhausted"


async def test_cap_sent_upstream_is_the_cap_of_the_hold(
    store: Store, harness: CallHarness, upstream: Upstream
) -> None:
    caller = await new_caller(store, DOLLAR // 2)
    call = await begin(harness.calls, caller, asking())
    assert isinstance(call, Call)
    await take(call)
    assert upstream.asked[0]["max_tokens"] == call.generation.completion_tokens_max


REFUSED: dict[str, tuple[object, type[GatewayError]]] = {
    "an unknown model": (asking(model="acme/unknown"), UnknownModel),
    "a model of another API": (asking(model="sandbox/embed"), UnknownModel),
    "more than its own limit": (asking(max_cost_pico=1), MaxCostExceeded),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refused_request_places_no_hold_and_reaches_no_provider(
    harness: CallHarness, upstream: Upstream, case: str
) -> None:
    request, error = REFUSED[case]
    with pytest.raises(error):
        await harness.begin(request)  # type: ignore[arg-type]
    account = await harness.account()
    assert (account.held_pico, account.usage_pico) == (0, 0)
    assert upstream.asked == []


@pytest.mark.parametrize("prices", ["none", "one that is not in force yet"])
async def test_model_without_a_price_is_refused(
    store: Store, clock: ManualClock, tmp_path: Path, prices: str
) -> None:
    later = msgspec.structs.replace(ACME_PRICE, from_ms=clock() + 1)
    catalog = Catalog([ACME], [] if prices == "none" else [later])
    calls = metered(store, clock, tmp_path, catalog=catalog).calls
    caller = await new_caller(store)
    with pytest.raises(PriceNotFound):
        await begin(calls, caller, asking())
    assert await store.open_holds(caller.account_id, limit=1) == []


@pytest.mark.ledger(damaged=True)
async def test_account_in_debt_cannot_call_even_free_models(
    store: Store, harness: CallHarness, upstream: Upstream, sqlite_path: Path
) -> None:
    await harness.answer(asking())
    with closing(sqlite3.connect(sqlite_path)) as connection, connection:
        # As a dispute leaves it.
        connection.execute("pragma ignore_check_constraints = on")
        connection.execute("update account set credits_pico = 1")
    for catalog in (Catalog([ACME], [ACME_PRICE]), Catalog([ACME], [FREE])):
        async with serving(store, harness.clock, sqlite_path.parent, upstream, catalog) as calls:
            with pytest.raises(InsufficientCredits):
                await begin(calls, harness.caller, asking())


async def test_free_model_costs_nothing_and_needs_no_credits(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> None:
    caller = await new_caller(store, 0)
    async with serving(store, clock, tmp_path, upstream, Catalog([ACME], [FREE])) as calls:
        call = await begin(calls, caller, asking())
        assert isinstance(call, Call)
        await take(call)
    assert (call.generation.hold_pico, call.generation.cost_pico) == (0, 0)
    assert call.generation.state is HoldState.CAPTURED
    assert (await verify(store)).findings == []


async def test_repeat_of_a_free_call_gets_the_stored_response(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> None:
    caller, once = await new_caller(store, 0), asking(key="once")
    async with serving(store, clock, tmp_path, upstream, Catalog([ACME], [FREE])) as calls:
        call = await begin(calls, caller, once)
        assert isinstance(call, Call)
        await take(call)
        again = await begin(calls, caller, once)
    assert isinstance(again, StoredAnswer)
    assert again.generation_id == call.generation.id
    assert len(upstream.asked) == 1


async def test_markup_of_an_account_is_held_and_charged(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> None:
    caller = await new_caller(store)
    catalog = sandbox_catalog([ACME], [ACME_PRICE], {caller.account_id: 10_000})
    async with serving(store, clock, tmp_path, upstream, catalog) as calls:
        call = await begin(calls, caller, asking())
        assert isinstance(call, Call)
        await take(call)
    assert call.generation.cost_pico == 2 * TRUE_PICO <= call.generation.hold_pico
    assert (await verify(store)).findings == []


async def test_running_call_keeps_its_price_when_the_catalog_is_replaced(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> None:
    caller = await new_caller(store)
    dear = {meter: 3 * rate for meter, rate in ACME_PRICE.tiers[0].rates.items()}
    dearer = msgspec.structs.replace(ACME_PRICE, id="price_dearer", tiers=(Tier(0, dear),))
    async with serving(store, clock, tmp_path, upstream, Catalog([ACME], [ACME_PRICE])) as calls:
        first = await begin(calls, caller, asking())
        admission = calls._admission
        admission._served = msgspec.structs.replace(
            admission._served, catalog=Catalog([ACME], [dearer])
        )
        second = await begin(calls, caller, asking())
        assert isinstance(first, Call)
        assert isinstance(second, Call)
        await take(first)
        await take(second)
    assert (first.generation.price_id, first.generation.cost_pico) == (ACME_PRICE.id, TRUE_PICO)
    assert (second.generation.price_id, second.generation.cost_pico) == (dearer.id, 3 * TRUE_PICO)
