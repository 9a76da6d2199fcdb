"""Changes to keys, done by the writer inside its transaction."""

from modelgates_server.core.errors import (
    AccountClosed,
    AccountNotFound,
    CreatedKeyDeleted,
    KeyNotFound,
    ReferenceReused,
)
from modelgates_server.core.keys import Key, KeyChange, change_key
from modelgates_server.service.ports import IssuedKey, KeyCreationRecord
from modelgates_server.store.sqlite.connection import Connection
from modelgates_server.store.sqlite.rows import STATEMENTS, SqliteRows


def create(connection: Connection, key: Key, issuance: KeyCreationRecord | None) -> IssuedKey:
    """See `Keys.create_key`."""
    loaded = SqliteRows(connection)
    account = loaded.account(key.account_id)
    if account is None:
        raise AccountNotFound(f"there is no account {key.account_id}")
    if account.closed_at_ms is not None:
        raise AccountClosed(f"account {account.id} is closed")
    if issuance is not None:
        first = connection.execute(
            STATEMENTS["issuance"], (key.account_id, issuance.reference)
        ).fetchone()
        if first is not None:
            return _issued_before(loaded, issuance, *first)
    connection.execute(STATEMENTS["insert_key"], _insert_row(key))
    if issuance is not None:
        connection.execute(
            STATEMENTS["insert_issuance"],
            (
                key.account_id,
                issuance.reference,
                issuance.digest,
                issuance.nonce,
                key.hash,
                key.created_at_ms,
            ),
        )
    return IssuedKey(key, None if issuance is None else issuance.nonce)


def _issued_before(
    loaded: SqliteRows, issuance: KeyCreationRecord, digest: str, nonce: bytes, key_hash: str
) -> IssuedKey:
    if digest != issuance.digest:
        raise ReferenceReused(
            "this Idempotency-Key was used before with another request; use a new one"
        )
    key = loaded.key(key_hash)
    assert key is not None, "an issuance references its key"
    if key.deleted_at_ms is not None:
        raise CreatedKeyDeleted
    return IssuedKey(key, nonce)


def change(connection: Connection, key_hash: str, wanted: KeyChange, at_ms: int) -> Key:
    """See `Keys.change_key`."""
    key = SqliteRows(connection).key(key_hash)
    if key is None or key.deleted_at_ms is not None:
        raise KeyNotFound("API key not found")
    changed = change_key(key, wanted, at_ms)
    connection.execute(
        STATEMENTS["update_key"],
        (
            changed.name,
            changed.limit_pico,
            changed.limit_reset and changed.limit_reset.value,
            changed.include_byok_in_limit,
            changed.disabled,
            changed.updated_at_ms,
            changed.deleted_at_ms,
            key_hash,
        ),
    )
    return changed


def forget_issuances(connection: Connection, before_ms: int) -> int:
    """See `Keys.forget_issuances`."""
    connection.execute(STATEMENTS["forget_issuances"], (before_ms,))
    count: int = connection.execute("select changes()").fetchone()[0]
    return count


def _insert_row(key: Key) -> tuple[object, ...]:
    return (
        key.hash,
        key.account_id,
        key.kind.value,
        key.name,
        key.label,
        key.created_at_ms,
        key.limit_pico,
        key.limit_reset and key.limit_reset.value,
        key.include_byok_in_limit,
        key.disabled,
        key.expires_at,
        key.expires_at_ms,
    )
