"""Output that never blocks its writer: a bounded queue, and one thread that writes to a descriptor.

A pipe whose reader has stopped blocks every write to it. Here it blocks only the thread.
"""

import io
import os
import select
from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread

QUEUE_MAX_BYTES = 4 * 1024 * 1024
"""Some 8,000 lines: more than a reader that works ever falls behind."""

_RETRY_S = 1.0
_GATHER_S = 0.05
"""To wake the thread for each line would cost more than the line."""


class QueuedOutput:
    """A queue of lines for one descriptor. Lines that find it full are dropped and counted.

    Dropping continues until half of the queue is written. `report` then returns the line that takes
    the place of the dropped ones. The thread starts with the first line, so a process that
    is spawned later has its own.
    """

    def __init__(
        self,
        descriptor: int,
        report: Callable[[int], bytes],
        most_bytes: int = QUEUE_MAX_BYTES,
    ) -> None:
        self.dropped_lines = 0
        self._descriptor = descriptor
        self._report = report
        self._most_bytes = most_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._gap_lines = 0
        self._closing = Event()
        self._thread: Thread | None = None
        # Reentrant: the garbage collector may run code that logs while a line is put.
        self._changed = Condition()

    @property
    def is_dropping(self) -> bool:
        """Whether the queue is full, or not yet half empty again."""
        return self._gap_lines > 0

    def put(self, line: bytes) -> None:
        """Queue a line, which ends with a line feed, or drop it. Never blocks, never raises."""
        with self._changed:
            if self._gap_lines or self._bytes + len(line) > self._most_bytes:
                self._gap_lines += 1
                self.dropped_lines += 1
            else:
                self._lines.append(line)
                self._bytes += len(line)
            if self._thread is None and not self._closing.is_set():
                self._thread = Thread(target=self._run, name="modelgates-output", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, timeout_s: float) -> bool:
        """Write the rest of the queue; returns whether that succeeded in time.

        If not, the thread stays behind, blocked in its write. It does not keep the process alive.
        """
        with self._changed:
            self._closing.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)
            return not self._thread.is_alive()
        return True

    def _run(self) -> None:
        while left := self._next_piece():
            while left := self._write(left):
                if self._closing.wait(_RETRY_S):
                    return
            if not self._lines:
                self._closing.wait(_GATHER_S)

    def _next_piece(self) -> bytes:
        """Wait for lines and take as many as one write keeps together; empty at the end."""
        with self._changed:
            while True:
                if self._gap_lines and self._bytes <= self._most_bytes // 2:
                    line = self._report(self._gap_lines)
                    self._lines.append(line)
                    self._bytes += len(line)
                    self._gap_lines = 0
                if self._lines:
                    return self._take()
                if self._closing.is_set():
                    return b""
                self._changed.wait()

    def _take(self) -> bytes:
        """The next lines. Several processes may share a pipe, and only short writes are atomic."""
        taken = [self._lines.popleft()]
        size = len(taken[0])
        while self._lines and size + len(self._lines[0]) <= select.PIPE_BUF:
            taken.append(self._lines.popleft())
            size += len(taken[-1])
        self._bytes -= size
        return b"".join(taken)

    def _write(self, piece: bytes) -> bytes:
        """Write lines; returns those that cannot be written now: no reader, or a full disk."""
        done = 0
        try:
            while done < len(piece):
                done += self._write_some(piece[done:])
        except OSError:
            start = piece.rfind(b"\n", 0, done) + 1
            # A line that was cut is ended, and then repeated.
            return (b"\n" if done > start else b"") + piece[start:]
        return b""

    def _write_some(self, data: bytes) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # another user of the pipe or terminal made it non-blocking
            waiting = select.poll()
            waiting.register(self._descriptor, select.POLLOUT)
            waiting.poll()
            return 0


class QueuedStream(io.TextIOBase):
    """A replacement of `sys.stdout` or `sys.stderr`; text is queued line by line."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, output: QueuedOutput, replaced: io.TextIOBase) -> None:
        self._output = output
        self._replaced = replaced
        self._unfinished = ""

    def write(self, text: str) -> int:
        """Queue all whole lines; the last part waits for its end."""
        if self._unfinished or not text.endswith("\n"):
            self._unfinished += text
            whole, end, self._unfinished = self._unfinished.rpartition("\n")
        else:
            whole, end = text, ""
        if whole or end:
            self._output.put((whole + end).encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread writes lines at once."""

    def writable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self._replaced.isatty()

    def fileno(self) -> int:
        """The descriptor, for programs that are started with it."""
        return self._replaced.fileno()
