"""The write-ahead log is copied by the writer's own guarded step, and never by a commit."""

from pathlib import Path

from modelgates_server.store.sqlite.connection import size_of
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
