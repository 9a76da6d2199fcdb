"""Amounts in JSON: exact decimals, written as numbers and read back without a float."""

from decimal import Decimal, InvalidOperation

import msgspec

from modelgates_server.core.errors import InvalidAmount
from modelgates_server.core.money import Pico, format_pico, pico_of

Number = msgspec.Raw
"""The text of a JSON number of dollars."""


def number(pico: int) -> Number:
    """An amount as a JSON number: `25.75`, never `25.749999999999996`."""
    return msgspec.Raw(format_pico(pico).encode())


def number_or_null(pico: int | None) -> Number | None:
    """The same; None stays None."""
    return None if pico is None else number(pico)


def read_number(member: str, raw: Number) -> Pico | None:
    """Read a number of dollars, or null; raises `InvalidAmount`, also for a negative number."""
    text = bytes(raw).decode("latin-1")  # msgspec does not check raw values, not even for UTF-8
    if text == "null":
        return None
    if text[0] not in "-0123456789":
        raise InvalidAmount(f"`{member}` must be a number of US dollars, or `null`.")
    try:
        amount = pico_of(Decimal(text))
    except InvalidOperation:
        raise InvalidAmount(
            f"`{member}` is out of range. Give US dollars with at most 12 decimal places."
        ) from None
    if amount < 0:
        raise InvalidAmount(f"`{member}` must not be negative: {format_pico(amount)}.")
    return amount
