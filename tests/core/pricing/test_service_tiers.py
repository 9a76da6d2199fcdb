from decimal import Decimal
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation, uncharged_service_tier
from modelgates_server.core.metering.settlement import checkpoint, settle
from modelgates_server.core.metering.sizing import quote_hold
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.pricing.service_tiers import service_tier_to_send, service_tiers_allowed
from modelgates_server.core.pricing.usage import Usage
from tests.core import calls
from tests.support import T0_MS

# A thousandth of a dollar for an input token, two for an output token. Flex costs half of that,
# priority twice as much.
STANDARD = {"input": "0.001", "output": "0.002"}
TIERED = calls.price(
    (0, STANDARD),
    flex={"input": "0.0005", "output": "0.001"},
    priority={"input": "0.002", "output": "0.004"},
)
PLAIN = calls.flat(**STANDARD)
FREE = calls.flat()
READ, WRITE = 10**9, 2 * 10**9
USAGE = Usage(input=10, output=5)
COST = 20 * 10**9
"""Of `USAGE` at the standard tier: twenty thousandths of a dollar."""


def held_pico(of: Price, **members: Any) -> tuple[int, int]:
    """The hold of a call with a cap of 10 tokens, and the input tokens that it covers."""
    priced = calls.priced(of, calls.request(cap_tokens=10, **members))
    quote = quote_hold(priced, account=calls.account(10**18), key=calls.key(), at_ms=T0_MS)
    return quote.amount_pico, quote.bounds.input_tokens


def settled(of: Price, usage: Usage, *, requested: str | None, served: str | None) -> Generation:
    priced = calls.priced(of, calls.request(service_tier=requested))
    meter = calls.meter(8, usage, service_tier=served)
    return settle(calls.held(priced), of, priced.request, meter, failure=None, at_ms=T0_MS + 1)


@pytest.mark.parametrize(
    "requested", ["flex", "priority", "batch", "scale", "Flex", "", "performance"]
)
@pytest.mark.parametrize("of", [PLAIN, FREE])
def test_tier_without_a_price_is_refused_by_name(requested: str, of: Price) -> None:
    with pytest.raises(InvalidInput) as refusal:
        held_pico(of, service_tier=requested)
    assert str(refusal.value) == (
        f"`service_tier` {requested!r} has no price here. "
        "Leave it out, or use one of auto, default."
    )


def test_refusal_names_the_tiers_that_have_a_price() -> None:
    with pytest.raises(InvalidInput, match=r"use one of auto, default, flex, priority\.$"):
        service_tiers_allowed(TIERED, "batch")
    with pytest.raises(InvalidInput) as refusal:
        service_tiers_allowed(TIERED, "x" * 255)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("requested", "factor"),
    [
        ({}, 2),
        ({"service_tier": None}, 2),
        ({"service_tier": "auto"}, 2),
        ({"service_tier": "priority"}, 2),
        ({"service_tier": "flex"}, 1),
        *(({"service_tier": word}, 1) for word in ("default", "standard", "on_demand")),
        ({"service_tier": "standard_only"}, 1),
    ],
)
def test_hold_covers_the_most_expensive_tier_that_may_serve(
    requested: dict[str, Any], factor: int
) -> None:
    amount_pico, tokens = held_pico(TIERED, **requested)
    assert amount_pico == factor * (tokens * READ + 10 * WRITE)


def test_lowered_cap_is_affordable_at_the_most_expensive_tier() -> None:
    priced = calls.priced(TIERED, calls.request())
    prompt_pico = priced.bounds(0).input_tokens * 2 * READ
    account = calls.account(prompt_pico + 7 * 2 * WRITE + 1)
    quote = quote_hold(priced, account=account, key=calls.key(), at_ms=T0_MS)
    assert (quote.cap_tokens, quote.amount_pico) == (7, prompt_pico + 7 * 2 * WRITE)


@pytest.mark.parametrize(
    ("of", "requested", "sent"),
    [
        (PLAIN, "auto", "standard-word"),
        (TIERED, "auto", None),
        (PLAIN, None, None),
        (TIERED, None, None),
        (TIERED, "flex", None),
        *(
            (of, word, "standard-word")
            for of in (PLAIN, TIERED)
            for word in ("default", "standard", "standard_only", "on_demand")
        ),
    ],
)
def test_requested_standard_tier_is_sent_as_the_word_of_the_provider(
    of: Price, requested: str | None, sent: str | None
) -> None:
    assert service_tier_to_send(of, requested, "standard-word") == sent


@pytest.mark.parametrize(
    ("requested", "served", "half_costs", "charged"),
    [
        ("flex", "flex", 1, "flex"),
        ("flex", "default", 2, None),
        ("flex", None, 1, "flex"),
        ("priority", "priority", 4, "priority"),
        ("priority", "default", 2, None),
        ("auto", "priority", 4, "priority"),
        ("auto", "flex", 1, "flex"),
        ("auto", None, 2, None),
        (None, "Priority", 4, "priority"),
        (None, "on_demand", 2, None),
        (None, None, 2, None),
        # A cheaper tier than requested is charged; a more expensive one is not.
        ("default", "flex", 1, "flex"),
        ("default", "priority", 2, None),
        ("flex", "priority", 2, None),
        # Without a price.
        ("auto", "scale", 2, None),
        ("flex", "batch", 2, None),
    ],
)
def test_served_tier_is_charged(
    requested: str | None, served: str | None, half_costs: int, charged: str | None
) -> None:
    generation = settled(TIERED, USAGE, requested=requested, served=served)
    assert (generation.cost_pico * 2, generation.overrun_pico) == (half_costs * COST, 0)
    assert generation.charged_service_tier == charged
    assert generation.requested_service_tier == requested
    assert generation.service_tier == served
    other = {None, "default", "on_demand", charged, (charged or "").capitalize()}
    assert (uncharged_service_tier(generation) is None) == (served in other)


def test_tier_above_a_prompt_length_is_charged_from_that_length() -> None:
    of = calls.price((0, STANDARD), (8, {"input": "0.002", "output": "0.004"}))
    tiers = (*of.tiers, *(tier for tier in TIERED.tiers if tier.service_tier == "flex"))
    long_flex = calls.replace(tiers[-1], above=9, rates={**of.tiers[1].rates})
    of = calls.replace(of, tiers=(*tiers, long_flex))
    assert settled(of, USAGE, requested="flex", served="flex").cost_pico == 2 * COST
    shorter = calls.replace(USAGE, input=9)
    assert settled(of, shorter, requested="flex", served="flex").cost_pico * 2 == COST - READ
    # The standard tier has its own tier boundary, one token earlier.
    standard = settled(of, shorter, requested="flex", served="default")
    assert standard.cost_pico == 2 * (COST - READ)


def test_checkpoint_is_charged_at_the_tier_reported_so_far() -> None:
    priced = calls.priced(TIERED, calls.request(service_tier="auto"))
    running, plain = (
        checkpoint(calls.held(priced), TIERED, priced.request, calls.meter(40, service_tier=served))
        for served in ("priority", None)
    )
    assert (running.service_tier, running.charged_service_tier) == ("priority", "priority")
    assert running.cost_pico == 2 * plain.cost_pico > 0
    assert running.state is HoldState.OPEN
    assert uncharged_service_tier(running) is None


def test_free_call_has_no_uncharged_tier() -> None:
    priced = calls.priced(PLAIN, calls.request())
    meter = calls.meter(service_tier="priority")
    voided = settle(
        calls.held(priced), PLAIN, priced.request, meter, failure="server_stopping", at_ms=T0_MS + 1
    )
    assert (voided.state, voided.service_tier) == (HoldState.VOIDED, "priority")
    assert uncharged_service_tier(voided) is None


def test_price_is_free_only_if_every_service_tier_is() -> None:
    zero = {"input": "0", "output": "0"}
    assert calls.price((0, zero), flex=zero).is_free
    assert not calls.price((0, zero), flex={**zero, "request": "0.1"}).is_free


@pytest.mark.parametrize("above", [[5], [0, 0], [0, 5, 5], [5, 0]])
def test_price_with_a_gap_in_a_service_tier_cannot_be_built(above: list[int]) -> None:
    [standard] = PLAIN.tiers
    others = [calls.replace(standard, above=each, service_tier="flex") for each in above]
    with pytest.raises(AssertionError):
        calls.replace(PLAIN, tiers=(standard, *others))
    with pytest.raises(AssertionError):
        calls.replace(PLAIN, tiers=(calls.replace(standard, service_tier="flex"),))


def test_two_prices_with_one_id_are_not_confused_by_the_rate_cache() -> None:
    """The rate cache is keyed by price, whose hash depends only on its id."""
    expensive = calls.price((0, STANDARD), flex={"input": "1", "output": "1"})
    assert (expensive.id, hash(expensive)) == (TIERED.id, hash(TIERED))
    both = (TIERED, expensive)
    costs = [settled(of, USAGE, requested="flex", served="flex").cost_pico for of in both * 2]
    assert costs == [COST // 2, 15 * 10**12] * 2
    assert Decimal(1) in expensive.tiers[1].rates.values()
