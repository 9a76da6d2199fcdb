"""Opens a database, after making sure that its file has the needed schema and can be written."""

from pathlib import Path

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.store.sqlite.connection import (
    Connect,
    Connection,
    begin_write,
    check_exists,
    check_not_lost,
    connect_stdlib,
    explained,
    insist,
    make_private,
    prepare,
    undo,
)
from modelgates_server.store.sqlite.schema import check_version, migrate, newest_version, version_of
from modelgates_server.store.sqlite.store import SqliteStore
from modelgates_server.store.sqlite.writer import BatchLimits

_LIMITS = BatchLimits()


def open_store(
    path: Path,
    *,
    connect: Connect = connect_stdlib,
    limits: BatchLimits = _LIMITS,
    create: bool = True,
    guarded: bool = False,
) -> SqliteStore:
    """Open a database; raises `StoreUnavailable` with one clear line.

    Without `create`, a database that does not exist or is empty is an error too: a command that
    only reads must not report an empty ledger as sound.

    A database with an older schema is an error: its operator backs it up and migrates it first.

    With `guarded`, every access raises `StoreDamaged` after damage was found, now or by a read.
    """
    if not create:
        check_exists(path)
    prepare_file(path, connect)
    with explained(path):
        reader = prepare(connect(path), read_only=True)
    return SqliteStore(path, connect, reader, limits, guarded=guarded)


def prepare_file(path: Path, connect: Connect = connect_stdlib) -> None:
    """Make sure that the file has the needed schema and can be written; see `open_store`."""
    check_not_lost(path)
    with explained(path):
        make_private(path)
        connection = prepare(connect(path), read_only=False)
        try:
            if version_of(connection) == 0:
                migrate(connection)
            check_version(connection)
            _keep_write_ahead_log(path, connection)
            # Fail here with a clear message, rather than at the first write of a customer.
            # `begin` alone does not fail: on a read-only file it starts a read transaction.
            begin_write(connection)
            connection.execute(f"pragma user_version = {newest_version()}")
            undo(connection)
        finally:
            connection.close()


def _keep_write_ahead_log(path: Path, connection: Connection) -> None:
    """Turn WAL mode on: a restored backup has another mode, which a power loss can undo."""
    if insist(connection, "pragma journal_mode = wal").fetchone()[0] != "wal":
        raise StoreUnavailable(
            f"The database {path} cannot use a write-ahead log. Put it on a local disk."
        )
