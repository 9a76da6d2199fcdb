"""Rotation: a key gets a new secret, and the old one works a while longer."""

from collections.abc import Sequence

import msgspec

from modelgates_server.core.errors import KeyNotFound, KeyReplaced
from modelgates_server.core.keys import Key


class KeySecret(msgspec.Struct, frozen=True):
    """One secret of a key that was rotated; the current one has no end.

    `hash` is the SHA-256 of its text, and `key_hash` the name of the key, which never changes.
    """

    hash: str
    key_hash: str
    created_at_ms: int
    ends_at_ms: int | None = None


class KeyRotation(msgspec.Struct, frozen=True):
    """The key with its new label, and its secrets to save: at most two of them work."""

    key: Key
    secrets: list[KeySecret]


def rotate_key(
    key: Key | None, secrets: Sequence[KeySecret], new: KeySecret, label: str, grace_ms: int
) -> KeyRotation:
    """Gives a key a new secret; the current one still works for `grace_ms`.

    `secrets` are all of the key so far, none if it was never rotated. Those that a rotation has
    replaced earlier end now. Raises `KeyNotFound` if there is no key or it is deleted.
    """
    if key is None or key.deleted_at_ms is not None:
        raise KeyNotFound("API key not found")
    now_ms = new.created_at_ms
    secrets = secrets or [KeySecret(key.hash, key.hash, key.created_at_ms)]
    replaced = [
        msgspec.structs.replace(
            secret,
            ends_at_ms=now_ms + grace_ms
            if secret.ends_at_ms is None
            else min(secret.ends_at_ms, now_ms),
        )
        for secret in secrets
    ]
    rotated = msgspec.structs.replace(key, label=label, updated_at_ms=now_ms)
    return KeyRotation(rotated, [*replaced, new])


def check_secret(ends_at_ms: int | None, at_ms: int) -> None:
    """Raises `KeyReplaced` if a secret has ended by `at_ms`."""
    if ends_at_ms is not None and ends_at_ms <= at_ms:
        raise KeyReplaced
