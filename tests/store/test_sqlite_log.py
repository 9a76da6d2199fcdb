"""The write-ahead log is copied by the writer's own guarded step, and never by a commit."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from modelgates_server.store.sqlite.connection import Connection, connect_stdlib, size_of
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.sqlite.writer import BatchLimits
from tests.support import grant, open_account

AUTOMATIC_BYTES = 1000 * 4096
"""SQLite's own checkpoints start after a thousand pages unless they are turned off."""


async def test_commit_does_not_checkpoint_a_long_log(sqlite_path: Path) -> None:
    """Processes that checkpoint it concurrently with other commits could lose committed pages.

    See docs/decisions/0002. The writer's own step does not come below its limit.
    """
    limits = BatchLimits(log_max_bytes=64 * AUTOMATIC_BYTES)
    stores = [open_store(sqlite_path, limits=limits) for _ in range(2)]
    account_id = await open_account(stores[0], 5)
    log = sqlite_path.with_name(f"{sqlite_path.name}-wal")
    before, count = size_of(sqlite_path), 0
    while size_of(log) <= 2 * AUTOMATIC_BYTES:
        assert size_of(sqlite_path) == before, "all that was committed is in the log alone"
        for store in stores:
            count += 1
            await store.execute(grant(account_id, 1, f"g{count}"))
    assert size_of(sqlite_path) == before, "all that was committed is in the log alone"
    for store in stores:
        await store.close()
    again = open_store(sqlite_path)
    account = await again.account(account_id)
    assert account is not None
    assert account.credits_pico == 5 + count
    await again.close()


class Recorded:
    """A connection that notes its statements."""

    def __init__(self, connection: Connection, statements: list[str]) -> None:
        self._connection = connection
        self._statements = statements

    def execute(self, sql: str, *parameters: Any) -> Any:
        self._statements.append(sql)
        return self._connection.execute(sql, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


async def test_checkpoint_waits_for_no_reader_and_shortens_the_log_when_they_end(
    sqlite_path: Path,
) -> None:
    statements: list[str] = []

    def connect(path: Path) -> Connection:
        return cast("Connection", Recorded(connect_stdlib(path), statements))

    limits = BatchLimits(log_max_bytes=64 * 4096)
    store = open_store(sqlite_path, connect=connect, limits=limits)
    account_id = await open_account(store, 5)
    log = sqlite_path.with_name(f"{sqlite_path.name}-wal")
    with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from entry").fetchone()
        count = 0
        while sum("wal_checkpoint" in sql for sql in statements) < 2:
            count += 1
            await store.execute(grant(account_id, 1, f"during-{count}"))
        begun = next(number for number, sql in enumerate(statements) if "wal_checkpoint" in sql)
        waits = [sql for sql in statements[begun:] if "busy_timeout" in sql]
        assert waits == [], "each commit of this process would wait for the reader"
        assert size_of(log) > limits.log_max_bytes
    for number in range(1000):
        await store.execute(grant(account_id, 1, f"after-{number}"))
        if size_of(log) <= limits.log_max_bytes:
            break
    assert size_of(log) <= limits.log_max_bytes
    await store.close()
