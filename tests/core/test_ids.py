import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.ids import ACCOUNT_ID, account_id, base62, checksum

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def read_base62(text: str) -> int:
    number = 0
    for digit in text:
        number = number * 62 + DIGITS.index(digit)
    return number


@given(st.binary(min_size=16, max_size=16))
def test_account_id_contains_all_of_its_random_bits(random: bytes) -> None:
    text = account_id(random)
    assert ACCOUNT_ID.fullmatch(text)
    assert read_base62(text.removeprefix("user_")) == int.from_bytes(random)


def test_smallest_and_largest_random_numbers_fit_an_account_id() -> None:
    assert account_id(bytes(16)) == "user_" + "0" * 22
    assert len(account_id(b"\xff" * 16)) == len("user_") + 22


@pytest.mark.parametrize("random", [b"", bytes(15), bytes(17)])
def test_account_id_needs_exactly_sixteen_random_bytes(random: bytes) -> None:
    with pytest.raises(AssertionError):
        account_id(random)


@given(st.integers(0, 62**6 - 1))
def test_base62_preserves_every_digit(number: int) -> None:
    assert read_base62(base62(number, 6)) == number


def test_base62_rejects_a_number_too_large_for_its_width() -> None:
    with pytest.raises(AssertionError):
        base62(62**6, 6)


@pytest.mark.parametrize(
    "text",
    ["user_" + "0" * 21, "user_" + "0" * 23, "user_" + "0" * 21 + "-", "usr_" + "0" * 22,
     "user_" + "٣" * 22, "user_" + "0" * 22 + "\n", "x user_" + "0" * 22],
)  # fmt: skip
def test_malformed_account_id_does_not_match(text: str) -> None:
    assert not ACCOUNT_ID.fullmatch(text)


@given(st.text())
def test_checksum_is_crc32_in_six_characters(text: str) -> None:
    written = checksum(text.encode("utf-8", "replace").decode())
    assert len(written) == 6
    assert read_base62(written) == zlib.crc32(text.encode("utf-8", "replace"))
