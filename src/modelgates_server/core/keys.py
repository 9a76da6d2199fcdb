"""Keys: their text, how they are issued and changed, and how their limits are counted.

Text: `sk-mg-v1-` + 43 base62 characters of 256 random bits + 6 of checksum. Only the SHA-256 of the
whole text is stored. The text is shown once, when the key is created.
"""

import hashlib
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from modelgates_server.core.errors import (
    AccountClosed,
    AccountNotFound,
    CreatedKeyDeleted,
    InvalidAmount,
    InvalidInput,
    KeyDisabled,
    KeyExpired,
    KeyLimitExceeded,
    KeyNotFound,
    ReferenceReused,
    UnknownKey,
)
from modelgates_server.core.ids import CHECKSUM_CHARS, base62, checksum
from modelgates_server.core.ledger.records import Account
from modelgates_server.core.money import ENTRY_MAX_PICO, format_pico
from modelgates_server.core.times import LimitReset, day_of, month_of, resets_at_ms, week_of

PREFIX = "sk-mg-v1-"
SECRET_BYTES = 32
_SECRET_CHARS = 43
KEY_TEXT_CHARS = len(PREFIX) + _SECRET_CHARS + CHECKSUM_CHARS
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{KEY_TEXT_CHARS - len(PREFIX)}}}", re.ASCII)
_KEY_LIKE = re.compile(
    # Not in the middle of a word, such as `task-specific`, but after an escape, such as `\n`.
    r"(?:(?<![A-Za-z0-9])|(?<=\\[a-z])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))"
    r"sk-[A-Za-z0-9_-]{8,}"
    # No word contains these.
    r"|sk-(?:mg|or)-v1-[A-Za-z0-9_-]{8,}"
)
KEY_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


class KeyKind(StrEnum):
    """The purpose of a key. A viewer key reads credits and usage and can do nothing else."""

    MANAGEMENT = "management"
    INFERENCE = "inference"
    VIEWER = "viewer"


class Key(msgspec.Struct, frozen=True):
    """A stored key, without its text. Instants in ms; `usage_day` is the day of the last charge.

    `held_pico` is the sum of the key's open holds. The daily, weekly and monthly usage are those of
    the windows that contain `usage_day`; `windows_at` converts them to another time.
    """

    hash: str
    account_id: str
    kind: KeyKind
    name: str
    label: str
    created_at_ms: int
    limit_pico: int | None = None
    limit_reset: LimitReset | None = None
    include_byok_in_limit: bool = False
    disabled: bool = False
    expires_at: str | None = None
    expires_at_ms: int | None = None
    updated_at_ms: int | None = None
    deleted_at_ms: int | None = None
    last_used_at_ms: int | None = None
    held_pico: int = 0
    usage_pico: int = 0
    usage_day: int = 0
    usage_daily_pico: int = 0
    usage_weekly_pico: int = 0
    usage_monthly_pico: int = 0


class WindowUsage(msgspec.Struct, frozen=True):
    """The usage of a key in the UTC day, week and month of one instant."""

    daily_pico: int
    weekly_pico: int
    monthly_pico: int


def key_text(secret: bytes) -> str:
    """Writes 256 random bits as a key."""
    assert len(secret) == SECRET_BYTES
    body = PREFIX + base62(int.from_bytes(secret), _SECRET_CHARS)
    return body + checksum(body)


def is_key_shaped(text: str) -> bool:
    """Whether the text has the form of a key. It need not be one that was issued."""
    return _SHAPE.fullmatch(text) is not None


def without_keys(text: str) -> str:
    """Returns a message without the keys in it, those of other gateways and providers included.

    People paste keys in wrong places, and a message that repeats a value may end up in a log.
    """
    return _KEY_LIKE.sub("sk-…", text)


def key_hash(text: str) -> str:
    """Returns the SHA-256 of the whole text in 64 hex digits: the public name of the key."""
    return hashlib.sha256(text.encode()).hexdigest()


def key_label(text: str) -> str:
    """Returns the part of a key that may be shown: `sk-mg-v1-abc...123`."""
    return f"{text[: len(PREFIX) + 3]}...{text[-3:]}"


def check_usable(
    *, disabled: bool, deleted: bool, expires_at_ms: int | None, closed: bool, at_ms: int
) -> None:
    """Raises `UnknownKey`, `KeyDisabled` or `KeyExpired` if the key is not valid at `at_ms`."""
    if deleted:
        raise UnknownKey
    if disabled or closed:
        raise KeyDisabled
    if expires_at_ms is not None and expires_at_ms <= at_ms:
        raise KeyExpired


def windows_at(key: Key, at_ms: int) -> WindowUsage:
    """Returns the key's usage in the windows of an instant.

    A clock that steps back never reopens a window: no day before the last charge is considered.
    """
    day = day_of(at_ms)
    if day <= key.usage_day:
        return WindowUsage(key.usage_daily_pico, key.usage_weekly_pico, key.usage_monthly_pico)
    return WindowUsage(
        daily_pico=0,
        weekly_pico=key.usage_weekly_pico if week_of(day) == week_of(key.usage_day) else 0,
        monthly_pico=key.usage_monthly_pico if month_of(day) == month_of(key.usage_day) else 0,
    )


def is_dated_ahead(key: Key, at_ms: int) -> bool:
    """Whether the key's last charge is dated after an instant, so that its windows stay shut."""
    return key.usage_day > day_of(at_ms)


def windows_of_charges(charges_pico: Mapping[int, int], at_ms: int) -> WindowUsage:
    """Returns the usage in the windows of an instant, from charges by the day of their entries.

    Days after the instant are left out: a clock was wrong when they were charged.
    """
    today = day_of(at_ms)
    past = [(day, pico) for day, pico in charges_pico.items() if day <= today]
    return WindowUsage(
        daily_pico=charges_pico.get(today, 0),
        weekly_pico=sum(pico for day, pico in past if week_of(day) == week_of(today)),
        monthly_pico=sum(pico for day, pico in past if month_of(day) == month_of(today)),
    )


def with_windows(key: Key, windows: WindowUsage, at_ms: int) -> Key:
    """Returns the key with the usage of the windows of an instant, in place of those it has."""
    return msgspec.structs.replace(
        key,
        usage_day=day_of(at_ms),
        usage_daily_pico=windows.daily_pico,
        usage_weekly_pico=windows.weekly_pico,
        usage_monthly_pico=windows.monthly_pico,
    )


def spent_pico(key: Key, at_ms: int) -> int:
    """Returns the usage that counts against the key's limit at an instant.

    It is that of the current window, or of the key's lifetime if the limit never resets.
    """
    if key.limit_reset is None:
        return key.usage_pico
    windows = windows_at(key, at_ms)
    return {
        LimitReset.DAILY: windows.daily_pico,
        LimitReset.WEEKLY: windows.weekly_pico,
        LimitReset.MONTHLY: windows.monthly_pico,
    }[key.limit_reset]


def limit_resets_at_ms(key: Key, at_ms: int) -> int | None:
    """Returns the time when the key's limit resets; None for a lifetime limit."""
    if key.limit_reset is None:
        return None
    return resets_at_ms(key.limit_reset, max(key.usage_day, day_of(at_ms)))


def key_limit_exceeded(key: Key, amount_pico: int, at_ms: int) -> KeyLimitExceeded:
    """Returns the error of an amount that the key's limit does not cover."""
    assert key.limit_pico is not None
    window = "total" if key.limit_reset is None else key.limit_reset.value
    return KeyLimitExceeded(
        f"Key limit exceeded ({window} limit).",
        asked_pico=amount_pico,
        limit_pico=key.limit_pico,
        spent_pico=spent_pico(key, at_ms),
        held_pico=key.held_pico,
        resets_at_ms=limit_resets_at_ms(key, at_ms),
    )


def charge_key(key: Key, *, charged_pico: int, released_pico: int, at_ms: int) -> Key:
    """Adds a charge to all windows and releases its hold.

    A charge of 0 starts no new window: a free call made while the clock is wrong must not.
    """
    if charged_pico == 0:
        return msgspec.structs.replace(key, held_pico=key.held_pico - released_pico)
    windows = windows_at(key, at_ms)
    return msgspec.structs.replace(
        key,
        held_pico=key.held_pico - released_pico,
        usage_pico=key.usage_pico + charged_pico,
        usage_day=max(key.usage_day, day_of(at_ms)),
        usage_daily_pico=windows.daily_pico + charged_pico,
        usage_weekly_pico=windows.weekly_pico + charged_pico,
        usage_monthly_pico=windows.monthly_pico + charged_pico,
    )


class KeyCreationRecord(msgspec.Struct, frozen=True):
    """The record that makes the creation of a key repeatable for a day; see `service.keys`.

    `reference` identifies the request within the account, and `digest` identifies its parameters.
    `nonce` is the random part of the text of the key that was created.
    """

    account_id: str
    reference: str
    digest: str
    nonce: bytes
    key_hash: str
    at_ms: int


class IssuedKey(msgspec.Struct, frozen=True):
    """The key that a request creates, or created when it was first sent, and the nonce used then.

    `replayed`: the key existed before, so there is nothing to save.
    """

    key: Key
    nonce: bytes | None
    replayed: bool


def issue_key(
    key: Key,
    record: KeyCreationRecord | None,
    *,
    account: Account | None,
    prior: KeyCreationRecord | None,
    prior_key: Key | None,
) -> IssuedKey:
    """Returns the key to save, or the key that the same request created before.

    `record` belongs to a request that can be repeated. `prior` is the record stored under its
    reference, and `prior_key` is that record's key. Raises `AccountNotFound` or `AccountClosed`.
    For a repeat, raises `ReferenceReused` if its parameters differ, and `CreatedKeyDeleted` if its
    key was deleted.
    """
    if account is None:
        raise AccountNotFound(f"Account `{key.account_id}` does not exist. Check the ID.")
    if account.closed_at_ms is not None:
        raise AccountClosed(f"Account `{account.id}` is closed. Use another account.")
    if record is None:
        return IssuedKey(key, None, replayed=False)
    if prior is None:
        return IssuedKey(key, record.nonce, replayed=False)
    if prior.digest != record.digest:
        raise ReferenceReused("This Idempotency-Key was used with another request. Use a new one.")
    assert prior_key is not None, "a key creation record references its key"
    if prior_key.deleted_at_ms is not None:
        raise CreatedKeyDeleted
    return IssuedKey(prior_key, prior.nonce, replayed=True)


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a new key, named as in `Key`. `expires_at` keeps the text that was sent.

    The digest of a repeatable request is computed from these fields. A field added after 0.3.0 must
    be UNSET by default, so that requests without it keep the digest that they had before.
    """

    kind: KeyKind
    name: str
    limit_pico: int | None = None
    limit_reset: LimitReset | None = None
    include_byok_in_limit: bool = False
    expires_at: str | None = None


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """The fields to change; fields left out keep their values. `deleted` cannot be undone."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET
    limit_pico: int | msgspec.UnsetType | None = msgspec.UNSET
    limit_reset: LimitReset | msgspec.UnsetType | None = msgspec.UNSET
    include_byok_in_limit: bool | msgspec.UnsetType = msgspec.UNSET
    deleted: bool = False


def given_members(members: NewKey | KeyChange) -> dict[str, Any]:
    """Returns the fields that have a value, by name."""
    every = msgspec.structs.asdict(members)
    return {name: value for name, value in every.items() if value is not msgspec.UNSET}


def change_key(key: Key | None, change: KeyChange, at_ms: int) -> Key:
    """Returns the key after a change.

    Removing the limit removes its reset as well. A change never sets usage or held amounts. Raises
    `KeyNotFound` if there is no key or it is deleted, and the errors of `check_limit`.
    """
    if key is None or key.deleted_at_ms is not None:
        raise KeyNotFound("API key not found")
    members = given_members(change)
    del members["deleted"]
    if change.limit_pico is None:
        members.setdefault("limit_reset", None)
    changed = msgspec.structs.replace(
        key, **members, updated_at_ms=at_ms, deleted_at_ms=at_ms if change.deleted else None
    )
    if members.keys() & {"limit_pico", "limit_reset"}:
        check_limit(changed.kind, changed.limit_pico, changed.limit_reset)
    return changed


def check_limit(kind: KeyKind, limit_pico: int | None, reset: LimitReset | None) -> None:
    """Raises `InvalidInput` or `InvalidAmount` if a key cannot have this limit."""
    if limit_pico is None:
        if reset is not None:
            raise InvalidInput(
                f"`limit_reset` is `{reset}`, but there is no `limit` to reset. "
                "Set `limit`, or leave out `limit_reset`."
            )
    elif kind is not KeyKind.INFERENCE:
        raise InvalidInput(
            f"Only inference keys can have a limit: a {kind} key spends nothing. Leave out `limit`."
        )
    elif not 0 <= limit_pico <= ENTRY_MAX_PICO:
        raise InvalidAmount(
            f"`limit` is out of range: {format_pico(limit_pico)} US dollars. "
            f"Give an amount from 0 to {format_pico(ENTRY_MAX_PICO)}."
        )
