"""Prices: dated rates per unit, and the only code that converts usage to amounts.

Rates are exact decimals of dollars per token or request. A charge is the exact sum of its lines,
rounded once to a pico-dollar, half to even. Worst-case costs are rounded up.
"""

import re
from collections.abc import Container, Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, Inexact
from functools import lru_cache

import msgspec

from modelgates_server.core.errors import InvalidAmount
from modelgates_server.core.money import ENTRY_MAX_PICO, PLACES, Pico
from modelgates_server.core.pricing.usage import (
    INPUTS,
    MEDIA_INPUTS,
    OUTPUTS,
    Meter,
    Usage,
    containing_classes,
)

RATE_MAX = Decimal(1000)
RATE_PLACES_MAX = 24
BASIS_POINTS = 10_000
MARKUP_MAX_BP = 1_000_000

_RATE = re.compile(rf"[0-9]{{1,4}}(\.[0-9]{{1,{RATE_PLACES_MAX}}})?", re.ASCII)
_EXACT = Context(prec=100, traps=[Inexact])
_WIDE = Context(prec=100)
_ONE = Decimal(1)
_ZERO = Decimal(0)

_REQUEST = (Meter.REQUEST,)
_TEXT_INPUTS = tuple(meter for meter in INPUTS if meter not in MEDIA_INPUTS)

Rates = Mapping[Meter, Decimal]


class Tier(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rates for calls with more than `above` prompt tokens. They apply to the whole call.

    `service_tier` is the provider's service tier that they apply to; None for the standard one.
    """

    above: int
    rates: dict[Meter, Decimal]
    service_tier: str | None = None

    def rate(self, meter: Meter) -> Decimal:
        """Returns dollars per unit. Requests cost 0 unless there is a rate for them."""
        for each in (meter, *containing_classes(meter)):
            if each in self.rates:
                return self.rates[each]
        assert meter is Meter.REQUEST, "input and output have rates"
        return _ZERO


class Price(msgspec.Struct, frozen=True):
    """The price of an endpoint from an instant on. It never changes: a new price is a new row.

    `tiers` has the tiers of the standard service tier first, then those of each other service tier.
    Within a service tier they start with the one above 0, in rising order. `source` says where the
    rates come from.
    """

    id: str
    endpoint_id: str
    from_ms: int
    source: str
    tiers: tuple[Tier, ...]

    def __hash__(self) -> int:
        # Every call looks up rates by price. Equality distinguishes two prices with the same id.
        return hash(self.id)

    def __post_init__(self) -> None:
        for service_tier in (None, *self.service_tiers):
            above = [tier.above for tier in self.tiers_of(service_tier)]
            assert above[:1] == [0], "the first tier applies to all calls"
            assert above == sorted(set(above)), "tiers rise"
        assert all({Meter.INPUT, Meter.OUTPUT} <= tier.rates.keys() for tier in self.tiers)

    @property
    def service_tiers(self) -> tuple[str, ...]:
        """The service tiers with a price, except the standard one."""
        return tuple(dict.fromkeys(tier.service_tier for tier in self.tiers if tier.service_tier))

    def tiers_of(self, service_tier: str | None) -> list[Tier]:
        """Returns the tiers of one service tier in rising order; empty if it has no price."""
        return [tier for tier in self.tiers if tier.service_tier == service_tier]

    def reach(self, prompt_tokens: int) -> int:
        """Returns the highest `above` that a call with this many prompt tokens exceeds."""
        return max(tier.above for tier in self.tiers if tier.above < max(prompt_tokens, 1))

    @property
    def is_free(self) -> bool:
        """Whether every call is free."""
        return not any(rate for tier in self.tiers for rate in tier.rates.values())


class ReceiptLine(msgspec.Struct, frozen=True):
    """One line of a receipt: quantity x rate = amount, in exact dollars.

    `meter` is a `Meter`, or `rounding` (to a pico), or `overrun` (usage above the hold, which the
    platform pays). It is stored and shown as `what`.
    """

    meter: str = msgspec.field(name="what")
    quantity: int
    rate: Decimal
    amount: Decimal


class Charge(msgspec.Struct, frozen=True):
    """The lines of a call and their exact sum."""

    lines: tuple[ReceiptLine, ...]
    amount_pico: int

    def __post_init__(self) -> None:
        assert total_of(self.lines) == dollars(self.amount_pico), "lines add up to the charge"
        assert self.amount_pico >= 0


def read_rate(text: str) -> Decimal:
    """Parses dollars per unit, written as a plain decimal from 0 to 1000.

    Raises `InvalidAmount` for anything else, including signs, exponents and NaN: in another
    gateway, a price of -1 once created 31,348 dollars.
    """
    if not _RATE.fullmatch(text) or (rate := Decimal(text)) > RATE_MAX:
        raise InvalidAmount(
            f"{text[:64]!r} is not a price in dollars per unit. Write a plain decimal from 0 to "
            f'{RATE_MAX} in quotes, for example "0.00000015".'
        )
    return rate


def plain(value: Decimal) -> str:
    """Returns a decimal in its shortest form, without an exponent: `0.00000015`, `5`."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def dollars(amount_pico: int) -> Decimal:
    """Converts picos to an exact decimal of dollars."""
    return Decimal(amount_pico).scaleb(-PLACES, _EXACT)


def total_of(lines: Iterable[ReceiptLine]) -> Decimal:
    """Returns the exact sum of receipt lines."""
    total = _ZERO
    for line in lines:
        total = _EXACT.add(total, line.amount)
    return total


def whole_pico(lines: Iterable[ReceiptLine], meters: Container[str]) -> Pico:
    """Returns the sum of the lines of some meters, rounded down to picos, for display."""
    return _picos(total_of(line for line in lines if line.meter in meters), ROUND_FLOOR)


def charge_for(
    price: Price,
    usage: Usage,
    markup_bp: int,
    held_pico: int,
    service_tier: str | None = None,
) -> Charge:
    """Returns the charge of a call at a priced service tier, which never exceeds its hold.

    Usage above the hold becomes a separate line, which the platform pays.
    """
    rates = _rates(price, price.reach(usage.prompt_tokens), service_tier, markup_bp)
    lines = [
        _line(meter, quantity, rates[meter]) for meter, quantity in usage.quantities() if quantity
    ]
    if rates[Meter.REQUEST]:
        lines.append(_line(Meter.REQUEST, 1, rates[Meter.REQUEST]))
    exact = total_of(lines)
    amount_pico = _picos(exact, ROUND_HALF_EVEN)
    if rounding := _EXACT.subtract(dollars(amount_pico), exact):
        lines.append(_line("rounding", 1, rounding))
    if amount_pico > held_pico:
        lines.append(_line("overrun", 1, dollars(held_pico - amount_pico)))
    return Charge(tuple(lines), min(amount_pico, held_pico))


def used_pico(charge: Charge) -> int:
    """Returns charge plus overrun, but at most the maximum of an entry."""
    overrun = next((line.amount for line in charge.lines if line.meter == "overrun"), _ZERO)
    return min(charge.amount_pico + _picos(-overrun, ROUND_HALF_EVEN), ENTRY_MAX_PICO)


def shown_tiers(price: Price, markup_bp: int, service_tier: str | None = None) -> list[Tier]:
    """Returns the rates of a service tier that have been set, with the markup of a customer.

    A tier repeats every rate that a lower tier sets, because clients take missing ones from the
    first tier.
    """
    shown = []
    meters: dict[Meter, None] = {}
    for tier in price.tiers_of(service_tier):
        meters.update(dict.fromkeys(tier.rates))
        rates = {meter: _marked_up(tier.rate(meter), markup_bp) for meter in meters}
        shown.append(Tier(tier.above, rates, service_tier))
    return shown


class Bounds(msgspec.Struct, frozen=True):
    """The most that one call can use. `media`: part of its input is not text.

    `service_tiers` are those that may serve the call in addition to the standard one.
    """

    input_tokens: int
    output_tokens: int
    media: bool
    service_tiers: tuple[str, ...] = ()


def worst_case_pico(price: Price, bounds: Bounds, markup_bp: int) -> Pico:
    """Returns a true upper bound of a call's cost, at the highest rates that may apply."""
    exact = _EXACT.add(
        _fixed(price, bounds, markup_bp),
        _EXACT.multiply(bounds.output_tokens, _output_rate(price, bounds, markup_bp)),
    )
    return _picos(exact, ROUND_CEILING)


def affordable_tokens(price: Price, bounds: Bounds, markup_bp: int, budget_pico: int) -> int | None:
    """Returns how many output tokens a budget covers in addition to the input.

    Negative if it does not cover the input. None if it does and output is free.
    """
    left = _EXACT.subtract(dollars(budget_pico), _fixed(price, bounds, markup_bp))
    rate = _output_rate(price, bounds, markup_bp)
    if left < 0:
        return -1
    if not rate:
        return None
    # Rounded down twice: the quotient to a hundred digits, then to a whole token.
    down = Context(prec=100, rounding=ROUND_FLOOR)
    return int(down.divide(left, rate).to_integral_value(ROUND_FLOOR))


def affordable_input_tokens(price: Price, bounds: Bounds, markup_bp: int, budget_pico: int) -> int:
    """Returns how many input tokens a budget covers in addition to the output of the bounds."""
    rate = _input_rate(price, bounds, markup_bp)
    left = _EXACT.subtract(dollars(max(budget_pico, 0)), _request_rate(price, bounds, markup_bp))
    written = _EXACT.multiply(bounds.output_tokens, _output_rate(price, bounds, markup_bp))
    left = _EXACT.subtract(left, written)
    if left <= 0 or not rate:
        return 0
    down = Context(prec=100, rounding=ROUND_FLOOR)
    return int(down.divide(left, rate).to_integral_value(ROUND_FLOOR))


def _fixed(price: Price, bounds: Bounds, markup_bp: int) -> Decimal:
    """Returns the part of a worst-case cost that does not depend on the output."""
    return _EXACT.add(
        _EXACT.multiply(bounds.input_tokens, _input_rate(price, bounds, markup_bp)),
        _request_rate(price, bounds, markup_bp),
    )


def _input_rate(price: Price, bounds: Bounds, markup_bp: int) -> Decimal:
    return dearest_rate(price, bounds, INPUTS if bounds.media else _TEXT_INPUTS, markup_bp)


def _output_rate(price: Price, bounds: Bounds, markup_bp: int) -> Decimal:
    return dearest_rate(price, bounds, OUTPUTS, markup_bp)


def _request_rate(price: Price, bounds: Bounds, markup_bp: int) -> Decimal:
    return dearest_rate(price, bounds, _REQUEST, markup_bp)


def dearest_rate(
    price: Price, bounds: Bounds, meters: tuple[Meter, ...], markup_bp: int
) -> Decimal:
    """Returns the highest rate of some meters that a call may pay, in dollars with the markup."""
    reach = price.reach(bounds.input_tokens)
    return _dearest_rate(price, reach, bounds.service_tiers, meters, markup_bp)


@lru_cache(maxsize=4096)
def _dearest_rate(
    price: Price,
    reach: int,
    service_tiers: tuple[str, ...],
    meters: tuple[Meter, ...],
    markup_bp: int,
) -> Decimal:
    """Returns the highest rate of some meters in all tiers up to a reach, including standard."""
    tiers = [
        tier
        for tier in price.tiers
        if tier.above <= reach and tier.service_tier in (None, *service_tiers)
    ]
    return _marked_up(max(tier.rate(meter) for tier in tiers for meter in meters), markup_bp)


@lru_cache(maxsize=4096)
def _rates(
    price: Price, reach: int, service_tier: str | None, markup_bp: int
) -> Mapping[Meter, Decimal]:
    """Returns the rate of each meter in the last tier up to a reach."""
    tier = [tier for tier in price.tiers_of(service_tier) if tier.above <= reach][-1]
    return {meter: _marked_up(tier.rate(meter), markup_bp) for meter in Meter}


def _marked_up(rate: Decimal, markup_bp: int) -> Decimal:
    return _EXACT.multiply(rate, Decimal(BASIS_POINTS + markup_bp).scaleb(-4, _EXACT))


def _line(meter: str, quantity: int, rate: Decimal) -> ReceiptLine:
    return ReceiptLine(meter, quantity, rate, _EXACT.multiply(quantity, rate))


def _picos(exact: Decimal, rounding: str) -> Pico:
    """Converts dollars to picos: the only place where money is rounded."""
    return Pico(int(exact.scaleb(PLACES, _EXACT).quantize(_ONE, rounding=rounding, context=_WIDE)))
