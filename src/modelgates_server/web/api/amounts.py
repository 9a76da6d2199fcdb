"""Amounts in JSON are exact decimals written as numbers, and are read back without a float."""

from decimal import Decimal, InvalidOperation

import msgspec

from modelgates_server.core.errors import InvalidAmount
from modelgates_server.core.money import Pico, format_pico, pico_of

Number = msgspec.Raw
"""A JSON number of dollars, as its text."""


def number(pico: int) -> Number:
    """`25.75`, never `25.749999999999996`."""
    return msgspec.Raw(format_pico(pico).encode())


def number_or_null(pico: int | None) -> Number | None:
    """The same; None stays None."""
    return None if pico is None else number(pico)


def read_number(member: str, raw: Number) -> Pico | None:
    """Read a number of dollars that may be null and not negative; raises `InvalidAmount`."""
    text = bytes(raw).decode("latin-1")  # msgspec leaves what is raw unchecked, bad UTF-8 too
    if text == "null":
        return None
    if text[0] not in "-0123456789":
        raise InvalidAmount(f"{member} must be a number of dollars or null")
    try:
        amount = pico_of(Decimal(text))
    except InvalidOperation:
        raise InvalidAmount(f"{member} is out of range") from None
    if amount < 0:
        raise InvalidAmount(f"{member} may not be negative")
    return amount
