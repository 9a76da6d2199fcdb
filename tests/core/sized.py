"""Calls at a price that is easy to calculate with, and their holds."""

from typing import Any

import pytest

from modelgates_server.core.errors import (
    InsufficientCredits,
)
from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import Account
from modelgates_server.core.metering.sizing import HoldQuote, PricedRequest, quote_hold
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import Price
from tests.core import calls
from tests.support import T0_MS

# A thousandth of a dollar for an input token, two for an output token.
PRICE = calls.flat(input="0.001", output="0.002")
READ = 10**9
WRITE = 2 * 10**9
RICH = 10**18


def priced_request(
    *, of: Price = PRICE, model: dict[str, Any] | None = None, **members: Any
) -> PricedRequest:
    return calls.priced(of, calls.request(**members), at=calls.model(**(model or {})))


def embedding(of: Price = PRICE, **members: Any) -> PricedRequest:
    return calls.priced(of, calls.request(Api.EMBEDDINGS, **members))


def size(
    of: PricedRequest,
    left_pico: int = RICH,
    *,
    key: Key | None = None,
    max_cost_pico: int | None = None,
    account: Account | None = None,
) -> HoldQuote:
    return quote_hold(
        of,
        account=account or calls.account(left_pico),
        key=key or calls.key(),
        at_ms=T0_MS,
        max_cost_pico=max_cost_pico,
    )


def refused(of: PricedRequest, left_pico: int = RICH, **members: Any) -> InsufficientCredits:
    with pytest.raises(InsufficientCredits) as refusal:
        size(of, left_pico, **members)
    return refusal.value


def cost(of: PricedRequest, tokens: int) -> int:
    """The worst-case cost with `tokens` output tokens for each choice."""
    return of.quote(tokens, lowered=False).amount_pico


def input_pico(of: PricedRequest) -> int:
    return of.bounds(0).input_tokens * READ
