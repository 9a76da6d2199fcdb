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
from modelgates_server.core.metering.request import Api
from modelgates_server.core.metering.sizing import PricedRequest
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.times import LimitReset
from tests.core import calls
from tests.core.pure import PureLedger
from tests.core.sized import (
    PRICE,
    READ,
    WRITE,
    ask,
    cost,
    embedding,
    input_pico,
    refused,
    size,
)
from tests.support import DOLLAR, place


def test_without_a_cap_the_hold_covers_what_the_model_may_put_out() -> None:
    asked = ask()
    sized = size(asked)
    assert sized.amount_pico == input_pico(asked) + 100 * WRITE
    assert sized.cap_tokens == 100, "a server with another maximum would pass the hold"
    assert sized.bounds.output_tokens == 100


def test_without_a_cap_an_answer_is_never_longer_than_the_context() -> None:
    asked = ask(model={"context_tokens": 1000, "output_tokens": 4000})
    assert size(asked).bounds.output_tokens == 1000


def test_a_client_s_own_cap_is_held_for_and_sent_as_it_is() -> None:
    asked = ask(max_tokens=7)
    sized = size(asked)
    assert sized.amount_pico == input_pico(asked) + 7 * WRITE
    assert sized.cap_tokens is None


def test_a_client_s_cap_above_the_model_s_maximum_is_lowered_to_it() -> None:
    sized = size(ask(max_tokens=5000))
    assert sized.bounds.output_tokens == 100
    assert sized.cap_tokens == 100


def test_each_choice_and_each_prompt_may_be_as_long_as_the_cap() -> None:
    asked = ask(max_tokens=7, n=3)
    assert size(asked).amount_pico == input_pico(asked) + 21 * WRITE
    prompts = calls.ask(
        PRICE, calls.demand(Api.COMPLETIONS, prompt=["a", "b"], n=2, best_of=5, max_tokens=7)
    )
    assert size(prompts).bounds.output_tokens == 7 * 5 * 2


@pytest.mark.parametrize("limit", ["account", "key", "header"])
@pytest.mark.parametrize("n", [1, 3])
def test_without_a_cap_it_is_lowered_to_exactly_what_the_tightest_limit_affords(
    limit: str, n: int
) -> None:
    asked = ask(n=n)
    for spare_pico in (0, WRITE * n - 1):
        left_pico = input_pico(asked) + 42 * n * WRITE + spare_pico
        sized = {
            "account": lambda left: size(asked, left),
            "key": lambda left: size(asked, key=calls.key(limit_pico=left)),
            "header": lambda left: size(asked, max_cost_pico=left),
        }[limit](left_pico)
        assert sized.cap_tokens == 42
        assert sized.bounds.output_tokens == 42 * n
        assert sized.amount_pico == cost(asked, 42) <= left_pico < cost(asked, 43)


@given(calls.prices, calls.markups, st.integers(1, 3), st.integers(0, 120), st.integers(0, 10**12))
def test_whatever_the_price_one_token_more_than_the_lowered_cap_does_not_fit(
    price: Price, markup_bp: int, n: int, percent: int, more_pico: int
) -> None:
    asked = calls.ask(price, calls.demand(n=n), markup_bp=markup_bp)
    left_pico = cost(asked, 100) * percent // 100 + more_pico
    try:
        sized = size(asked, left_pico)
    except InsufficientCredits:
        assert cost(asked, 1) > left_pico
        return
    assert sized.amount_pico <= left_pico
    if sized.cap_tokens is None:
        assert sized.amount_pico == cost(asked, 100) == 0, "nothing stands on its length"
        return
    assert sized.amount_pico == cost(asked, sized.cap_tokens)
    if sized.cap_tokens < 100:
        assert cost(asked, sized.cap_tokens + 1) > left_pico


@pytest.mark.parametrize("of", [PRICE, calls.flat(input="0.001", output="0.002", request="0.03")])
def test_the_last_pico_is_enough_and_one_less_is_not(of: Price) -> None:
    asked = ask(of=of, max_tokens=10)
    need_pico = cost(asked, 10)
    assert size(asked, need_pico).amount_pico == need_pico
    assert refused(asked, need_pico - 1).shortfall is not None


def test_a_cap_that_cannot_be_afforded_is_refused_with_the_arithmetic() -> None:
    asked = ask(max_tokens=80, n=2)
    left_pico = input_pico(asked) + 2 * 30 * WRITE + 5
    error = refused(asked, left_pico)
    assert error.reason == "max_tokens_unaffordable"
    assert error.retry_after_s is None
    assert error.shortfall is not None
    assert error.shortfall.asked_pico == cost(asked, 80)
    assert error.shortfall.available_pico == left_pico
    assert (error.shortfall.requested_tokens, error.shortfall.affordable_tokens) == (80, 30)
    assert str(error).startswith(
        "This request requires more credits, or fewer max_tokens. You requested up to 80 tokens, "
        "but can only afford 30 (worst case for each of 2 choices)."
    )
    assert size(ask(max_tokens=30, n=2), left_pico)


def test_a_prompt_that_cannot_be_afforded_is_refused_with_the_length_that_can() -> None:
    asked = ask()
    asked_tokens = asked.bounds(0).input_tokens
    error = refused(asked, 400 * READ + WRITE + 5)
    assert error.reason == "prompt_unaffordable"
    assert str(error).startswith(f"Prompt tokens limit exceeded: {asked_tokens} > 400 (")
    assert error.shortfall is not None
    assert error.shortfall.asked_pico == cost(asked, 1)
    assert error.shortfall.affordable_tokens == 0


@pytest.mark.parametrize("members", [{}, {"max_tokens": 5}, {"n": 2}])
def test_a_prompt_that_can_be_afforded_is_not_said_to_be_too_long(members: dict[str, Any]) -> None:
    asked = ask(**members)
    error = refused(asked, input_pico(asked))
    assert error.reason == "max_tokens_unaffordable"
    assert "can only afford 0 (" in str(error)


def test_a_fee_that_cannot_be_paid_is_no_matter_of_the_prompt() -> None:
    asked = ask(of=calls.flat(output="0.001", request="1"))
    error = refused(asked, DOLLAR - 1)
    assert error.reason == "insufficient_credits"


@pytest.mark.parametrize("members", [{}, {"max_tokens": 5}])
def test_what_running_calls_hold_is_worth_waiting_for(members: dict[str, Any]) -> None:
    asked = ask(**members)
    need_pico = cost(asked, 5 if members else 1)
    account = calls.account(need_pico, held_pico=1)
    error = refused(asked, account=account)
    assert error.reason == "in_flight_budget_exhausted"
    assert error.retry_after_s is not None
    assert error.shortfall is not None
    assert error.shortfall.held_pico == 1
    # Without those calls it would not be enough either.
    poorer = refused(asked, account=calls.account(need_pico - 1, held_pico=1))
    assert poorer.retry_after_s is None


@pytest.mark.parametrize(
    ("credits_pico", "used_pico", "reason"),
    [
        (0, 0, "never_purchased"),
        (DOLLAR, DOLLAR, "insufficient_credits"),
        (DOLLAR, 2 * DOLLAR, "insufficient_credits"),
    ],
)
def test_an_empty_account_is_told_whether_it_ever_had_credits(
    credits_pico: int, used_pico: int, reason: str
) -> None:
    error = refused(ask(), account=calls.account(credits_pico, usage_pico=used_pico))
    assert error.reason == reason
    assert str(error).startswith("Insufficient credits.")
    assert error.shortfall is not None
    assert error.shortfall.affordable_tokens == 0


def test_a_negative_floor_is_money_that_can_be_spent() -> None:
    asked = ask(max_tokens=1)
    account = calls.account(0, min_balance_pico=-cost(asked, 1))
    assert size(asked, account=account).amount_pico == cost(asked, 1)


def key_refusal(asked: PricedRequest, left_pico: int, key: Key) -> GatewayError:
    with pytest.raises(GatewayError) as refusal:
        size(asked, left_pico, key=key)
    return refusal.value


def test_the_tightest_limit_is_the_one_that_is_named() -> None:
    asked = ask(max_tokens=10)
    need_pico = cost(asked, 10)
    spent = calls.key(limit_pico=need_pico, usage_pico=1, held_pico=1)
    by_key = key_refusal(asked, need_pico, spent)
    assert isinstance(by_key, KeyLimitExceeded)
    assert (by_key.asked_pico, by_key.limit_pico) == (need_pico, need_pico)
    assert (by_key.spent_pico, by_key.held_pico) == (1, 1)
    assert isinstance(key_refusal(asked, need_pico - 1, spent), KeyLimitExceeded)
    assert isinstance(key_refusal(asked, need_pico - 3, spent), InsufficientCredits)
    assert isinstance(key_refusal(asked, need_pico - 2, spent), InsufficientCredits)
    with pytest.raises(MaxCostExceeded, match="X-ModelGates-Max-Cost") as by_header:
        size(asked, key=spent, max_cost_pico=need_pico - 3)
    assert by_header.value.shortfall.asked_pico == need_pico
    assert by_header.value.shortfall.available_pico == need_pico - 3


def test_a_key_s_limit_counts_in_the_window_of_the_call() -> None:
    asked = ask(max_tokens=10)
    need_pico = cost(asked, 10)
    yesterday = calls.key(
        limit_pico=need_pico,
        limit_reset=LimitReset.DAILY,
        usage_pico=need_pico,
        usage_daily_pico=need_pico,
    )
    assert size(asked, key=yesterday).amount_pico == need_pico


@pytest.mark.parametrize("max_cost_pico", [0, 1, 10**9])
def test_a_call_of_which_not_a_token_fits_its_own_limit_is_refused(max_cost_pico: int) -> None:
    with pytest.raises(MaxCostExceeded):
        size(ask(), max_cost_pico=max_cost_pico)


def test_a_free_model_holds_nothing_and_asks_no_limit() -> None:
    asked = ask(of=calls.flat(), max_tokens=10, n=2)
    empty = calls.account(0)
    sized = size(asked, account=empty, key=calls.key(limit_pico=0), max_cost_pico=0)
    assert (sized.amount_pico, sized.cap_tokens) == (0, None)
    assert sized.bounds.output_tokens == 20


def test_an_account_in_debt_gets_no_free_call_either() -> None:
    ledger, key = PureLedger(), calls.key()
    ledger.keys[key.hash] = key
    ledger.accounts[calls.ACCOUNT] = in_debt = calls.account(0, usage_pico=1)
    sized = size(ask(of=calls.flat()), account=in_debt)
    command = place(calls.ACCOUNT, key.hash, "gen-1", sized.amount_pico)
    with pytest.raises(InsufficientCredits):
        ledger.run(command)
    ledger.accounts[calls.ACCOUNT] = calls.account(0)
    assert ledger.run(command)


def test_a_free_prompt_is_no_reason_to_lower_the_cap_of_a_paid_answer_to_nothing() -> None:
    asked = ask(of=calls.flat(output="0.002"))
    assert size(asked, 3 * WRITE).cap_tokens == 3
    assert refused(asked, WRITE - 1).reason == "max_tokens_unaffordable"


def test_a_free_answer_to_a_paid_prompt_keeps_its_whole_length() -> None:
    asked = ask(of=calls.flat(input="0.001"))
    assert size(asked, input_pico(asked)).cap_tokens == 100
    assert refused(asked, input_pico(asked) - 1).reason == "prompt_unaffordable"


def test_an_embedding_is_held_for_without_output_and_without_a_cap() -> None:
    asked = embedding(max_tokens=50, n=3)
    sized = size(asked)
    assert sized.amount_pico == input_pico(asked)
    assert (sized.bounds.output_tokens, sized.cap_tokens) == (0, None)
    assert refused(asked, input_pico(asked) - 1).reason == "prompt_unaffordable"


def test_many_texts_to_embed_are_held_for_beyond_one_context() -> None:
    """Providers take up to 2048 of them, each as long as the context."""
    asked = embedding(input=["x" * 900] * 50)
    assert asked.bounds(0).input_tokens > 50 * 900


def test_a_hold_stands_on_the_tier_that_the_prompt_may_reach_and_the_dearest_class() -> None:
    dear = calls.price(
        (0, {"input": "0.001", "output": "0.002", "cache_write": "0.00125"}),
        (500, {"input": "0.002", "output": "0.003", "reasoning": "0.004"}),
        (999_999, {"input": "1", "output": "1"}),
    )
    asked = ask(of=dear, max_tokens=10)
    assert size(asked).amount_pico == asked.bounds(0).input_tokens * 2 * READ + 10 * 4 * 10**9


def test_a_markup_is_held_for() -> None:
    plain, dearer = ask(), calls.ask(PRICE, calls.demand(), markup_bp=550)
    assert size(dearer).amount_pico * 1000 == size(plain).amount_pico * 1055


@pytest.mark.parametrize(
    ("members", "meter"),
    [
        ({"modalities": ["text", "audio"]}, "output_audio"),
        ({"modalities": ["image"]}, "output_image"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio"),
        ({"messages": [{"role": "user", "content": [{"type": "audio_url"}]}]}, "input_audio"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "input_audio"),
    ],
)
def test_audio_and_images_are_not_sold_at_the_price_of_text(
    members: dict[str, Any], meter: str
) -> None:
    asked = ask(**members)
    with pytest.raises(InvalidInput, match=f"no price for {meter.replace('_', ' ')}"):
        size(asked)
    priced = {"input": "0.001", "output": "0.002", meter: "0.05"}
    assert size(ask(of=calls.flat(**priced), **members))
    with pytest.raises(InvalidInput):
        size(ask(of=calls.price((0, priced), (900, {"input": "1", "output": "1"})), **members))
    assert size(ask(of=calls.flat(), **members)).amount_pico == 0


@pytest.mark.parametrize("media_tokens", [None, 30])
def test_an_image_is_held_for_as_the_largest_there_is(media_tokens: int | None) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}
    content = [{"type": "text", "text": "?"}, image, image]
    asked = ask(
        of=calls.flat(input="0.001", output="0", input_image="0.003"),
        model={"media_tokens": media_tokens},
        messages=[{"role": "user", "content": content}],
    )
    sized = size(asked)
    assert sized.amount_pico == sized.bounds.input_tokens * 3 * READ
    without = ask(messages=[{"role": "user", "content": content[:1]}]).bounds(0).input_tokens
    if media_tokens is None:
        assert sized.bounds.input_tokens == 1000
    else:
        # Plus the comma, and less the bytes of what is no text.
        assert without + 60 <= sized.bounds.input_tokens <= without + 64
