"""Public identifiers: how random bytes, which the caller supplies, are written as text."""

import re
import zlib

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOGETHER = 2
_SEVERAL = [a + b for a in _ALPHABET for b in _ALPHABET]
"""All pairs of digits. Writing two at a time halves the divisions of a large number."""

ACCOUNT_ID = re.compile(r"user_[0-9A-Za-z]{22}", re.ASCII)
ACCOUNT_ID_BYTES = 16
CHECKSUM_CHARS = 6
REFERENCE_MAX_CHARS = 255


def base62(number: int, width: int) -> str:
    """Writes a number in base 62 with leading zeros. It must fit into the width."""
    digits = []
    for _ in range(0, width, _TOGETHER):
        number, several = divmod(number, len(_SEVERAL))
        digits.append(_SEVERAL[several])
    text = "".join(reversed(digits))
    over = len(text) - width
    assert number == 0, "the width must hold the number"
    assert text[:over] == "0" * over, "the width must hold the number"
    return text[over:]


def account_id(random: bytes) -> str:
    """Returns an account id: `user_` and 22 base62 characters, from 16 random bytes."""
    assert len(random) == ACCOUNT_ID_BYTES
    return f"user_{base62(int.from_bytes(random), 22)}"


def checksum(text: str) -> str:
    """Returns six base62 characters of CRC-32, which reveal typos, as in GitHub's tokens."""
    return base62(zlib.crc32(text.encode()), CHECKSUM_CHARS)
