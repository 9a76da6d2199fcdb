"""Changes to keys, which the writer runs inside its transaction; `core.keys` has the rules."""

from modelgates_server.core.key_rotation import KeyRotation, KeySecret, rotate_key
from modelgates_server.core.keys import (
    IssuedKey,
    Key,
    KeyChange,
    KeyCreationRecord,
    change_key,
    issue_key,
)
from modelgates_server.store.sqlite.connection import Connection
from modelgates_server.store.sqlite.rows import STATEMENTS, SqliteRows
from modelgates_server.store.sqlite.save import Write

_insert_key = Write(STATEMENTS["insert_key"], Key)
_update_key = Write(STATEMENTS["update_key"], Key)
_save_secret = Write(STATEMENTS["save_key_secret"], KeySecret)
_insert_record = Write(STATEMENTS["insert_key_creation_record"], KeyCreationRecord)


def create(connection: Connection, key: Key, record: KeyCreationRecord | None) -> IssuedKey:
    """See `Keys.create_key`."""
    loaded = SqliteRows(connection)
    prior = None
    if record is not None:
        prior = loaded.key_creation_record(record.account_id, record.reference)
    issued = issue_key(
        key,
        record,
        account=loaded.account(key.account_id),
        prior=prior,
        prior_key=None if prior is None else loaded.key(prior.key_hash),
    )
    if not issued.replayed:
        _insert_key.run(connection, [key])
        _insert_record.run(connection, [] if record is None else [record])
    return issued


def change(connection: Connection, key_hash: str, change: KeyChange, at_ms: int) -> Key:
    """See `Keys.change_key`."""
    changed = change_key(SqliteRows(connection).key(key_hash), change, at_ms)
    _update_key.run(connection, [changed])
    return changed


def rotate(connection: Connection, new: KeySecret, label: str, grace_ms: int) -> KeyRotation:
    """See `Keys.rotate_key`."""
    loaded = SqliteRows(connection)
    key = loaded.key(new.key_hash)
    rotation = rotate_key(key, loaded.key_secrets(new.key_hash), new, label, grace_ms)
    _update_key.run(connection, [rotation.key])
    _save_secret.run(connection, rotation.secrets)
    return rotation


def forget_creation_records(connection: Connection, before_ms: int) -> int:
    """See `Keys.forget_key_creation_records`."""
    connection.execute(STATEMENTS["forget_key_creation_records"], (before_ms,))
    count: int = connection.execute("select changes()").fetchone()[0]
    return count
