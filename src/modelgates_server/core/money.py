"""Money: integers of pico-dollars. Text is converted to picos exactly, or rejected."""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import NewType

from modelgates_server.core.errors import InvalidAmount

Pico = NewType("Pico", int)
"""1e-12 US dollar."""

PICOS_PER_DOLLAR = 10**12
PLACES = 12
ENTRY_MAX_PICO = 2**63 - 1
"""The largest single amount: an int64, 9,223,372.036854775807 dollars."""

_PLAIN_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", re.ASCII)
_TEXT_MAX = 64
_ONE_PICO = Decimal("1e-12")
_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation])
_TOO_LARGE = (
    "The amount is larger than 9223372.036854775807 dollars, the maximum of one entry. "
    "Give a smaller amount."
)


def parse_pico(text: str) -> Pico:
    """Parses dollars written as a plain decimal, such as `100.5` or `-0.000000000001`.

    Input is never rounded. Raises `InvalidAmount` for exponents, separators, NaN, infinities, more
    than 12 decimal places and amounts beyond int64 picos.
    """
    stripped = text.strip()
    if len(stripped) > _TEXT_MAX or not _PLAIN_DECIMAL.fullmatch(stripped):
        shown = stripped if len(stripped) <= _TEXT_MAX else f"{stripped[:_TEXT_MAX]}…"
        raise InvalidAmount(
            f"{shown!r} is not an exact decimal amount of dollars. Write digits with at most "
            f"{PLACES} decimal places, for example 100.5."
        )
    return pico_of(Decimal(stripped))


def pico_of(dollars: Decimal) -> Pico:
    """Converts a decimal of dollars exactly; raises `InvalidAmount` if that is impossible."""
    if not dollars.is_finite():
        raise InvalidAmount(f"{dollars} is not an amount of money. Give a number of dollars.")
    if dollars and dollars.adjusted() >= PLACES:
        # Rejected before the conversion: 1e999999 would fill the memory with digits.
        raise InvalidAmount(_TOO_LARGE)
    try:
        pico = int(dollars.quantize(_ONE_PICO, context=_EXACT).scaleb(PLACES, context=_EXACT))
    except Inexact:
        raise InvalidAmount(
            f"The amount has more than {PLACES} decimal places. Amounts are never rounded: "
            f"give at most {PLACES} decimal places."
        ) from None
    if abs(pico) > ENTRY_MAX_PICO:
        raise InvalidAmount(_TOO_LARGE)
    return Pico(pico)


def format_pico(pico: int) -> str:
    """Returns dollars as the shortest exact decimal: `25.75`, `0.000000123456`, `5`, `-1.5`."""
    digits = f"{pico:013d}" if pico >= 0 else f"{pico:014d}"
    fraction = digits[-PLACES:].rstrip("0")
    return f"{digits[:-PLACES]}.{fraction}" if fraction else digits[:-PLACES]
