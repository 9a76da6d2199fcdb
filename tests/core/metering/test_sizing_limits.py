import pytest

from tests.core import calls
from tests.core.sized import (
    WRITE,
    input_pico,
    priced_request,
    size,
)


def test_hold_covers_the_context_when_the_cap_may_not_fit() -> None:
    tight = priced_request(model={"context_tokens": 700, "output_tokens": 100}, choices=2)
    assert tight.bounds(0).input_tokens + 100 > 700
    quote = size(tight)
    assert quote.cap_tokens is None
    assert quote.bounds.output_tokens == 700 * 2
    assert quote.amount_pico == input_pico(tight) + 700 * 2 * WRITE


def test_affordable_cap_is_sent_when_the_context_is_unaffordable() -> None:
    tight = priced_request(model={"context_tokens": 700, "output_tokens": 100})
    assert size(tight, input_pico(tight) + 50 * WRITE).cap_tokens == 50
    assert size(tight, input_pico(tight) + 600 * WRITE).cap_tokens == 100, "the model's maximum"


@pytest.mark.parametrize(("default", "cap"), [(None, 100), (40, 40), (100, 100), (5000, 100)])
def test_default_limit_is_sent_and_held_for_when_the_client_sets_none(
    default: int | None, cap: int
) -> None:
    priced = priced_request(model={"default_output_tokens": default})
    quote = size(priced)
    assert quote.cap_tokens == quote.bounds.output_tokens == cap
    assert quote.amount_pico == input_pico(priced) + cap * WRITE


def test_limit_of_the_client_overrides_the_default() -> None:
    quote = size(priced_request(model={"default_output_tokens": 40}, cap_tokens=80))
    assert (quote.cap_tokens, quote.bounds.output_tokens) == (None, 80)


def test_free_model_has_the_same_limit_as_any_other() -> None:
    quote = size(priced_request(of=calls.flat(input="0")))
    assert (quote.amount_pico, quote.cap_tokens, quote.bounds.output_tokens) == (0, 100, 100)
