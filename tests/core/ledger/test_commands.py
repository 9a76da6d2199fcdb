from typing import Any

import pytest

from modelgates_server.core.errors import InvalidAmount, InvalidInput
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.money import ENTRY_MAX_PICO
from tests.support import T0_MS, adjust, capture, expire, extend, grant, place

ID = "user_0123456789abcdefghijKL"
HASH = "0" * 64
NAMED: dict[str, Any] = {"account_id": ID, "reference": "r", "at_ms": T0_MS}


@pytest.mark.parametrize("amount_pico", [1, ENTRY_MAX_PICO])
def test_smallest_and_largest_amounts_are_accepted(amount_pico: int) -> None:
    grant(ID, amount_pico)
    adjust(ID, amount_pico)
    adjust(ID, -amount_pico)
    place(ID, HASH, "h", amount_pico)
    capture(ID, HASH, "h", amount_pico)


def test_hold_commands_accept_an_amount_of_zero() -> None:
    place(ID, HASH, "h", 0)
    capture(ID, HASH, "h", 0)
    extend(ID, HASH, "h", "1", 0)
    expire(ID, HASH, "h", T0_MS, 0)


def test_grant_and_adjustment_of_zero_are_refused() -> None:
    for build in (lambda: grant(ID, 0), lambda: adjust(ID, 0)):
        with pytest.raises(InvalidAmount, match=r"The amount 0 is zero\. Give 0\.000000000001 to"):
            build()


def test_negative_grant_is_refused() -> None:
    with pytest.raises(InvalidAmount, match=r"The amount -0\.000000000001 is negative"):
        grant(ID, -1)


def test_negative_amount_of_a_hold_command_is_refused() -> None:
    for build in (
        lambda: place(ID, HASH, "h", -1),
        lambda: capture(ID, HASH, "h", -1),
        lambda: extend(ID, HASH, "h", "1", -1),
        lambda: expire(ID, HASH, "h", T0_MS, -1),
    ):
        with pytest.raises(InvalidAmount, match=r"The amount -0\.000000000001 is negative"):
            build()


@pytest.mark.parametrize("amount_pico", [ENTRY_MAX_PICO + 1, 10**30])
def test_amount_beyond_int64_is_refused(amount_pico: int) -> None:
    for build in (
        lambda: grant(ID, amount_pico),
        lambda: adjust(ID, amount_pico),
        lambda: adjust(ID, -amount_pico),
        lambda: place(ID, HASH, "h", amount_pico),
        lambda: capture(ID, HASH, "h", amount_pico),
        lambda: extend(ID, HASH, "h", "1", amount_pico),
        lambda: expire(ID, HASH, "h", T0_MS, amount_pico),
    ):
        with pytest.raises(InvalidAmount, match="is too large"):
            build()


@pytest.mark.parametrize("amount", [1.0, True, "1", None])
def test_amount_that_is_not_an_integer_is_an_assertion_error(amount: object) -> None:
    with pytest.raises((AssertionError, TypeError)):
        grant(ID, amount)  # type: ignore[arg-type]


@pytest.mark.parametrize("account_id", ["", "user_", ID + "x", ID.upper(), "user_ü" + ID[6:]])
def test_invalid_account_id_is_an_assertion_error(account_id: str) -> None:
    with pytest.raises(AssertionError):
        c.CloseAccount(account_id=account_id, reference="r", at_ms=T0_MS)


@pytest.mark.parametrize("text", ["", "x" * 256])
def test_text_is_refused_unless_it_has_1_to_255_characters(text: str) -> None:
    with pytest.raises(InvalidInput, match="must have 1 to 255 characters"):
        c.CloseAccount(account_id=ID, reference=text, at_ms=T0_MS)
    with pytest.raises(InvalidInput, match="must have 1 to 255 characters"):
        c.OpenAccount(**NAMED, name=text)
    with pytest.raises(InvalidInput, match="must have 1 to 255 characters"):
        c.Grant(**NAMED, amount_pico=1, reason=text)
    with pytest.raises(InvalidInput, match="must have 1 to 255 characters"):
        c.VoidHold(**NAMED, hold_id=text, key_hash=HASH)


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "a\x1b[31m", "a\u202eb", "\ud800", "a\u2028b"])
def test_text_is_refused_when_it_has_unprintable_characters(text: str) -> None:
    with pytest.raises(InvalidInput, match="control or other unprintable character"):
        c.OpenAccount(**NAMED, name=text)


@pytest.mark.parametrize("text", ["x", "x" * 255, "Žofie 株式会社 🙂", "50 % off; drop table"])
def test_text_with_any_printable_characters_is_accepted(text: str) -> None:
    c.OpenAccount(**NAMED, name=text)


def test_floor_is_refused_unless_it_is_zero_or_negative() -> None:
    c.OpenAccount(**NAMED, name="x", min_balance_pico=-ENTRY_MAX_PICO)
    for floor in (1, -ENTRY_MAX_PICO - 1):
        with pytest.raises(InvalidInput, match=r"minimum balance .* is out of range"):
            c.OpenAccount(**NAMED, name="x", min_balance_pico=floor)


@pytest.mark.parametrize("reference", [" r", "r "])
def test_reference_is_refused_when_it_starts_or_ends_with_a_space(reference: str) -> None:
    with pytest.raises(InvalidInput, match="starts or ends with a space"):
        grant(ID, 1, reference)
