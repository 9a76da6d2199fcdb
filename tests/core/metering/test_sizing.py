from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import (
    GatewayError,
    InsufficientCredits,
    InvalidInput,
    KeyLimitExceeded,
    MaxCostExceeded,
)
from modelgates_server.core.keys import Key
from modelgates_server.core.metering.sizing import PricedRequest
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.core.times import LimitReset
from tests.core import calls
from tests.core.pure import PureLedger
from tests.core.sized import (
    PRICE,
    READ,
    WRITE,
    cost,
    embedding,
    input_pico,
    priced_request,
    refused,
    size,
)
from tests.support import DOLLAR, place


def test_hold_covers_the_output_limit_of_the_model_without_a_cap() -> None:
    priced = priced_request()
    quote = size(priced)
    assert quote.amount_pico == input_pico(priced) + 100 * WRITE
    assert quote.cap_tokens == 100, "a server with another maximum could exceed the hold"
    assert quote.bounds.output_tokens == 100


def test_output_is_limited_to_the_context_without_a_cap() -> None:
    priced = priced_request(model={"context_tokens": 1000, "output_tokens": 4000})
    assert size(priced).bounds.output_tokens == 1000


def test_cap_of_the_client_is_held_for_and_sent_unchanged() -> None:
    priced = priced_request(cap_tokens=7)
    quote = size(priced)
    assert quote.amount_pico == input_pico(priced) + 7 * WRITE
    assert quote.cap_tokens is None


def test_cap_above_the_maximum_of_the_model_is_lowered_to_it() -> None:
    quote = size(priced_request(cap_tokens=5000))
    assert quote.bounds.output_tokens == 100
    assert quote.cap_tokens == 100


def test_hold_covers_the_cap_for_each_choice() -> None:
    priced = priced_request(cap_tokens=7, choices=3)
    assert size(priced).amount_pico == input_pico(priced) + 21 * WRITE


@pytest.mark.parametrize("limit", ["account", "key", "header"])
@pytest.mark.parametrize("n", [1, 3])
def test_default_cap_is_lowered_to_what_the_tightest_limit_affords(limit: str, n: int) -> None:
    priced = priced_request(choices=n)
    for spare_pico in (0, WRITE * n - 1):
        left_pico = input_pico(priced) + 42 * n * WRITE + spare_pico
        quote = {
            "account": lambda left: size(priced, left),
            "key": lambda left: size(priced, key=calls.key(limit_pico=left)),
            "header": lambda left: size(priced, max_cost_pico=left),
        }[limit](left_pico)
        assert quote.cap_tokens == 42
        assert quote.bounds.output_tokens == 42 * n
        assert quote.amount_pico == cost(priced, 42) <= left_pico < cost(priced, 43)


@given(calls.prices, calls.markups, st.integers(1, 3), st.integers(0, 120), st.integers(0, 10**12))
def test_lowered_cap_is_the_largest_affordable_one_at_any_price(
    price: Price, markup_bp: int, n: int, percent: int, more_pico: int
) -> None:
    priced = calls.priced(price, calls.request(choices=n), markup_bp=markup_bp)
    left_pico = cost(priced, 100) * percent // 100 + more_pico
    try:
        quote = size(priced, left_pico)
    except InsufficientCredits:
        assert cost(priced, 1) > left_pico
        return
    assert quote.amount_pico <= left_pico
    if quote.cap_tokens is None:
        assert quote.amount_pico == cost(priced, 100) == 0, "the cost does not depend on the length"
        return
    assert quote.amount_pico == cost(priced, quote.cap_tokens)
    if quote.cap_tokens < 100:
        assert cost(priced, quote.cap_tokens + 1) > left_pico


@pytest.mark.parametrize("of", [PRICE, calls.flat(input="0.001", output="0.002", request="0.03")])
def test_balance_suffices_to_the_last_pico(of: Price) -> None:
    priced = priced_request(of=of, cap_tokens=10)
    need_pico = cost(priced, 10)
    assert size(priced, need_pico).amount_pico == need_pico
    assert refused(priced, need_pico - 1).shortfall is not None


def test_unaffordable_cap_is_refused_with_the_arithmetic() -> None:
    priced = priced_request(cap_tokens=80, choices=2)
    left_pico = input_pico(priced) + 2 * 30 * WRITE + 5
    error = refused(priced, left_pico)
    assert error.reason == "max_tokens_unaffordable"
    assert error.retry_after_s is None
    assert error.shortfall is not None
    assert error.shortfall.asked_pico == cost(priced, 80)
    assert error.shortfall.available_pico == left_pico
    assert (error.shortfall.requested_tokens, error.shortfall.affordable_tokens) == (80, 30)
    assert str(error).startswith(
        "This request requires more credits, or fewer max_tokens. You requested up to 80 tokens, "
        "but can only afford 30 (worst case for each of 2 choices)."
    )
    assert size(priced_request(cap_tokens=30, choices=2), left_pico)


def test_unaffordable_prompt_is_refused_with_the_affordable_length() -> None:
    priced = priced_request()
    asked_tokens = priced.bounds(0).input_tokens
    error = refused(priced, 400 * READ + WRITE + 5)
    assert error.reason == "prompt_unaffordable"
    assert str(error).startswith(f"Prompt tokens limit exceeded: {asked_tokens} > 400 (")
    assert error.shortfall is not None
    assert error.shortfall.asked_pico == cost(priced, 1)
    assert error.shortfall.affordable_tokens == 0


@pytest.mark.parametrize("members", [{}, {"cap_tokens": 5}, {"choices": 2}])
def test_affordable_prompt_is_never_called_too_long(members: dict[str, Any]) -> None:
    priced = priced_request(**members)
    error = refused(priced, input_pico(priced))
    assert error.reason == "max_tokens_unaffordable"
    assert "can only afford 0 (" in str(error)


def test_unaffordable_request_fee_is_not_blamed_on_the_prompt() -> None:
    priced = priced_request(of=calls.flat(output="0.001", request="1"))
    error = refused(priced, DOLLAR - 1)
    assert error.reason == "insufficient_credits"


@pytest.mark.parametrize("members", [{}, {"cap_tokens": 5}])
def test_retry_is_advised_when_running_calls_hold_enough(members: dict[str, Any]) -> None:
    priced = priced_request(**members)
    need_pico = cost(priced, 5 if members else 1)
    account = calls.account(need_pico, held_pico=1)
    error = refused(priced, account=account)
    assert error.reason == "in_flight_budget_exhausted"
    assert error.retry_after_s is not None
    assert error.shortfall is not None
    assert error.shortfall.held_pico == 1
    # Here the balance would not suffice even without those calls.
    poorer = refused(priced, account=calls.account(need_pico - 1, held_pico=1))
    assert poorer.retry_after_s is None


@pytest.mark.parametrize(
    ("credits_pico", "used_pico", "reason"),
    [
        (0, 0, "never_purchased"),
        (DOLLAR, DOLLAR, "insufficient_credits"),
        (DOLLAR, 2 * DOLLAR, "insufficient_credits"),
    ],
)
def test_refusal_of_an_empty_account_depends_on_earlier_credits(
    credits_pico: int, used_pico: int, reason: str
) -> None:
    error = refused(priced_request(), account=calls.account(credits_pico, usage_pico=used_pico))
    assert error.reason == reason
    assert str(error).startswith("Insufficient credits.")
    assert error.shortfall is not None
    assert error.shortfall.affordable_tokens == 0


def test_account_can_spend_down_to_a_negative_floor() -> None:
    priced = priced_request(cap_tokens=1)
    account = calls.account(0, min_balance_pico=-cost(priced, 1))
    assert size(priced, account=account).amount_pico == cost(priced, 1)


def key_refusal(priced: PricedRequest, left_pico: int, key: Key) -> GatewayError:
    with pytest.raises(GatewayError) as refusal:
        size(priced, left_pico, key=key)
    return refusal.value


def test_refusal_names_the_tightest_limit() -> None:
    priced = priced_request(cap_tokens=10)
    need_pico = cost(priced, 10)
    spent = calls.key(limit_pico=need_pico, usage_pico=1, held_pico=1)
    by_key = key_refusal(priced, need_pico, spent)
    assert isinstance(by_key, KeyLimitExceeded)
    assert (by_key.asked_pico, by_key.limit_pico) == (need_pico, need_pico)
    assert (by_key.spent_pico, by_key.held_pico) == (1, 1)
    assert isinstance(key_refusal(priced, need_pico - 1, spent), KeyLimitExceeded)
    assert isinstance(key_refusal(priced, need_pico - 3, spent), InsufficientCredits)
    assert isinstance(key_refusal(priced, need_pico - 2, spent), InsufficientCredits)
    with pytest.raises(MaxCostExceeded, match="X-ModelGates-Max-Cost") as by_header:
        size(priced, key=spent, max_cost_pico=need_pico - 3)
    assert by_header.value.shortfall.asked_pico == need_pico
    assert by_header.value.shortfall.available_pico == need_pico - 3


def test_key_limit_counts_in_the_window_of_the_call() -> None:
    priced = priced_request(cap_tokens=10)
    need_pico = cost(priced, 10)
    yesterday = calls.key(
        limit_pico=need_pico,
        limit_reset=LimitReset.DAILY,
        usage_pico=need_pico,
        usage_daily_pico=need_pico,
    )
    assert size(priced, key=yesterday).amount_pico == need_pico


@pytest.mark.parametrize("max_cost_pico", [0, 1, 10**9])
def test_call_is_refused_when_not_one_token_fits_its_max_cost(max_cost_pico: int) -> None:
    with pytest.raises(MaxCostExceeded):
        size(priced_request(), max_cost_pico=max_cost_pico)


def test_free_model_holds_nothing_and_ignores_limits() -> None:
    priced = priced_request(of=calls.flat(), cap_tokens=10, choices=2)
    empty = calls.account(0)
    quote = size(priced, account=empty, key=calls.key(limit_pico=0), max_cost_pico=0)
    assert (quote.amount_pico, quote.cap_tokens) == (0, None)
    assert quote.bounds.output_tokens == 20


def test_free_call_is_refused_when_the_account_is_in_debt() -> None:
    ledger, key = PureLedger(), calls.key()
    ledger.keys[key.hash] = key
    ledger.accounts[calls.ACCOUNT] = in_debt = calls.account(0, usage_pico=1)
    quote = size(priced_request(of=calls.flat()), account=in_debt)
    command = place(calls.ACCOUNT, key.hash, "gen-1", quote.amount_pico)
    with pytest.raises(InsufficientCredits):
        ledger.run(command)
    ledger.accounts[calls.ACCOUNT] = calls.account(0)
    assert ledger.run(command)


def test_cap_is_not_lowered_to_zero_when_only_the_prompt_is_free() -> None:
    priced = priced_request(of=calls.flat(output="0.002"))
    assert size(priced, 3 * WRITE).cap_tokens == 3
    assert refused(priced, WRITE - 1).reason == "max_tokens_unaffordable"


def test_cap_is_not_lowered_when_output_is_free() -> None:
    priced = priced_request(of=calls.flat(input="0.001"))
    assert size(priced, input_pico(priced)).cap_tokens == 100
    assert refused(priced, input_pico(priced) - 1).reason == "prompt_unaffordable"


def test_hold_of_an_embedding_has_no_output_and_no_cap() -> None:
    priced = embedding()
    quote = size(priced)
    assert quote.amount_pico == input_pico(priced)
    assert (quote.bounds.output_tokens, quote.cap_tokens) == (0, None)
    assert refused(priced, input_pico(priced) - 1).reason == "prompt_unaffordable"


def test_hold_of_many_embedded_texts_exceeds_one_context() -> None:
    """Providers accept up to 2048 texts, each as long as the context."""
    priced = embedding(texts=50, text_bytes=50 * 900)
    assert priced.bounds(0).input_tokens > 50 * 900


def test_hold_covers_the_most_expensive_tier_and_class_in_reach() -> None:
    tiered = calls.price(
        (0, {"input": "0.001", "output": "0.002", "cache_write": "0.00125"}),
        (500, {"input": "0.002", "output": "0.003", "reasoning": "0.004"}),
        (999_999, {"input": "1", "output": "1"}),
    )
    priced = priced_request(of=tiered, cap_tokens=10)
    assert size(priced).amount_pico == priced.bounds(0).input_tokens * 2 * READ + 10 * 4 * 10**9


def test_hold_includes_the_markup() -> None:
    plain, marked_up = priced_request(), calls.priced(PRICE, calls.request(), markup_bp=550)
    assert size(marked_up).amount_pico * 1000 == size(plain).amount_pico * 1055


@pytest.mark.parametrize("meter", [Meter.OUTPUT_AUDIO, Meter.OUTPUT_IMAGE, Meter.INPUT_AUDIO])
def test_audio_and_images_are_refused_without_a_price(meter: Meter) -> None:
    unlike_text = frozenset({meter})
    with pytest.raises(InvalidInput, match=f"no price for {meter.replace('_', ' ')}"):
        size(priced_request(unlike_text=unlike_text))
    rates = {"input": "0.001", "output": "0.002", meter: "0.05"}
    assert size(priced_request(of=calls.flat(**rates), unlike_text=unlike_text))
    long_unpriced = calls.price((0, rates), (900, {"input": "1", "output": "1"}))
    with pytest.raises(InvalidInput):
        size(priced_request(of=long_unpriced, unlike_text=unlike_text))
    assert size(priced_request(of=calls.flat(), unlike_text=unlike_text)).amount_pico == 0


@pytest.mark.parametrize(("media_tokens", "input_tokens"), [(None, 1000), (30, 960)])
def test_hold_covers_the_largest_possible_image(
    media_tokens: int | None, input_tokens: int
) -> None:
    assert priced_request().bounds(0).input_tokens == 900
    quote = size(
        priced_request(
            of=calls.flat(input="0.001", output="0", input_image="0.003"),
            model={"media_tokens": media_tokens},
            media=2,
        )
    )
    assert quote.bounds.input_tokens == input_tokens
    assert quote.amount_pico == input_tokens * 3 * READ


def test_hold_covers_the_whole_context_for_a_file() -> None:
    with_file = priced_request(model={"media_tokens": 30}, media=1, has_files=True)
    assert with_file.bounds(0).input_tokens == 1000


def test_hold_covers_tools_and_escaped_bytes() -> None:
    long = {"context_tokens": 10_000}
    plain = priced_request(model=long).bounds(0).input_tokens
    assert priced_request(model=long, has_tools=True).bounds(0).input_tokens == plain + 1024
    assert priced_request(model=long, escape_bytes=70).bounds(0).input_tokens == plain + 70
