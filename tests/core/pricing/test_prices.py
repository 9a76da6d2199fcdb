import json
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidAmount
from modelgates_server.core.money import ENTRY_MAX_PICO, format_pico
from modelgates_server.core.pricing.prices import (
    BASIS_POINTS,
    MARKUP_MAX_BP,
    Bounds,
    Charge,
    Price,
    ReceiptLine,
    Tier,
    affordable_input_tokens,
    affordable_tokens,
    charge_for,
    dollars,
    read_rate,
    total_of,
    used_pico,
    whole_pico,
    worst_case_pico,
)
from modelgates_server.core.pricing.usage import INPUTS, OUTPUTS, Meter, Usage, UsageRules
from modelgates_server.dialects.openai_chat.usage import read_usage
from tests.support import DOLLAR

GOLDEN = json.loads(Path(__file__).with_name("golden_prices.json").read_text("utf-8"))
TEXT_INPUTS = (Meter.INPUT, Meter.CACHE_READ, Meter.CACHE_WRITE, Meter.CACHE_WRITE_1H)
NO_LIMIT_PICO = 10**40
SERVICE_TIERS = ("flex", "priority")

rates = st.one_of(
    st.just("0"),
    st.decimals(0, 1000, places=24).map("{:f}".format),
    st.decimals(0, "0.001", places=12).map("{:f}".format),
).map(read_rate)
markups = st.integers(-BASIS_POINTS, MARKUP_MAX_BP)
prompts = st.integers(0, 10**6)


def price(*tiers: tuple[int, Mapping[str, str]]) -> Price:
    read = [
        Tier(above, {Meter(meter): read_rate(rate) for meter, rate in each.items()})
        for above, each in tiers
    ]
    return Price("price_test", "test:model", 0, "test", tuple(read))


def flat(**each: str) -> Price:
    return price((0, {"input": "0", "output": "0", **each}))


def used(classes: Mapping[Meter, int]) -> Usage:
    members: dict[str, Any] = {str(meter): count for meter, count in classes.items()}
    return Usage(**members)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    must = {Meter.INPUT: rates, Meter.OUTPUT: rates}
    may = {meter: rates for meter in Meter if meter not in must}
    tiers = [
        Tier(above, draw(st.fixed_dictionaries(must, optional=may)), service_tier)
        for service_tier in (None, *draw(st.sets(st.sampled_from(SERVICE_TIERS))))
        for above in [0, *sorted(draw(st.sets(st.integers(1, 10**6), max_size=3)))]
    ]
    return Price("price_test", "test:model", 0, "test", tuple(tiers))


@st.composite
def split(draw: st.DrawFn, whole: int, meters: tuple[Meter, ...]) -> dict[Meter, int]:
    """Draws a mix of classes with a given sum."""
    cuts = sorted(
        draw(st.lists(st.integers(0, whole), min_size=len(meters) - 1, max_size=len(meters) - 1))
    )
    parts = [high - low for low, high in pairwise([0, *cuts, whole])]
    return dict(zip(draw(st.permutations(meters)), parts, strict=True))


@st.composite
def usages(draw: st.DrawFn, bounds: Bounds) -> Usage:
    """Draws a usage within its bounds."""
    read = draw(st.integers(0, bounds.input_tokens))
    written = draw(st.integers(0, bounds.output_tokens))
    inputs = draw(split(read, INPUTS if bounds.media else TEXT_INPUTS))
    return used({**inputs, **draw(split(written, OUTPUTS))})


bounds = st.builds(
    Bounds,
    prompts,
    prompts,
    st.booleans(),
    st.sets(st.sampled_from(SERVICE_TIERS)).map(lambda names: tuple(sorted(names))),
)


@pytest.mark.parametrize("vector", [pytest.param(each, id=each["name"]) for each in GOLDEN])
def test_documented_usage_costs_the_amount_calculated_by_hand(vector: dict[str, Any]) -> None:
    assert "https://" in vector["source"]
    rules = msgspec.convert(vector.get("rules", {}), UsageRules)
    usage = read_usage(vector["usage"], rules).usage
    assert usage is not None
    assert {str(k): n for k, n in usage.quantities() if n} == vector["quantities"]
    charge = charge_for(flat(**vector["prices"]), usage, 0, NO_LIMIT_PICO)
    assert format_pico(charge.amount_pico) == vector["charge"]
    assert {line.meter: line.quantity for line in charge.lines} == vector["quantities"]


def test_golden_vectors_cover_every_kind_of_provider() -> None:
    names = {vector["name"].split()[0] for vector in GOLDEN}
    assert names >= {
        "openai", "azure", "mistral", "groq", "deepseek", "together", "xai", "gemini", "moonshot",
        "openrouter", "vllm", "ollama", "llama.cpp",
    }  # fmt: skip


@given(prices(), st.data(), markups, st.integers(0, 10**18))
def test_charge_is_the_sum_of_its_lines_and_never_above_the_hold(
    price: Price, data: st.DataObject, markup_bp: int, held_pico: int
) -> None:
    usage = data.draw(usages(Bounds(10**6, 10**6, media=True)))
    service_tier = data.draw(st.sampled_from([None, *price.service_tiers]))
    charge = charge_for(price, usage, markup_bp, held_pico, service_tier)
    assert 0 <= charge.amount_pico <= held_pico
    assert total_of(charge.lines) == dollars(charge.amount_pico)
    for line in charge.lines:
        assert Fraction(line.amount) == line.quantity * Fraction(line.rate)
    by_hand = exact_picos(price, usage, markup_bp, service_tier)
    use = Fraction(total_of(line for line in charge.lines if line.meter in set(Meter)))
    assert use * DOLLAR == by_hand
    rounding = [Fraction(line.amount) for line in charge.lines if line.meter == "rounding"]
    assert len(rounding) <= 1
    assert all(abs(each * DOLLAR) <= Fraction(1, 2) for each in rounding)
    whole = charge_for(price, usage, markup_bp, NO_LIMIT_PICO, service_tier)
    assert abs(whole.amount_pico - by_hand) <= Fraction(1, 2)


def exact_picos(price: Price, usage: Usage, markup_bp: int, service_tier: str | None) -> Fraction:
    """Calculates the charge in fractions; only the rates come from the module."""
    tier = [
        tier
        for tier in price.tiers
        if tier.service_tier == service_tier
        and (tier.above == 0 or usage.prompt_tokens > tier.above)
    ][-1]
    used = [(Meter.REQUEST, 1), *usage.quantities()]
    use = sum((Fraction(tier.rate(meter)) * n for meter, n in used), Fraction())
    return use * Fraction(BASIS_POINTS + markup_bp, BASIS_POINTS) * DOLLAR


@given(prices(), bounds, st.data(), markups)
def test_usage_within_its_bounds_never_exceeds_the_worst_case_cost(
    price: Price, bounds: Bounds, data: st.DataObject, markup_bp: int
) -> None:
    held_pico = worst_case_pico(price, bounds, markup_bp)
    usage = data.draw(usages(bounds))
    may_serve = [None, *(name for name in bounds.service_tiers if name in price.service_tiers)]
    service_tier = data.draw(st.sampled_from(may_serve))
    charge = charge_for(price, usage, markup_bp, held_pico, service_tier)
    assert "overrun" not in {line.meter for line in charge.lines}
    assert charge == charge_for(price, usage, markup_bp, NO_LIMIT_PICO, service_tier)


@pytest.mark.parametrize("most_expensive", [*INPUTS, *OUTPUTS])
def test_worst_case_cost_covers_the_most_expensive_class(most_expensive: Meter) -> None:
    price = flat(**{**{str(meter): "0.001" for meter in Meter}, most_expensive: "1"})
    use = used({most_expensive: 10})
    read = Bounds(use.prompt_tokens, use.completion_tokens, media=True)
    assert charge_for(price, use, 0, NO_LIMIT_PICO).amount_pico == 10 * DOLLAR + DOLLAR // 1000
    assert worst_case_pico(price, read, 0) == 10 * DOLLAR + DOLLAR // 1000


def test_worst_case_cost_of_a_text_call_ignores_the_rate_of_audio() -> None:
    price = flat(input="0.001", input_audio="1", input_image="1")
    assert worst_case_pico(price, Bounds(10, 0, media=False), 0) == DOLLAR // 100


def test_prompt_stays_unaffordable_when_output_is_free() -> None:
    bounds = Bounds(10, 0, media=False)
    assert affordable_tokens(flat(input="1"), bounds, 0, 10 * DOLLAR) is None
    assert affordable_tokens(flat(input="1"), bounds, 0, 10 * DOLLAR - 1) == -1


@given(prices(), prompts, st.booleans(), markups, st.integers(0, 10**20))
def test_affordable_tokens_are_the_most_that_fit_the_budget(
    price: Price, prompt: int, media: bool, markup_bp: int, budget_pico: int
) -> None:
    def cost_pico(tokens: int) -> int:
        return worst_case_pico(price, Bounds(prompt, tokens, media), markup_bp)

    tokens = affordable_tokens(price, Bounds(prompt, 0, media), markup_bp, budget_pico)
    if tokens is None:
        assert cost_pico(10**12) == cost_pico(0) <= budget_pico
    elif tokens < 0:
        assert cost_pico(0) > budget_pico
    else:
        assert cost_pico(tokens) <= budget_pico < cost_pico(tokens + 1)


@given(prices(), prompts, st.integers(0, 3), markups, st.integers(0, 10**20))
def test_prompt_of_the_affordable_length_fits_the_budget(
    price: Price, prompt: int, output: int, markup_bp: int, budget_pico: int
) -> None:
    bounds = Bounds(prompt, output, media=False)
    assume(worst_case_pico(price, bounds, markup_bp) > budget_pico)
    most = affordable_input_tokens(price, bounds, markup_bp, budget_pico)
    assert 0 <= most < max(prompt, 1)
    if most:
        fits = Bounds(most, output, media=False)
        assert worst_case_pico(price, fits, markup_bp) <= budget_pico


@given(markups, st.integers(0, 10**9))
@example(-BASIS_POINTS, 10**9)
@example(1, 1)
def test_markup_is_exact(markup_bp: int, tokens: int) -> None:
    charge = charge_for(flat(input="0.00000015"), Usage(input=tokens), markup_bp, NO_LIMIT_PICO)
    # 0.15 micro-dollars are 150,000 picos. A basis point of them is 15, so nothing is rounded.
    assert charge.amount_pico == tokens * 15 * (BASIS_POINTS + markup_bp)
    assert "rounding" not in {line.meter for line in charge.lines}


def test_million_tokens_at_a_tenth_of_a_micro_dollar_cost_ten_cents() -> None:
    charge = charge_for(flat(input="0.0000001"), Usage(input=1_000_000), 0, DOLLAR)
    assert format_pico(charge.amount_pico) == "0.1"
    assert charge.lines == (ReceiptLine("input", 1_000_000, Decimal("0.0000001"), Decimal("0.1")),)


@pytest.mark.parametrize(
    ("rate", "pico"),
    [
        ("0.0000000000004", 0),
        ("0.0000000000005", 0),
        ("0.0000000000006", 1),
        ("0.0000000000015", 2),
        ("0.0000000000025", 2),
        ("0.0000000000025000000001", 3),
    ],
)
def test_half_a_pico_is_rounded_to_even_and_shown_on_the_receipt(rate: str, pico: int) -> None:
    charge = charge_for(flat(output=rate), Usage(output=1), 0, DOLLAR)
    assert charge.amount_pico == pico
    assert [line.meter for line in charge.lines] == ["output", "rounding"]
    assert worst_case_pico(flat(output=rate), Bounds(0, 1, media=False), 0) >= pico


def test_call_is_rounded_once_and_not_by_line() -> None:
    third = flat(input="0.0000000000004", output="0.0000000000004", request="0.0000000000004")
    assert charge_for(third, Usage(input=1, output=1), 0, DOLLAR).amount_pico == 1


def test_worst_case_cost_is_rounded_up() -> None:
    tiny = flat(input="0.000000000000000000000001")
    assert worst_case_pico(tiny, Bounds(1, 0, media=False), 0) == 1
    assert worst_case_pico(tiny, Bounds(0, 0, media=False), 0) == 0


def test_usage_above_the_hold_becomes_an_overrun_line() -> None:
    charge = charge_for(flat(output="0.01"), Usage(output=500), 0, 3 * DOLLAR)
    assert charge.amount_pico == 3 * DOLLAR
    assert charge.lines[-1] == ReceiptLine("overrun", 1, Decimal(-2), Decimal(-2))
    assert used_pico(charge) == 5 * DOLLAR
    assert whole_pico(charge.lines, {Meter.OUTPUT}) == 5 * DOLLAR


def test_used_amount_never_exceeds_the_maximum_of_an_entry() -> None:
    charge = charge_for(flat(output="1000"), Usage(output=10**9), MARKUP_MAX_BP, DOLLAR)
    assert (charge.amount_pico, used_pico(charge)) == (DOLLAR, ENTRY_MAX_PICO)


def test_charge_cannot_be_built_when_its_lines_do_not_add_up() -> None:
    with pytest.raises(AssertionError, match="add up"):
        Charge((ReceiptLine("input", 1, Decimal(1), Decimal(1)),), 1)


def test_tier_applies_to_the_whole_call_above_its_number_with_cached_tokens() -> None:
    gemini = price(
        (0, {"input": "0.00000125", "cache_read": "0.000000125", "output": "0.00001"}),
        (200_000, {"input": "0.0000025", "cache_read": "0.00000025", "output": "0.000015"}),
    )
    below = charge_for(gemini, Usage(input=100_000, cache_read=100_000, output=1000), 0, DOLLAR)
    above = charge_for(gemini, Usage(input=100_001, cache_read=100_000, output=1000), 0, DOLLAR)
    assert format_pico(below.amount_pico) == "0.1475"
    assert format_pico(above.amount_pico) == "0.2900025"


def test_worst_case_cost_covers_the_most_expensive_tier_in_reach() -> None:
    cheaper_above = price(
        (0, {"input": "0.000002", "output": "0.000004"}),
        (1000, {"input": "0.000001", "output": "0.000009"}),
    )
    up_to_1000 = worst_case_pico(cheaper_above, Bounds(1000, 1, media=False), 0)
    assert up_to_1000 == 1000 * 2_000_000 + 4_000_000
    more = worst_case_pico(cheaper_above, Bounds(1001, 1, media=False), 0)
    assert more == 1001 * 2_000_000 + 9_000_000


@pytest.mark.parametrize(
    ("missing", "stands_in"),
    [
        ("cache_read", "input"),
        ("cache_write", "input"),
        ("cache_write_1h", "cache_write"),
        ("input_audio", "input"),
        ("input_image", "input"),
        ("reasoning", "output"),
        ("output_audio", "output"),
        ("output_image", "output"),
    ],
)
def test_class_without_a_rate_is_charged_like_the_containing_class(
    missing: str, stands_in: str
) -> None:
    every = {str(meter): f"0.{place:02d}" for place, meter in enumerate(Meter, start=1)}
    without = price((0, {meter: rate for meter, rate in every.items() if meter != missing}))
    charge = charge_for(without, used({Meter(missing): 1}), -BASIS_POINTS + 1, NO_LIMIT_PICO)
    assert charge.lines[0].rate == Decimal(every[stands_in]) / BASIS_POINTS


def test_request_fee_is_charged_only_when_it_has_a_rate() -> None:
    assert charge_for(flat(), Usage(), 0, DOLLAR).lines == ()
    [line] = charge_for(flat(request="0.005"), Usage(), 0, DOLLAR).lines
    assert line == ReceiptLine("request", 1, Decimal("0.005"), Decimal("0.005"))


def test_price_is_free_only_if_every_rate_of_every_tier_is_zero() -> None:
    assert flat().is_free
    assert not flat(request="0.000000000000000000000001").is_free
    zero = {"input": "0", "output": "0"}
    assert not price((0, zero), (5, {**zero, "reasoning": "1"})).is_free


@pytest.mark.parametrize(
    "text",
    [
        "-1", "-0.0000001", "+1", "NaN", "sNaN", "nan", "inf", "Infinity", "1e-7", "1E3", "0x1", "",
        " ", " 1", "1 ", "1\n", ".5", "5.", "1,5", "1_000", "1000.1", "1001", "99999", "$1", "٣",
        "0." + "0" * 24 + "1", "1" * 100_000,
    ],
)  # fmt: skip
def test_invalid_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidAmount, match=r'for example "0\.00000015"') as refusal:
        read_rate(text)
    assert len(str(refusal.value)) < 250


@given(st.text(max_size=40))
@example("-1")
def test_rate_is_never_negative_or_infinite(text: str) -> None:
    try:
        rate = read_rate(text)
    except InvalidAmount:
        return
    assert rate.is_finite()
    assert 0 <= rate <= 1000
    assert Fraction(rate) == Fraction(text)


@pytest.mark.parametrize(
    "tiers",
    [
        (Tier(1, {Meter.INPUT: Decimal(1), Meter.OUTPUT: Decimal(1)}),),
        (Tier(0, {Meter.INPUT: Decimal(1)}),),
        (Tier(0, {Meter.OUTPUT: Decimal(1)}),),
        (Tier(0, {Meter.INPUT: Decimal(1), Meter.OUTPUT: Decimal(1)}),) * 2,
    ],
)
def test_price_with_a_gap_cannot_be_built(tiers: tuple[Tier, ...]) -> None:
    with pytest.raises(AssertionError):
        Price("price_test", "test:model", 0, "test", tiers)
