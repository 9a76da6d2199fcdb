"""Protocols for the ends of calls that the database cannot take: the spool, and its disk."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from modelgates_server.core.metering.generations import Generation, StoredAnswer

if TYPE_CHECKING:  # commands that run no checks load faster
    from modelgates_server.service.part_states import PartState


class PendingSettlement(msgspec.Struct, frozen=True):
    """The end of a call, to be committed: the ended generation and a response to store."""

    generation: Generation
    answer: StoredAnswer | None = None


class SpoolFigures(msgspec.Struct, frozen=True):
    """Number and bytes of spooled settlements."""

    files: int
    size_bytes: int


class Spool(Protocol):
    """Keeps settlements on disk while the database is unavailable; survives a crash."""

    async def put(self, settlement: PendingSettlement) -> None:
        """Write and sync a settlement; raises `OSError` if that fails."""

    async def ids(self) -> list[str]:
        """Ids of all generations with a spooled settlement, including those of dead processes."""

    async def load(self, generation_id: str) -> PendingSettlement | None:
        """One settlement, or None if it is gone; raises `StoreUnavailable` if it is damaged."""

    async def remove(self, generation_id: str) -> None:
        """Delete a committed settlement; does nothing if it is gone."""

    async def tend(self) -> SpoolFigures:
        """Clean up after processes that died while they wrote, and count; raises `OSError`."""


class Disk(Protocol):
    """The disks of the database and the spool: whether they have room for the end of a new call."""

    def require_room(self) -> None:
        """Raise `DiskFull` if they do not. It costs nothing: another task measures."""

    def met_full(self) -> None:
        """Note that a write has just failed for lack of room."""

    def free_bytes(self) -> Mapping[str, int]:
        """Free bytes by the name of the file system, when they were last measured."""

    async def check(self) -> "PartState":
        """Measure; the state of the part `disk`."""
