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
    without_keys,
)
from modelgates_server.core.times import LimitReset
from tests.support import T0_MS, has_true_checksum, new_account_id, new_key

SECRET = bytes(range(32))
TEXT = key_text(SECRET)
CHARACTERS = string.digits + string.ascii_letters


def test_key_text_of_a_secret_never_changes() -> None:
    # Issued keys must stay valid: a change of this line would lock out every customer.
    assert TEXT == "sk-mg-v1-003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1HsE7v"


@pytest.mark.parametrize(
    "before", ["", "`", "'", "Bearer ", "/", "=", "_", r"\n", r"\x1b", r"\u00fc"]
)
@pytest.mark.parametrize("key", [TEXT, TEXT[:17], "sk-proj-a_b-c0123", "sk-or-v1-" + "0" * 64])
def test_text_without_keys_has_none(before: str, key: str) -> None:
    assert without_keys(f"{before}{key}`, {key}.") == f"{before}sk-…`, sk-…."


@pytest.mark.parametrize("key", [TEXT, TEXT[:17], "sk-or-v1-" + "0" * 64])
def test_key_is_found_when_it_is_joined_to_a_word(key: str) -> None:
    """A base URL without a slash at the end becomes `/v1sk-…`."""
    assert without_keys(f"/api/v1{key}/models") == "/api/v1sk-…/models"


@pytest.mark.parametrize("text", ["sk-mg-v1", "acme/task-specific-model", "desk-assistants-2"])
def test_text_without_keys_is_unchanged_when_there_is_none(text: str) -> None:
    assert without_keys(text) == text


@given(st.binary(min_size=32, max_size=32))
def test_key_text_of_every_secret_is_complete(secret: bytes) -> None:
    text = key_text(secret)
    assert len(text) == KEY_TEXT_CHARS
    assert is_key_shaped(text)
    assert has_true_checksum(text)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_key_texts_differ_when_their_secrets_differ(first: bytes, other: bytes) -> None:
    assert (key_text(first) == key_text(other)) == (first == other)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_key_text_needs_exactly_32_random_bytes(secret: bytes) -> None:
    with pytest.raises(AssertionError):
        key_text(secret)


def test_checksum_fails_when_one_character_is_mistyped() -> None:
    for index in range(len("sk-mg-v1-"), len(TEXT)):
        for character in CHARACTERS:
            mistyped = TEXT[:index] + character + TEXT[index + 1 :]
            assert has_true_checksum(mistyped) == (mistyped == TEXT), mistyped


def test_checksum_fails_when_two_neighbors_are_swapped() -> None:
    for index in range(len("sk-mg-v1-"), len(TEXT) - 1):
        swapped = TEXT[:index] + TEXT[index + 1] + TEXT[index] + TEXT[index + 2 :]
        assert has_true_checksum(swapped) == (swapped == TEXT), swapped


@pytest.mark.parametrize(
    "text",
    [
        "", TEXT[:-1], TEXT + "0", TEXT.upper(), "sk-or-v1-" + TEXT[9:], " " + TEXT[:-1],
        TEXT[:-1] + "-", TEXT[:-1] + "\n", TEXT[:-1] + "٣", TEXT[:-1] + "é", "x" * KEY_TEXT_CHARS,
    ],
)  # fmt: skip
def test_malformed_text_is_not_key_shaped(text: str) -> None:
    assert not is_key_shaped(text)


def test_key_hash_is_the_sha256_of_the_whole_text() -> None:
    assert key_hash(TEXT) == hashlib.sha256(TEXT.encode()).hexdigest()
    assert KEY_HASH.fullmatch(key_hash(TEXT))


def test_key_label_shows_only_six_characters_of_the_secret() -> None:
    assert key_label(TEXT) == "sk-mg-v1-003...E7v"


def usable(**members: object) -> None:
    good = {"disabled": False, "deleted": False, "expires_at_ms": None, "closed": False}
    check_usable(**{**good, "at_ms": T0_MS, **members})  # type: ignore[arg-type]


def test_valid_key_is_usable() -> None:
    usable()
    usable(expires_at_ms=T0_MS + 1)


def test_key_is_refused_from_the_millisecond_it_expires() -> None:
    with pytest.raises(KeyExpired):
        usable(expires_at_ms=T0_MS)


@pytest.mark.parametrize("member", ["disabled", "closed"])
def test_key_is_refused_when_it_is_disabled_or_its_account_is_closed(member: str) -> None:
    with pytest.raises(KeyDisabled):
        usable(**{member: True})


def test_deleted_key_is_refused_like_an_unknown_one() -> None:
    with pytest.raises(UnknownKey, match=r"^User not found\.$"):
        usable(deleted=True, disabled=True, closed=True, expires_at_ms=0)


_, KEY = new_key(new_account_id(), limit_pico=5, limit_reset=LimitReset.DAILY, usage_pico=3)


def test_empty_change_sets_only_the_time() -> None:
    assert change_key(KEY, KeyChange(), T0_MS + 1) == msgspec.structs.replace(
        KEY, updated_at_ms=T0_MS + 1
    )


def test_limit_is_removed_by_null_and_kept_when_left_out() -> None:
    assert change_key(KEY, KeyChange(name="x"), T0_MS).limit_pico == 5
    changed = change_key(KEY, KeyChange(limit_pico=None, limit_reset=None), T0_MS)
    assert (changed.limit_pico, changed.limit_reset) == (None, None)


def test_change_sets_every_field_that_it_has() -> None:
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


def test_change_has_no_fields_for_usage_or_held_amounts() -> None:
    money = {name for name in KEY.__struct_fields__ if name.startswith(("usage", "held"))}
    assert money
    assert not money & set(KeyChange.__struct_fields__)


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        (KeyKind.INFERENCE, KeyChange(limit_reset=LimitReset.DAILY), "there is no `limit`"),
        (KeyKind.VIEWER, KeyChange(limit_pico=5), "a viewer key spends nothing"),
        (KeyKind.INFERENCE, KeyChange(limit_pico=-1), "`limit` is out of range: -0"),
    ],
)
def test_change_is_refused_when_it_sets_an_invalid_limit(
    kind: KeyKind, change: KeyChange, expected: str
) -> None:
    _, key = new_key("user_0123456789abcdefghijKL", kind=kind)
    with pytest.raises(InvalidInput, match=expected):
        change_key(key, change, T0_MS)


def test_reset_is_removed_with_its_limit() -> None:
    assert change_key(KEY, KeyChange(limit_pico=None), T0_MS).limit_reset is None
