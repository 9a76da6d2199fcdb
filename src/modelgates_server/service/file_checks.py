"""Checks of the database's files: the parts `wal` and `backup`."""

import asyncio

from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.service.part_states import PartState, Status
from modelgates_server.service.ports import Clock, Store

WAL_MAX_BYTES = 256 * 1024 * 1024
"""Eight times the size at which the log is checkpointed: a reader has kept it for long."""

BACKUP_MAX_MS = 2 * MS_PER_DAY


class FileChecks:
    """Checks for `part_states.check_forever`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def wal(self) -> PartState:
        """Warns of a write-ahead log that grows because of a long read."""
        size = (await asyncio.to_thread(self._store.files)).wal_bytes
        if size <= WAL_MAX_BYTES:
            return PartState(Status.OK)
        return PartState(
            Status.WARNING,
            "The write-ahead log is large: a program has been reading the database for long.",
            f"It has {size} bytes. End `ledger verify`, backups and SQLite shells that hang.",
        )

    async def backup(self) -> PartState:
        """Warns of an old backup, once there has been one."""
        newest_ms = (await asyncio.to_thread(self._store.files)).newest_backup_ms
        if newest_ms is None or self._clock() - newest_ms <= BACKUP_MAX_MS:
            return PartState(Status.OK)
        return PartState(Status.WARNING, "The newest backup is more than two days old.")
