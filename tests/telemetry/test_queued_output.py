"""The queue in front of a descriptor, with real pipes whose reader reads, stops or dies."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modelgates_server.telemetry.queued_output import QueuedOutput
from tests.deadlines import DEADLINE_S, eventually

LINE = b"x" * 99 + b"\n"


def report(count: int) -> bytes:
    return b"dropped %d\n" % count


class Pipe:
    """A pipe that holds one page, and the output that writes to it."""

    def __init__(self, most_bytes: int) -> None:
        self.read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096)
        self._open = {self.read_end, self.write_end}
        self.output = QueuedOutput(self.write_end, report, most_bytes)

    def close(self, *ends: int) -> None:
        """Closes ends that are open."""
        for end in self._open & set(ends):
            self._open.remove(end)
            os.close(end)

    def fill(self) -> None:
        """Writes until the pipe is full, as another process would."""
        os.set_blocking(self.write_end, False)
        try:
            while True:
                os.write(self.write_end, LINE)
        except BlockingIOError:
            os.set_blocking(self.write_end, True)

    def read_to_end(self) -> list[bytes]:
        """All lines, once the write end is closed."""
        with open(self.read_end, "rb", closefd=False) as file:
            return file.read().splitlines(keepends=True)


@contextmanager
def pipe(most_bytes: int = 4000) -> Iterator[Pipe]:
    made = Pipe(most_bytes)
    try:
        yield made
    finally:
        made.close(made.read_end, made.write_end)


def read_while(made: Pipe, then: Callable[[], None]) -> list[bytes]:
    """Reads the pipe in a thread while `then` runs and the output is closed; returns all lines."""
    lines: list[bytes] = []
    reader = threading.Thread(target=lambda: lines.extend(made.read_to_end()))
    reader.start()
    then()
    assert made.output.close(DEADLINE_S)
    made.close(made.write_end)
    reader.join(DEADLINE_S)
    return lines


def test_lines_keep_their_order() -> None:
    lines = [b"line %d\n" % number for number in range(2000)]
    with pipe(most_bytes=1_000_000) as made:
        for line in lines:
            made.output.put(line)
        assert read_while(made, lambda: None) == lines


def test_line_longer_than_an_atomic_write_arrives_whole() -> None:
    long = b"y" * 100_000 + b"\n"
    with pipe(most_bytes=1_000_000) as made:
        made.output.put(LINE)
        made.output.put(long)
        made.output.put(LINE)
        assert read_while(made, lambda: None) == [LINE, long, LINE]


def test_lines_are_dropped_and_counted_when_nothing_reads() -> None:
    with pipe() as made:
        made.fill()
        for _ in range(1000):
            made.output.put(LINE)
        dropped = made.output.dropped_lines
        assert made.output.is_dropping
        assert 900 < dropped < 1000

        def put_one_more() -> None:
            eventually(lambda: not made.output.is_dropping)
            made.output.put(b"after\n")

        lines = read_while(made, put_one_more)
        assert lines[-2:] == [report(dropped), b"after\n"]
        assert lines.count(LINE) - 40 == 1000 - dropped
        assert made.output.dropped_lines == dropped


def test_close_gives_up_when_nothing_reads() -> None:
    with pipe() as made:
        made.fill()
        made.output.put(LINE)
        assert not made.output.close(0.01)
        os.read(made.read_end, 4096)


def test_put_drops_lines_when_the_reader_has_died() -> None:
    with pipe() as made:
        made.close(made.read_end)
        for _ in range(1000):
            made.output.put(LINE)
        assert made.output.is_dropping
        assert made.output.close(DEADLINE_S), "a dead reader is not waited for"


def test_lines_are_written_after_an_error_is_over() -> None:
    with pipe() as made:
        aside = os.dup(made.write_end)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, made.write_end)
        made.output.put(b"kept\n")
        eventually(lambda: not made.output._lines)  # the thread has taken the line and failed
        os.dup2(aside, made.write_end)
        os.close(aside)
        os.close(full)
        assert os.read(made.read_end, 4096) == b"kept\n"
        assert made.output.close(DEADLINE_S)


def test_non_blocking_pipe_is_waited_for() -> None:
    lines = [b"line %d\n" % number for number in range(2000)]
    with pipe(most_bytes=1_000_000) as made:
        os.set_blocking(made.write_end, False)
        for line in lines:
            made.output.put(line)
        assert read_while(made, lambda: None) == lines
