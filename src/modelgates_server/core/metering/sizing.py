"""Sizing: the hold of a call, which is its worst-case cost or what its account and key can pay.

If the client limits the output tokens, the hold covers its whole limit or the call is rejected. If
it sets no limit, the gateway sends one upstream: what the model allows and the available credits
can pay for.
"""

import msgspec

from modelgates_server.core.errors import (
    GatewayError,
    InsufficientCredits,
    InvalidInput,
    MaxCostExceeded,
    Shortfall,
)
from modelgates_server.core.keys import Key, key_limit_exceeded, spent_pico
from modelgates_server.core.ledger.records import Account
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.money import format_pico
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.core.pricing.prices import (
    Bounds,
    Price,
    affordable_input_tokens,
    affordable_tokens,
    worst_case_pico,
)
from modelgates_server.core.pricing.service_tiers import service_tiers_allowed

_RETRY_AFTER_S = 2


class HoldQuote(msgspec.Struct, frozen=True):
    """The amount to hold, its bounds, and the cap to send upstream if the gateway sets one."""

    amount_pico: int
    bounds: Bounds
    cap_tokens: int | None


class PricedRequest(msgspec.Struct, frozen=True):
    """One request to one model, at one price."""

    model: Model
    price: Price
    request: InferenceRequest
    markup_bp: int

    @property
    def output_max(self) -> int:
        """The highest limit for the output of one choice that may be sent upstream."""
        return min(self.model.output_tokens, self.model.context_tokens)

    @property
    def cap_tokens(self) -> int | None:
        """The client's limit for the output of each choice; None if there is none."""
        return self.request.cap_tokens

    @property
    def default_cap(self) -> int | None:
        """The limit to send if the client sets none, because the hold depends on it.

        None if the prompt and this limit might exceed the context, which providers reject, unless
        the provider rejects a request without a limit.
        """
        if not self.request.has_output:
            return None
        cap = min(self.model.default_output_tokens or self.output_max, self.output_max)
        fits = self.bounds(cap).input_tokens + cap <= self.model.context_tokens
        return cap if fits or self.request.requires_cap else None

    @property
    def output_tokens(self) -> int:
        """The maximum output of one choice: the limit that is sent upstream, or the context."""
        if not self.request.has_output:
            return 0
        if self.cap_tokens is not None:
            return min(self.cap_tokens, self.output_max)
        return self.default_cap or self.model.context_tokens

    @property
    def needs_cap(self) -> bool:
        """Whether the gateway sets the limit: the client set none, or one that is too high."""
        cap = self.cap_tokens
        return self.default_cap is not None if cap is None else cap > self.output_max

    def bounds(self, output_tokens: int) -> Bounds:
        """Returns the most that the call can use with `output_tokens` for each choice."""
        bounds = self.request.bounds(
            context_tokens=self.model.context_tokens,
            media_tokens=self.model.media_tokens,
            output_tokens=output_tokens,
        )
        service_tiers = service_tiers_allowed(self.price, self.request.service_tier)
        return msgspec.structs.replace(bounds, service_tiers=service_tiers)

    def quote(self, output_tokens: int, *, lowered: bool) -> HoldQuote:
        """Returns the hold for `output_tokens` for each choice."""
        bounds = self.bounds(output_tokens)
        amount_pico = worst_case_pico(self.price, bounds, self.markup_bp)
        return HoldQuote(amount_pico, bounds, output_tokens if lowered else None)

    def affordable_tokens(self, budget_pico: int) -> int:
        """Returns the output tokens for each choice that a budget covers.

        It is negative if the budget does not cover the input.
        """
        tokens = affordable_tokens(self.price, self.bounds(0), self.markup_bp, budget_pico)
        return self.output_tokens if tokens is None else tokens // self.request.choices


class _Budget(msgspec.Struct, frozen=True):
    """A limit on the cost of a call: the amount left now, and the amount that open holds take."""

    left_pico: int
    held_pico: int
    source: Account | Key | None  # None: a header of the request


def quote_hold(
    priced: PricedRequest,
    *,
    account: Account,
    key: Key,
    at_ms: int,
    max_cost_pico: int | None = None,
) -> HoldQuote:
    """Returns the hold of a call, within the limits of its account, its key and its header.

    Raises `InsufficientCredits`, `KeyLimitExceeded` or `MaxCostExceeded` with the arithmetic, and
    `InvalidInput` for audio, images and service tiers without a price: charging the rates of text
    would lose money. The ledger checks account and key again when the hold is placed.
    """
    refuse_unpriced(priced.model, priced.price, priced.request)
    output_tokens, cap = priced.output_tokens, priced.cap_tokens
    whole = priced.quote(output_tokens, lowered=priced.needs_cap)
    if whole.amount_pico == 0:
        return whole
    tight = _tightest(account, key, at_ms, max_cost_pico)
    if whole.amount_pico <= tight.left_pico:
        return whole
    affordable = priced.affordable_tokens(tight.left_pico)
    if cap is None and 1 <= affordable < output_tokens:
        return priced.quote(min(affordable, priced.output_max), lowered=True)
    least = whole if cap is not None else priced.quote(min(1, output_tokens), lowered=False)
    raise _refusal(priced, tight, least.amount_pico, at_ms)


def refuse_unpriced(model: Model, price: Price, request: InferenceRequest) -> None:
    """Raises `InvalidInput` for audio, images and service tiers without a price."""
    service_tiers_allowed(price, request.service_tier)
    if price.is_free:
        return
    for meter in sorted(request.unlike_text):
        if not all(meter in tier.rates for tier in price.tiers):
            raise InvalidInput(
                f"{model.id} has no price for {meter.replace('_', ' ')}. Choose another model, or "
                "ask the operator of this server to add the price."
            )


def _tightest(account: Account, key: Key, at_ms: int, max_cost_pico: int | None) -> _Budget:
    left_pico = account.available_pico - account.min_balance_pico
    budgets = [_Budget(left_pico, account.held_pico, account)]
    if key.limit_pico is not None:
        left_pico = key.limit_pico - spent_pico(key, at_ms) - key.held_pico
        budgets.append(_Budget(left_pico, key.held_pico, key))
    if max_cost_pico is not None:
        budgets.append(_Budget(max_cost_pico, 0, None))
    return min(budgets, key=lambda budget: budget.left_pico)


def _refusal(priced: PricedRequest, tight: _Budget, needed_pico: int, at_ms: int) -> GatewayError:
    """Returns why no hold can be placed, in the words that OpenRouter's clients know."""
    source, left_pico = tight.source, tight.left_pico
    if isinstance(source, Key):
        return key_limit_exceeded(source, needed_pico, at_ms)
    affordable = priced.affordable_tokens(left_pico)
    shortfall = Shortfall(
        asked_pico=needed_pico,
        available_pico=left_pico,
        held_pico=tight.held_pico,
        requested_tokens=priced.output_tokens
        if priced.cap_tokens
        else min(1, priced.output_tokens),
        affordable_tokens=max(0, affordable),
        choices=priced.request.choices,
    )
    if source is None:
        remedy = "Lower `max_tokens`" if shortfall.affordable_tokens else "Shorten the prompt"
        return MaxCostExceeded(
            f"This request can cost up to {format_pico(needed_pico)} US dollars, more than its "
            f"`X-ModelGates-Max-Cost` of {format_pico(left_pico)}. {remedy}, or raise the header.",
            shortfall,
        )
    if needed_pico <= left_pico + tight.held_pico:
        return InsufficientCredits.in_flight(shortfall, _RETRY_AFTER_S)
    if left_pico > 0 and affordable >= 0:
        return InsufficientCredits.fewer_tokens(shortfall)
    bounds = priced.bounds(min(1, priced.output_tokens))  # leave room for one output token
    most = affordable_input_tokens(priced.price, bounds, priced.markup_bp, left_pico)
    if most:
        return InsufficientCredits.shorter_prompt(shortfall, bounds.input_tokens, most)
    return InsufficientCredits.empty(shortfall, purchased=source.credits_pico > 0)
