"""Issues, changes, deletes and authenticates keys.

The secret of a key is shown once and never stored. A `POST /keys` that is repeated with the same
`Idempotency-Key` must nevertheless return the same key. The secret of such a key is therefore
derived from the caller's own key, which only the caller has, and a random nonce, which only the
database has, for a day.
"""

import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from modelgates_server.core.errors import (
    CreatedKeyDeleted,
    InvalidInput,
    KeyNotFound,
    MissingKey,
    UnknownKey,
)
from modelgates_server.core.key_hints import key_hint
from modelgates_server.core.key_rotation import KeyRotation, KeySecret, check_secret
from modelgates_server.core.keys import (
    KEY_HASH,
    SECRET_BYTES,
    Key,
    KeyChange,
    KeyCreationRecord,
    KeyKind,
    NewKey,
    check_limit,
    check_usable,
    given_members,
    is_key_shaped,
    key_hash,
    key_label,
    key_text,
)
from modelgates_server.core.ledger.commands import TEXT_MAX_CHARS, check_text
from modelgates_server.core.times import MS_PER_DAY, format_instant, parse_instant
from modelgates_server.service.ports import (
    AuthenticatedKey,
    Clock,
    Keys,
    RandomBytes,
)

KEY_CREATION_KEPT_MS = MS_PER_DAY


class IdempotentRequest(msgspec.Struct, frozen=True):
    """A request that may be repeated: the caller's key and the `Idempotency-Key` it sent."""

    caller_text: str
    idempotency_key: str


class KeyService:
    """The keys of all accounts."""

    def __init__(self, keys: Keys, clock: Clock, random_bytes: RandomBytes) -> None:
        self._keys = keys
        self._clock = clock
        self._random_bytes = random_bytes

    async def identify(self, text: str) -> AuthenticatedKey:
        """Authenticate the text of a key; raises an `Unauthenticated` error.

        Reads the database every time, so a revoked key is rejected from the next request on.
        """
        if not is_key_shaped(text):
            raise MissingKey(key_hint(text))
        key = await self._keys.authenticated_key(key_hash(text))
        if key is None:
            raise UnknownKey(key_hint(text))
        check_usable(
            disabled=key.disabled,
            deleted=key.deleted_at_ms is not None,
            expires_at_ms=key.expires_at_ms,
            closed=key.closed_at_ms is not None,
            at_ms=self._clock(),
        )
        check_secret(key.secret_ends_at_ms, self._clock())
        return key

    async def create(
        self, account_id: str, new: NewKey, repeatable: IdempotentRequest | None = None
    ) -> tuple[Key, str]:
        """Issue a key; returns it with its secret text, which cannot be read again."""
        now_ms = self._clock()
        expires_at_ms = _check_new(new, now_ms)
        nonce = self._random_bytes(SECRET_BYTES)
        text = _text_from(nonce, repeatable)
        key = Key(
            hash=key_hash(text),
            account_id=account_id,
            label=key_label(text),
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
            **given_members(new),
        )
        record = None if repeatable is None else _creation_record(key, new, repeatable, nonce)
        issued = await self._keys.create_key(key, record)
        if issued.nonce is not None:
            text = _text_from(issued.nonce, repeatable)
        if issued.key.label != key_label(text):
            raise CreatedKeyDeleted("rotated")
        return issued.key, text

    async def get(
        self, hash_: str, account_id: str | None = None, kinds: Sequence[KeyKind] = ()
    ) -> Key:
        """A key that is not deleted, optionally only of one account and of certain kinds.

        Raises the same `KeyNotFound` for keys that do not exist and for keys out of scope.
        """
        key = await self._keys.key(hash_) if KEY_HASH.fullmatch(hash_) else None
        if key is None or (account_id and key.account_id != account_id):
            raise KeyNotFound("API key not found")
        if kinds and key.kind not in kinds:
            raise KeyNotFound("API key not found")
        return key

    async def page(
        self,
        account_id: str,
        *,
        kinds: Sequence[KeyKind] = tuple(KeyKind),
        include_disabled: bool = True,
        include_expired: bool = True,
        offset: int = 0,
        limit: int,
    ) -> list[Key]:
        """Keys of an account, newest first."""
        return await self._keys.keys(
            account_id,
            kinds=kinds,
            include_disabled=include_disabled,
            unexpired_at_ms=None if include_expired else self._clock(),
            offset=offset,
            limit=limit,
        )

    async def change(self, key: Key, change: KeyChange) -> Key:
        """Change a key that `get` has returned."""
        if change.name is not msgspec.UNSET:
            check_text("name", change.name, TEXT_MAX_CHARS)
        return await self._keys.change_key(key.hash, change, self._clock())

    async def rotate(self, key: Key, grace_s: int) -> tuple[KeyRotation, str]:
        """Give a key a new secret text, which is returned and cannot be read again.

        The current text works for `grace_s` seconds more.
        """
        text = key_text(self._random_bytes(SECRET_BYTES))
        new = KeySecret(key_hash(text), key.hash, created_at_ms=self._clock())
        return await self._keys.rotate_key(new, key_label(text), grace_s * 1000), text

    async def delete(self, key: Key) -> None:
        """Delete a key permanently; its usage stays in the journal."""
        await self._keys.change_key(key.hash, KeyChange(deleted=True), self._clock())


def _check_new(new: NewKey, now_ms: int) -> int | None:
    check_text("name", new.name, TEXT_MAX_CHARS)
    check_limit(new.kind, new.limit_pico, new.limit_reset)
    if new.expires_at is None:
        return None
    expires_at_ms = parse_instant(new.expires_at)
    if expires_at_ms <= now_ms:
        # The parsed time: the text may contain 60,000 digits or control characters.
        shown = format_instant(expires_at_ms).replace(".000Z", "Z")
        raise InvalidInput(
            f"`expires_at` is in the past: {shown}. Give a future time, or leave it out "
            "for a key that never expires."
        )
    return expires_at_ms


def _text_from(nonce: bytes, repeatable: IdempotentRequest | None) -> str:
    if repeatable is None:
        return key_text(nonce)
    secret = hmac.digest(
        repeatable.caller_text.encode(), nonce + repeatable.idempotency_key.encode(), "sha256"
    )
    return key_text(secret)


def _creation_record(
    key: Key, new: NewKey, repeatable: IdempotentRequest, nonce: bytes
) -> KeyCreationRecord:
    # Scoped to the caller's key: the same header from two callers means two requests.
    scope = f"{key_hash(repeatable.caller_text)}:{repeatable.idempotency_key}"
    return KeyCreationRecord(
        account_id=key.account_id,
        reference=hashlib.sha256(scope.encode()).hexdigest(),
        digest=hashlib.sha256(msgspec.json.encode(new)).hexdigest(),
        nonce=nonce,
        key_hash=key.hash,
        at_ms=key.created_at_ms,
    )
