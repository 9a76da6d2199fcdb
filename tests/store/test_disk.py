import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelgates_server.core.errors import DiskFull
from modelgates_server.service.part_states import PartState, Status
from modelgates_server.store.ballast import BALLAST_BYTES, Ballast
from modelgates_server.store.disk import FLOOR_MAX_BYTES, SPOOL, DiskRoom

MIB = 1024 * 1024
BLOCK = 4096
CAUSE = "A disk is full or nearly full: no new calls are accepted."


class Disks:
    """The file systems of `database` and `spool`: their sizes and free bytes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.figures = {
            folder / name: [100_000 * MIB, 10_000 * MIB] for name in ("database", SPOOL)
        }
        for each in self.figures:
            each.mkdir()
        self.ballast = Ballast(folder / SPOOL / "ballast")
        self.room = DiskRoom({each.name: each for each in self.figures}, self.ballast)
        self.now_s = 0.0
        monkeypatch.setattr(os, "statvfs", self._statvfs)
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)

    def set(self, name: str, size: int, free: int) -> None:
        [folder] = [each for each in self.figures if each.name == name]
        self.figures[folder] = [size, free]

    def _statvfs(self, folder: Path) -> SimpleNamespace:
        size, free = self.figures[folder]
        # Blocks that only root may use are free, and not available.
        return SimpleNamespace(
            f_frsize=BLOCK, f_blocks=size // BLOCK, f_bavail=free // BLOCK, f_bfree=size // BLOCK
        )


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disks:
    return Disks(tmp_path, monkeypatch)


async def test_disk_has_room_before_the_first_check(disks: Disks) -> None:
    disks.room.require_room()


async def test_first_check_makes_the_ballast(disks: Disks) -> None:
    assert await disks.room.check() == PartState(Status.OK)
    disks.room.require_room()
    assert disks.ballast.missing_bytes() == 0
    assert disks.room.free_bytes() == {"database": 10_000 * MIB, "spool": 10_000 * MIB}


@pytest.mark.parametrize(
    ("size", "floor"),
    [(100_000 * MIB, FLOOR_MAX_BYTES), (6_400 * MIB, 64 * MIB), (100 * MIB, MIB)],
)
@pytest.mark.parametrize("name", ["database", SPOOL])
async def test_new_holds_need_64_mib_or_a_hundredth_of_each_disk(
    disks: Disks, name: str, size: int, floor: int
) -> None:
    await disks.room.check()
    disks.set(name, size, floor)
    assert await disks.room.check() == PartState(Status.OK)
    disks.set(name, size, floor - BLOCK)
    state = await disks.room.check()
    assert (state.status, state.cause) == (Status.UNAVAILABLE, CAUSE)
    assert (
        f"The disk of the {name} has {floor - BLOCK} free bytes and needs {floor}." in state.detail
    )
    with pytest.raises(DiskFull, match=f"The disk of the {name}"):
        disks.room.require_room()
    disks.set(name, size, floor)
    assert await disks.room.check() == PartState(Status.OK)
    disks.room.require_room()


async def test_ballast_is_not_made_of_the_room_below_the_floor(disks: Disks) -> None:
    disks.set(SPOOL, 100_000 * MIB, FLOOR_MAX_BYTES + BALLAST_BYTES - BLOCK)
    assert (await disks.room.check()).status is Status.UNAVAILABLE
    assert disks.ballast.missing_bytes() == BALLAST_BYTES
    disks.set(SPOOL, 100_000 * MIB, FLOOR_MAX_BYTES + BALLAST_BYTES)
    assert await disks.room.check() == PartState(Status.OK)
    assert disks.ballast.missing_bytes() == 0


async def test_write_that_met_a_full_disk_stops_new_holds_at_once(disks: Disks) -> None:
    await disks.room.check()
    assert disks.room.make_room(1)
    assert disks.ballast.missing_bytes()
    with pytest.raises(DiskFull):
        disks.room.require_room()
    assert (await disks.room.check()).status is Status.UNAVAILABLE
    disks.now_s += 3
    assert await disks.room.check() == PartState(Status.OK)
    assert disks.ballast.missing_bytes() == 0


async def test_new_holds_wait_until_a_used_up_quota_allows_the_ballast(
    disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems report the room of the disk, not of the quota."""
    await disks.room.check()
    disks.room.make_room(1)
    tried = []

    def over_quota(*_: object) -> int:
        tried.append(1)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", over_quota)
        for second in range(20):
            disks.now_s = float(second)
            assert (await disks.room.check()).status is Status.UNAVAILABLE
    assert len(tried) == 2, "every 10 seconds"
    disks.now_s = 30
    assert await disks.room.check() == PartState(Status.OK)
    disks.room.require_room()


async def test_unknown_free_space_is_a_warning_that_changes_nothing(
    disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    await disks.room.check()

    def broken(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "statvfs", broken)
    state = await disks.room.check()
    assert (state.status, state.cause) == (Status.WARNING, "The free space of a disk is unknown.")
    disks.room.require_room()
