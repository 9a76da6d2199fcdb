import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.store import emergency
from modelgates_server.store.emergency import emergency_folder, write_to_stderr, write_within
from modelgates_server.store.end_lines import ends_in
from tests.deadlines import DEADLINE_S
from tests.gateway import pending
from tests.store.test_spool import settlement

LINES = [b"%d\n" % number for number in range(1000)]


class Pipe(NamedTuple):
    reader: int
    writer: int

    def read(self, count: int) -> bytes:
        """Reads a number of bytes, within the deadline."""
        data = b""
        while len(data) < count:
            assert select.select([self.reader], [], [], DEADLINE_S)[0]
            data += os.read(self.reader, count - len(data))
        return data

    def fill(self) -> int:
        """Writes until the pipe is full; returns the number of bytes."""
        os.set_blocking(self.writer, False)
        count = 0
        try:
            while True:
                count += os.write(self.writer, bytes(4096))
        except BlockingIOError:
            return count
        finally:
            os.set_blocking(self.writer, True)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    opened = Pipe(*os.pipe())
    yield opened
    for descriptor in opened:
        os.close(descriptor)


async def test_emergency_folder_has_one_line_for_each_end(tmp_path: Path) -> None:
    folder = emergency_folder(tmp_path / "elsewhere")
    await folder.put(settlement())
    [file] = (tmp_path / "elsewhere").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    assert [end.settlement for end in ends_in(lines)] == [settlement()]
    assert await pending(folder) == [settlement()]
    await folder.remove("gen-1")
    assert await pending(folder) == []


async def test_damaged_file_of_the_emergency_folder_is_named(tmp_path: Path) -> None:
    folder = emergency_folder(tmp_path)
    await folder.put(settlement())
    file = tmp_path / "gen-1.json"
    file.write_bytes(file.read_bytes().replace(b"mg-end-1.", b"mg-end-1.0", 1))
    with pytest.raises(StoreUnavailable, match=r"gen-1\.json is damaged"):
        await folder.load("gen-1")


def test_unusable_emergency_folder_names_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="MODELGATES_EMERGENCY_DIR"):
        emergency_folder(tmp_path / "file").check()


def test_lines_are_written_past_all_buffers(pipe: Pipe) -> None:
    write_within(LINES, descriptor=pipe.writer, seconds=DEADLINE_S)
    assert pipe.read(len(b"".join(LINES))) == b"".join(LINES)


def test_writing_gives_up_when_no_one_reads_and_the_lines_arrive_later(pipe: Pipe) -> None:
    before = pipe.fill()
    write_within(LINES, descriptor=pipe.writer, seconds=0.05)
    pipe.read(before)
    assert pipe.read(len(b"".join(LINES))) == b"".join(LINES)


def test_writing_waits_for_a_pipe_that_does_not_block(pipe: Pipe) -> None:
    before = pipe.fill()
    os.set_blocking(pipe.writer, False)
    write_within(LINES, descriptor=pipe.writer, seconds=0.05)
    pipe.read(before)
    assert pipe.read(len(b"".join(LINES))) == b"".join(LINES)


def test_closed_standard_error_is_no_error(pipe: Pipe) -> None:
    closed = os.dup(pipe.writer)
    os.close(closed)
    write_within(LINES, descriptor=closed, seconds=DEADLINE_S)


def test_standard_error_gets_the_ends_without_responses_and_the_remedy(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "_STDERR", pipe.writer)
    write_to_stderr([settlement(), settlement("gen-2")])
    lines = os.read(pipe.reader, 65536).splitlines(keepends=True)
    assert [end.settlement for end in ends_in(lines)] == [
        replace(settlement(), answer=None),
        replace(settlement("gen-2"), answer=None),
    ]
    assert len(lines) == 3
    assert b'"count":2' in lines[-1]
    assert b"modelgates spool replay" in lines[-1]
