from typing import Any

import pytest

from modelgates_server.core.books import Account
from modelgates_server.core.errors import (
    InsufficientCredits,
)
from modelgates_server.core.inference import Api
from modelgates_server.core.keys import Key
from modelgates_server.core.prices import Price
from modelgates_server.core.sizing import Ask, Sized, size_hold
from tests.core import calls
from tests.support import T0_MS

# A thousandth of a dollar to read a token, two to write one.
PRICE = calls.flat(input="0.001", output="0.002")
READ = 10**9
WRITE = 2 * 10**9
RICH = 10**18


def ask(*, of: Price = PRICE, model: dict[str, Any] | None = None, **members: Any) -> Ask:
    return calls.ask(of, calls.demand(**members), at=calls.model(**(model or {})))


def embedding(of: Price = PRICE, **members: Any) -> Ask:
    return calls.ask(of, calls.demand(Api.EMBEDDINGS, **members))


def size(
    asked: Ask,
    left_pico: int = RICH,
    *,
    key: Key | None = None,
    max_cost_pico: int | None = None,
    account: Account | None = None,
) -> Sized:
    return size_hold(
        asked,
        account=account or calls.account(left_pico),
        key=key or calls.key(),
        at_ms=T0_MS,
        max_cost_pico=max_cost_pico,
    )


def refused(asked: Ask, left_pico: int = RICH, **members: Any) -> InsufficientCredits:
    with pytest.raises(InsufficientCredits) as refusal:
        size(asked, left_pico, **members)
    return refusal.value


def cost(asked: Ask, tokens: int) -> int:
    """The worst case of so many tokens a choice."""
    return asked.sized(tokens, lowered=False).amount_pico


def input_pico(asked: Ask) -> int:
    return asked.bounds(0).input_tokens * READ


def test_hold_covers_the_context_when_no_cap_is_sent_because_it_may_not_fit() -> None:
    tight = ask(model={"context_tokens": 700, "output_tokens": 100}, n=2)
    assert tight.bounds(0).input_tokens + 100 > 700
    sized = size(tight)
    assert sized.cap_tokens is None
    assert sized.bounds.output_tokens == 700 * 2
    assert sized.amount_pico == input_pico(tight) + 700 * 2 * WRITE


def test_cap_that_the_balance_affords_is_sent_when_the_context_cannot_be_paid_for() -> None:
    tight = ask(model={"context_tokens": 700, "output_tokens": 100})
    assert size(tight, input_pico(tight) + 50 * WRITE).cap_tokens == 50
    assert size(tight, input_pico(tight) + 600 * WRITE).cap_tokens == 100, "the model's maximum"


@pytest.mark.parametrize(("default", "cap"), [(None, 100), (40, 40), (100, 100), (5000, 100)])
def test_default_limit_is_sent_and_held_for_when_the_client_sets_none(
    default: int | None, cap: int
) -> None:
    asked = ask(model={"default_output_tokens": default})
    sized = size(asked)
    assert sized.cap_tokens == sized.bounds.output_tokens == cap
    assert sized.amount_pico == input_pico(asked) + cap * WRITE


def test_client_s_own_limit_overrides_the_default() -> None:
    sized = size(ask(model={"default_output_tokens": 40}, max_tokens=80))
    assert (sized.cap_tokens, sized.bounds.output_tokens) == (None, 80)


def test_free_model_gets_a_limit_like_any_other() -> None:
    sized = size(ask(of=calls.flat(input="0")))
    assert (sized.amount_pico, sized.cap_tokens, sized.bounds.output_tokens) == (0, 100, 100)
