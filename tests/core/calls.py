"""Calls for tests of the pure core: prices, models and requests, and strategies for them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import strategies as st

from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import Account
from modelgates_server.core.metering.generations import Generation, Origin
from modelgates_server.core.metering.meter import Ending, FinishReason, Output, ResponseMeter
from modelgates_server.core.metering.preferences import Preferences
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.metering.sizing import HoldQuote, PricedRequest, quote_hold
from modelgates_server.core.money import Pico
from modelgates_server.core.pricing.catalog import Api, CapParameter, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, Tier, read_rate
from modelgates_server.core.pricing.usage import Meter, Usage, UsageReading
from tests.support import DOLLAR, T0_MS, new_key

ACCOUNT = "user_" + "0" * 22
MODEL = "acme/m1"
UPSTREAM_MODEL = "m1-large"
_KEY = new_key(ACCOUNT)[1]
KEY_HASH = _KEY.hash

replace = msgspec.structs.replace


def price(*tiers: tuple[int, Mapping[str, str]], **service_tiers: Mapping[str, str]) -> Price:
    read = [
        Tier(above, {Meter(meter): read_rate(rate) for meter, rate in each.items()}, service_tier)
        for above, each, service_tier in [
            *((above, each, None) for above, each in tiers),
            *((0, each, name) for name, each in service_tiers.items()),
        ]
    ]
    return Price("price_1", "acme:" + UPSTREAM_MODEL, 0, "test", tuple(read))


def flat(**each: str) -> Price:
    """A price with one tier. Input and output are free unless a rate is given."""
    return price((0, {"input": "0", "output": "0", **each}))


def model(**members: Any) -> Model:
    """A model with a context of 1000 tokens and an output of at most 100."""
    defaults = {
        "name": "M1",
        "endpoint": endpoint(),
        "context_tokens": 1000,
        "output_tokens": 100,
        "created_at_s": 0,
        "apis": frozenset(Api),
    }
    return Model(id=MODEL, **{**defaults, **members})


def endpoint(cap_parameter: CapParameter = CapParameter.MAX_TOKENS) -> Endpoint:
    return Endpoint(
        id=f"acme:{UPSTREAM_MODEL}",
        provider="acme",
        upstream_model=UPSTREAM_MODEL,
        cap_parameter=cap_parameter,
    )


def account(credits_pico: int = 10 * DOLLAR, **members: Any) -> Account:
    return Account(
        id=ACCOUNT,
        name="test",
        created_at_ms=T0_MS,
        credits_pico=credits_pico,
        **{"min_balance_pico": 0, **members},
    )


def key(**members: Any) -> Key:
    return replace(_KEY, **members)


def request(api: Api = Api.CHAT, **members: Any) -> InferenceRequest:
    """A request in no wire format: one message of a hundred bytes."""
    has_output = api is not Api.EMBEDDINGS
    defaults: dict[str, Any] = {
        "models": (MODEL,),
        "preferences": Preferences(),
        "stream": False,
        "has_output": has_output,
        "choices": 1,
        "cap_tokens": None,
        "text_bytes": 100,
        "escape_bytes": 0,
        "echo_bytes": 0,
        "texts": 1,
        "messages": int(api is Api.CHAT),
        "media": 0,
        "sounds": 0,
        "parts": {},
        "returned_parts": frozenset(),
        "has_files": False,
        "has_tools": False,
        "unlike_text": frozenset(),
        "parameters": {},
        "asks_for_caches": False,
        "service_tier": None,
        "user": None,
        "session_id": None,
        "wire": {},
    }
    return InferenceRequest(api=api, **{**defaults, **members})


class SampleMeter(ResponseMeter, kw_only=True):
    """A meter without a wire format. The test sets the report."""

    usage_reading: UsageReading = UsageReading()
    report: dict[str, Any] | None = None
    cost_pico: Pico | None = None

    def reading(self) -> UsageReading:
        return self.usage_reading

    @property
    def reported(self) -> dict[str, Any] | None:
        return self.report

    @property
    def reported_cost_pico(self) -> Pico | None:
        return self.cost_pico


def meter(
    text_bytes: int = 0,
    usage: Usage | None = None,
    reason: FinishReason | None = FinishReason.STOP,
    **members: Any,
) -> SampleMeter:
    """The meter of a response with text that has ended. A usage is trusted on both sides."""
    reading = UsageReading(usage=usage, trusted_input=bool(usage), trusted_output=bool(usage))
    endings = {} if reason is None else {0: Ending(reason.value, reason)}
    defaults = {
        "output": Output(text_bytes=text_bytes),
        "usage_reading": reading,
        "text_bytes_at_usage": text_bytes if usage else 0,
        "choices": {0},
        "endings": endings,
    }
    return SampleMeter(**{**defaults, **members})


def priced(
    of: Price, request: InferenceRequest, *, at: Model | None = None, markup_bp: int = 0
) -> PricedRequest:
    return PricedRequest(at or model(), of, request, markup_bp)


def open_generation(quote: HoldQuote, priced: PricedRequest, **members: Any) -> Generation:
    """The generation of a call whose hold is placed."""
    defaults = {
        "id": "gen-1",
        "account_id": ACCOUNT,
        "key_hash": _KEY.hash,
        "api": priced.request.api,
        "model": priced.model.id,
        "endpoint_id": priced.price.endpoint_id,
        "provider": "acme",
        "price_id": priced.price.id,
        "markup_bp": priced.markup_bp,
        "origin": Origin(request_id="req-1"),
        "created_at_ms": T0_MS,
        "hold_pico": quote.amount_pico,
        "prompt_tokens_max": quote.bounds.input_tokens,
        "completion_tokens_max": quote.bounds.output_tokens,
        "streamed": priced.request.stream,
        "requested_service_tier": priced.request.service_tier,
    }
    return Generation(**{**defaults, **members})


def held(priced: PricedRequest) -> Generation:
    """The generation of a call by an account with plenty of credits."""
    return open_generation(
        quote_hold(priced, account=account(10**18), key=key(), at_ms=T0_MS), priced
    )


# In picos: up to a tenth of a cent for a token. The last rates are far below one pico.
rates = st.one_of(
    st.integers(1, 10**9).map(lambda pico: Decimal(pico).scaleb(-12)),
    st.integers(1, 10**9).map(lambda pico: Decimal(pico).scaleb(-12)),
    st.integers(0, 10**12).map(lambda fraction: Decimal(fraction).scaleb(-24)),
).map(lambda rate: read_rate(f"{rate:f}"))
markups = st.sampled_from([0, 550, 1, -2500, 1_000_000])


@st.composite
def paid(draw: st.DrawFn) -> Price:
    """Up to three tiers for up to three service tiers, with any additional classes."""
    must = {Meter.INPUT: rates, Meter.OUTPUT: rates}
    may = {meter: rates for meter in Meter if meter not in must}
    # In every tier or in none, as is required for audio.
    optional = {meter: may[meter] for meter in draw(st.sets(st.sampled_from(sorted(may))))}
    tiers = [
        Tier(above, draw(st.fixed_dictionaries({**must, **optional})), service_tier)
        for service_tier in (None, *draw(st.sets(st.sampled_from(["flex", "priority"]))))
        for above in [0, *sorted(draw(st.sets(st.integers(1, 3000), max_size=2)))]
    ]
    return Price("price_1", f"acme:{UPSTREAM_MODEL}", 0, "test", tuple(tiers))


prices = st.one_of(paid(), paid(), paid(), st.just(flat()))

models = st.builds(
    model,
    endpoint=st.sampled_from(CapParameter).map(endpoint),
    context_tokens=st.integers(1, 10_000),
    output_tokens=st.integers(1, 10_000),
    media_tokens=st.none() | st.integers(0, 2000),
)

COUNT = st.integers(0, 10**6)
