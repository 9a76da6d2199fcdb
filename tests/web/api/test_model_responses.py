"""A cost computed from the shown prices equals the charge, to the pico-dollar."""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.core.pricing.catalog import Endpoint, Model
from modelgates_server.core.pricing.prices import RATE_PLACES_MAX, Price, Tier, charge_for
from modelgates_server.core.pricing.usage import INPUTS, OUTPUTS, Meter, Usage
from modelgates_server.web.api.model_responses import model_response

MODEL = Model(
    id="maker/talks",
    name="Talks",
    endpoint=Endpoint(id="maker:talks", provider="maker", upstream_model="talks"),
    context_tokens=10**9,
    output_tokens=10**9,
    created_at_s=0,
)
EXACT = Context(prec=100)
# As OpenRouter documents it: usage without a rate is part of another class.
PART_OF = {
    "input_cache_read": "prompt",
    "input_cache_write": "prompt",
    "input_cache_write_1h": "input_cache_write",
    "audio": "prompt",
    "image_token": "prompt",
    "internal_reasoning": "completion",
    "audio_output": "completion",
    "image_output": "completion",
}
CLASSES = {
    "input": "prompt",
    "cache_read": "input_cache_read",
    "cache_write": "input_cache_write",
    "cache_write_1h": "input_cache_write_1h",
    "input_audio": "audio",
    "input_image": "image_token",
    "output": "completion",
    "reasoning": "internal_reasoning",
    "output_audio": "audio_output",
    "output_image": "image_output",
}


def shown(price: Price, markup_bp: int = 0) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(model_response(MODEL, price, markup_bp))
    pricing: dict[str, Any] = row["pricing"]
    return pricing


def computed_pico(pricing: dict[str, Any], usage: Usage) -> int:
    """The cost that a client computes: the last applicable override wins, for each rate it has."""
    rates = {name: rate for name, rate in pricing.items() if name != "overrides"}
    for override in pricing.get("overrides", ()):
        if usage.prompt_tokens >= override["min_prompt_tokens"]:
            rates.update(override)
    total = Decimal(rates.get("request", 0))
    for member, name in CLASSES.items():
        priced = name
        while priced not in rates:
            priced = PART_OF[priced]
        total = EXACT.add(total, EXACT.multiply(getattr(usage, member), Decimal(rates[priced])))
    picos = EXACT.multiply(total, Decimal(10**12))
    return int(picos.quantize(Decimal(1), rounding=ROUND_HALF_EVEN, context=EXACT))


rates = st.integers(0, 10**RATE_PLACES_MAX // 1000).map(
    lambda number: EXACT.scaleb(Decimal(number), -RATE_PLACES_MAX)
)
stated: st.SearchStrategy[dict[Meter, Decimal]] = st.fixed_dictionaries(
    {Meter.INPUT: rates, Meter.OUTPUT: rates},
    optional={meter: rates for meter in Meter if meter not in {Meter.INPUT, Meter.OUTPUT}},
)
usages = st.builds(Usage, **{str(meter): st.integers(0, 30) for meter in (*INPUTS, *OUTPUTS)})


@st.composite
def cases(draw: st.DrawFn) -> tuple[Price, Usage]:
    """A call, and a price whose tiers start close to the size of the call."""
    usage = draw(usages)
    steps = draw(st.sets(st.integers(-1, 1), max_size=3))
    above = sorted({max(1, usage.prompt_tokens + step) for step in steps})
    tiers = tuple(Tier(start, draw(stated)) for start in (0, *above))
    return Price("p", "maker:talks", 0, "test", tiers), usage


@given(case=cases(), markup_bp=st.integers(0, 20_000))
def test_cost_computed_from_shown_prices_equals_the_charge(
    case: tuple[Price, Usage], markup_bp: int
) -> None:
    price, usage = case
    charged = charge_for(price, usage, markup_bp, held_pico=ENTRY_MAX_PICO)
    assert computed_pico(shown(price, markup_bp), usage) == charged.amount_pico


def test_price_has_no_exponent_rounding_or_padding() -> None:
    least = Decimal(1).scaleb(-RATE_PLACES_MAX)
    tier = Tier(
        0, {Meter.INPUT: least, Meter.OUTPUT: Decimal("1000.50"), Meter.REQUEST: Decimal(0)}
    )
    price = Price("p", "maker:talks", 0, "test", (tier,))
    assert shown(price, 1) == {
        "prompt": "0.0000000000000000000000010001",
        "completion": "1000.60005",
        "request": "0",
    }


@pytest.mark.parametrize("markup_bp", [0, 5000])
def test_rates_that_a_price_does_not_have_are_omitted(markup_bp: int) -> None:
    tier = Tier(0, {Meter.INPUT: Decimal(1), Meter.OUTPUT: Decimal(2)})
    price = Price("p", "maker:talks", 0, "test", (tier,))
    assert set(shown(price, markup_bp)) == {"prompt", "completion"}
