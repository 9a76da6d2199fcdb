import re
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidAmount
from modelgates_server.core.money import (
    ENTRY_MAX_PICO,
    PICOS_PER_DOLLAR,
    format_pico,
    parse_pico,
    pico_of,
)

picos = st.integers(-ENTRY_MAX_PICO, ENTRY_MAX_PICO)


@given(picos)
@example(0)
@example(1)
@example(-1)
@example(ENTRY_MAX_PICO)
@example(-ENTRY_MAX_PICO)
def test_pico_amount_survives_the_round_trip_through_text(pico: int) -> None:
    text = format_pico(pico)
    assert parse_pico(text) == pico
    assert Fraction(text) == Fraction(pico, 10**12)


@given(picos)
def test_amount_is_formatted_without_exponent_or_padding(pico: int) -> None:
    text = format_pico(pico)
    assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]{0,11}[1-9])?", text, re.ASCII)
    assert text != "-0"


@given(picos, st.integers(0, 10))
def test_equivalent_spellings_of_an_amount_are_parsed_alike(pico: int, zeros: int) -> None:
    assert parse_pico(f"  {Decimal(pico).scaleb(-12):f}\n") == pico
    if pico >= 0:
        assert parse_pico("+" + "0" * zeros + format_pico(pico)) == pico


@given(st.data(), st.integers(-12, 6))
def test_json_number_with_an_exponent_keeps_its_value(data: st.DataObject, exponent: int) -> None:
    unit = 10 ** (12 + exponent)
    most = ENTRY_MAX_PICO // unit
    digits = data.draw(st.integers(-most, most))
    assert pico_of(Decimal(digits).scaleb(exponent)) == digits * unit


@pytest.mark.parametrize(
    ("text", "pico"),
    [
        ("25.75", 25_750_000_000_000),
        ("0.000000123456", 123_456),
        ("5", 5 * PICOS_PER_DOLLAR),
        ("-1.5", -1_500_000_000_000),
        ("0.000000000001", 1),
        ("9223372.036854775807", ENTRY_MAX_PICO),
        ("0", 0),
    ],
)
def test_amounts_are_parsed_and_formatted_as_documented(text: str, pico: int) -> None:
    assert parse_pico(text) == pico
    assert format_pico(pico) == text


@pytest.mark.parametrize(
    ("text", "pico"),
    [("5.", 5 * PICOS_PER_DOLLAR), (".5", PICOS_PER_DOLLAR // 2), ("-0", 0), ("+0.10", 10**11)],
)
def test_plain_decimals_of_any_form_are_parsed(text: str, pico: int) -> None:
    assert parse_pico(text) == pico


def test_million_calls_at_a_tenth_of_a_micro_dollar_cost_ten_cents() -> None:
    cost = parse_pico("0.0000001")
    assert format_pico(sum(cost for _ in range(1_000_000))) == "0.1"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-", "+", ".", "NaN", "-NaN", "sNaN", "inf", "Infinity", "-Infinity", "1e3",
        "1E-3", "1_000", "1,000", "1,5", "$5", "5 USD", "0x10", "1.2.3", "--1", "+-1", "1 2",
        "½", "٣", "\uff11", "५.५", "\u22121", "1\x00", "None", "true",
    ],
)  # fmt: skip
def test_text_that_is_not_a_plain_decimal_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidAmount) as refusal:
        parse_pico(text)
    assert str(refusal.value) == (
        f"{text.strip()!r} is not an exact decimal amount of dollars. Write digits with at most "
        "12 decimal places, for example 100.5."
    )


@given(st.text(max_size=70))
def test_parser_handles_every_text(text: str) -> None:
    try:
        pico = parse_pico(text)
    except InvalidAmount:
        return
    assert Fraction(text.strip()) == Fraction(pico, 10**12)


@pytest.mark.parametrize("text", ["0.0000000000001", "1.1234567890123", "-0.0000000000005"])
def test_thirteenth_decimal_place_is_refused_and_not_rounded(text: str) -> None:
    with pytest.raises(InvalidAmount, match=r"more than 12 decimal places.*never rounded"):
        parse_pico(text)


def test_zeros_beyond_the_twelfth_place_are_accepted() -> None:
    assert parse_pico("1.5000000000000000000") == 1_500_000_000_000


@pytest.mark.parametrize(
    "text",
    ["9223372.036854775808", "-9223372.036854775808", "9223373", "999999999999", "1" + "0" * 50],
)
def test_amount_beyond_int64_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount, match=r"larger than 9223372\.036854775807 dollars"):
        parse_pico(text)


def test_huge_text_is_refused_without_being_repeated() -> None:
    with pytest.raises(InvalidAmount) as refusal:
        parse_pico("9" * 1_000_000)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "number", ["NaN", "-NaN", "sNaN", "NaN123", "Infinity", "-Infinity", "-sNaN9"]
)
def test_nan_and_infinity_are_refused(number: str) -> None:
    with pytest.raises(InvalidAmount, match="is not an amount of money"):
        pico_of(Decimal(number))


@pytest.mark.parametrize(
    "number",
    ["1E+999999", "-1E+999999", "1E+999999999999999999", "1E-999999", "1E-999999999999999999"],
)
def test_huge_exponent_is_refused_before_it_is_written_out(number: str) -> None:
    used = time.process_time()
    with pytest.raises(InvalidAmount):
        pico_of(Decimal(number))
    # The largest has 10**18 digits if it is written out, so the bound is not about speed.
    assert time.process_time() - used < 5


@pytest.mark.parametrize("number", ["0E+999999", "0E-999999", "-0", "0E+999999999999999999"])
def test_zero_with_any_exponent_or_sign_is_zero(number: str) -> None:
    assert pico_of(Decimal(number)) == 0


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_decimal_is_converted_exactly_or_refused(dollars: Decimal) -> None:
    exact = Fraction(dollars) * 10**12 if dollars.is_finite() else None
    if exact is not None and exact.denominator == 1 and abs(exact) <= ENTRY_MAX_PICO:
        assert pico_of(dollars) == exact
    else:
        with pytest.raises(InvalidAmount):
            pico_of(dollars)
