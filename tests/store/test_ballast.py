import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelgates_server.store.ballast import BALLAST_BYTES, Ballast

PART_BYTES = 256 * 1024
BLOCK_BYTES = 512  # the unit of `st_blocks`


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ballast"


def test_ballast_takes_up_real_room_and_only_its_owner_may_read_it(path: Path) -> None:
    ballast = Ballast(path)
    assert ballast.missing_bytes() == BALLAST_BYTES
    assert ballast.fill()
    assert ballast.missing_bytes() == 0
    found = path.stat()
    assert found.st_size == BALLAST_BYTES
    assert found.st_blocks * BLOCK_BYTES >= BALLAST_BYTES
    assert found.st_mode & 0o777 == 0o600


def test_release_frees_a_part_at_a_time_until_nothing_is_left(path: Path) -> None:
    ballast = Ballast(path)
    ballast.fill()
    assert ballast.release(1)
    assert ballast.missing_bytes() == PART_BYTES
    assert ballast.release(3 * PART_BYTES)
    assert ballast.missing_bytes() == 4 * PART_BYTES
    assert ballast.release(2 * BALLAST_BYTES)
    assert (ballast.missing_bytes(), path.stat().st_blocks) == (BALLAST_BYTES, 0)
    assert not ballast.release(1)


def test_release_of_a_missing_ballast_frees_nothing(path: Path) -> None:
    assert not Ballast(path).release(1)
    assert not path.exists()


def test_released_ballast_is_made_whole_again(path: Path) -> None:
    ballast = Ballast(path)
    ballast.fill()
    ballast.release(1)
    assert ballast.fill()
    assert ballast.missing_bytes() == 0
    assert path.stat().st_blocks * BLOCK_BYTES >= BALLAST_BYTES


def test_simultaneous_releases_leave_no_hole_that_pretends_to_take_room(path: Path) -> None:
    Ballast(path).fill()
    with ThreadPoolExecutor(8) as threads:
        released = list(threads.map(Ballast(path).release, [1] * 20))
    assert all(released)
    found = path.stat()
    assert found.st_size == BALLAST_BYTES - 20 * PART_BYTES
    assert found.st_blocks * BLOCK_BYTES >= found.st_size


def test_simultaneous_fills_make_one_ballast(path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda _: Ballast(path).fill(), range(4)))
    assert path.stat().st_size == BALLAST_BYTES


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_fill_of_a_full_disk_gives_back_what_it_took(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    ballast = Ballast(path)
    ballast.fill()
    ballast.release(4 * PART_BYTES)
    before = path.stat().st_size
    write, writes = os.write, []

    def full(descriptor: int, data: bytes) -> int:
        writes.append(data)
        if len(writes) > 1:
            raise OSError(number, os.strerror(number))
        return write(descriptor, data[:1000])

    monkeypatch.setattr(os, "write", full)
    assert not ballast.fill()
    assert path.stat().st_size == before


def test_fill_raises_other_errors(path: Path) -> None:
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        Ballast(path).fill()


def test_ballast_is_deleted_when_a_full_file_system_cannot_shorten_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ballast = Ballast(path)
    ballast.fill()

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", full)
    assert ballast.release(1)
    assert not path.exists()
