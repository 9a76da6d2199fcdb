import hashlib
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput, KeyDisabled, KeyExpired, UnknownKey
from modelgates_server.core.keys import (
    KEY_HASH,
    KEY_TEXT_CHARS,
    KeyChange,
    KeyKind,
    change_key,
    check_usable,
    is_key_shaped,
    key_hash,
    key_label,
    key_text,
)
from modelgates_server.core.times import LimitReset
from tests.support import T0_MS, has_true_checksum, new_account_id, new_key

SECRET = bytes(range(32))
TEXT = key_text(SECRET)
CHARACTERS = string.digits + string.ascii_letters


def test_a_key_reads_the_same_for_ever() -> None:
    # Issued keys must stay valid: a change of this line locks every customer out.
    assert TEXT == "sk-mg-v1-003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1HsE7v"


@given(st.binary(min_size=32, max_size=32))
def test_every_secret_gives_a_whole_key(secret: bytes) -> None:
    text = key_text(secret)
    assert len(text) == KEY_TEXT_CHARS
    assert is_key_shaped(text)
    assert has_true_checksum(text)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_two_secrets_never_give_one_key(one: bytes, other: bytes) -> None:
    assert (key_text(one) == key_text(other)) == (one == other)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_a_key_is_not_made_from_fewer_or_more_bits(secret: bytes) -> None:
    with pytest.raises(AssertionError):
        key_text(secret)


def test_no_typo_of_one_character_passes_the_checksum() -> None:
    for place in range(len("sk-mg-v1-"), len(TEXT)):
        for character in CHARACTERS:
            mistyped = TEXT[:place] + character + TEXT[place + 1 :]
            assert has_true_checksum(mistyped) == (mistyped == TEXT), mistyped


def test_no_two_neighbours_swapped_pass_the_checksum() -> None:
    for place in range(len("sk-mg-v1-"), len(TEXT) - 1):
        swapped = TEXT[:place] + TEXT[place + 1] + TEXT[place] + TEXT[place + 2 :]
        assert has_true_checksum(swapped) == (swapped == TEXT), swapped


@pytest.mark.parametrize(
    "text",
    [
        "", TEXT[:-1], TEXT + "0", TEXT.upper(), "sk-or-v1-" + TEXT[9:], " " + TEXT[:-1],
        TEXT[:-1] + "-", TEXT[:-1] + "\n", TEXT[:-1] + "٣", TEXT[:-1] + "é", "x" * KEY_TEXT_CHARS,
    ],
)  # fmt: skip
def test_what_only_looks_like_a_key_is_none(text: str) -> None:
    assert not is_key_shaped(text)


def test_a_key_is_named_by_the_sha256_of_its_whole_text() -> None:
    assert key_hash(TEXT) == hashlib.sha256(TEXT.encode()).hexdigest()
    assert KEY_HASH.fullmatch(key_hash(TEXT))


def test_a_label_shows_six_characters_of_the_secret_part_and_no_more() -> None:
    assert key_label(TEXT) == "sk-mg-v1-003...E7v"


def usable(**members: object) -> None:
    good = {"disabled": False, "deleted": False, "expires_at_ms": None, "closed": False}
    check_usable(**{**good, "at_ms": T0_MS, **members})  # type: ignore[arg-type]


def test_a_good_key_is_let_in() -> None:
    usable()
    usable(expires_at_ms=T0_MS + 1)


def test_a_key_is_refused_from_the_millisecond_it_expires() -> None:
    with pytest.raises(KeyExpired):
        usable(expires_at_ms=T0_MS)


@pytest.mark.parametrize("member", ["disabled", "closed"])
def test_a_key_switched_off_or_of_a_closed_account_is_refused(member: str) -> None:
    with pytest.raises(KeyDisabled):
        usable(**{member: True})


def test_a_deleted_key_is_not_told_from_one_that_never_was() -> None:
    with pytest.raises(UnknownKey, match=r"^User not found\.$"):
        usable(deleted=True, disabled=True, closed=True, expires_at_ms=0)


_, KEY = new_key(new_account_id(), limit_pico=5, limit_reset=LimitReset.DAILY, usage_pico=3)


def test_an_empty_change_sets_nothing_but_its_time() -> None:
    assert change_key(KEY, KeyChange(), T0_MS + 1) == msgspec.structs.replace(
        KEY, updated_at_ms=T0_MS + 1
    )


def test_null_takes_a_limit_away_and_leaving_it_out_does_not() -> None:
    assert change_key(KEY, KeyChange(name="x"), T0_MS).limit_pico == 5
    changed = change_key(KEY, KeyChange(limit_pico=None, limit_reset=None), T0_MS)
    assert (changed.limit_pico, changed.limit_reset) == (None, None)


def test_a_change_sets_every_member_it_names() -> None:
    change = KeyChange(
        name="other",
        disabled=True,
        limit_pico=0,
        limit_reset=LimitReset.MONTHLY,
        include_byok_in_limit=True,
        deleted=True,
    )
    assert change_key(KEY, change, T0_MS) == msgspec.structs.replace(
        KEY,
        name="other",
        disabled=True,
        limit_pico=0,
        limit_reset=LimitReset.MONTHLY,
        include_byok_in_limit=True,
        updated_at_ms=T0_MS,
        deleted_at_ms=T0_MS,
    )


def test_a_change_cannot_touch_what_was_spent_or_is_held() -> None:
    money = {name for name in KEY.__struct_fields__ if name.startswith(("usage", "held"))}
    assert money
    assert not money & set(KeyChange.__struct_fields__)


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        (KeyKind.INFERENCE, KeyChange(limit_reset=LimitReset.DAILY), "there is no `limit`"),
        (KeyKind.VIEWER, KeyChange(limit_pico=5), "a viewer key spends nothing"),
        (KeyKind.INFERENCE, KeyChange(limit_pico=-1), "`limit` is out of range: -0"),
    ],
)
def test_a_change_cannot_give_a_key_what_its_creation_refuses(
    kind: KeyKind, change: KeyChange, told: str
) -> None:
    _, key = new_key("user_0123456789abcdefghijKL", kind=kind)
    with pytest.raises(InvalidInput, match=told):
        change_key(key, change, T0_MS)


def test_a_reset_does_not_outlive_its_limit() -> None:
    assert change_key(KEY, KeyChange(limit_pico=None), T0_MS).limit_reset is None
