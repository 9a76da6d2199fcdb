"""Reads server-sent events of LLM providers, per the HTML standard, 9.2.5 and 9.2.6.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

EVENT_MAX_BYTES = 16 * 2**20
"""Room for a generated image, which arrives as base64 in one event."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SseTooLong(ValueError):
    """A line, or an event of several lines, is longer than the reader's limit."""


class SseReader:
    """Reads one stream in pieces of any size and buffers at most one unfinished event.

    `event_max_bytes` limits each line without its line end, comments included, plus the data that
    its event has collected from earlier lines, with one LF after each. A byte order mark does not
    count.
    """

    def __init__(self, *, event_max_bytes: int = EVENT_MAX_BYTES) -> None:
        assert event_max_bytes > 0
        self._max_bytes = event_max_bytes
        self._head: bytes | None = b""  # None once the check for a byte order mark is done
        self._line = bytearray()  # a line whose end has not arrived
        self._data = bytearray()  # the standard's data buffer: an LF after each line
        self._after_cr = False  # whether an LF that comes next belongs to the CR before it
        self._too_long = False
        self._between_events = True  # whether the four above are all empty

    def feed(self, data: bytes) -> list[bytes]:
        """The `data` of the events that are now complete, in order, as bytes.

        An event's lines are joined with LF; names, ids, retry times and comments are ignored.
        Raises `SseTooLong` in this and every later call once a line is too long. If events were
        complete before that line, this call returns them and the next one raises.
        """
        if self._head is not None:
            data = self._after_mark(self._head + data)
        if (
            self._between_events
            and data.startswith(b"data: ")
            and data.endswith(b"\n\n")
            and len(data) <= self._max_bytes
        ):
            # Nearly all events have this form. Split between events: if the splits and the end
            # account for all line ends, each piece was one data line and one blank line.
            events = data[6:-2].split(b"\n\ndata: ")
            if data.count(b"\n") == 2 * len(events) and b"\r" not in data:
                return events
        return self._read(data)

    def close(self) -> list[bytes]:
        """The last event, if the stream ended after its last line but before the blank line.

        The standard drops that event. It is read here because some servers forget the blank line,
        and the event may be the one with the usage. A stream that was cut within a line has no
        last event: half an event could look complete. Raises `SseTooLong` as `feed` does.
        """
        if self._line:
            self._line.clear()
            self._data.clear()
        # Two line ends, because the first may be the second half of a CRLF.
        return self._read(b"\n\n")

    def _read(self, data: bytes) -> list[bytes]:
        """Read bytes at any position of a stream, in any form that the standard allows."""
        events = [] if self._too_long else self._take(self._whole_lines(data))
        self._between_events = not (self._line or self._data or self._after_cr or self._too_long)
        if self._too_long and not events:
            raise SseTooLong(f"An event of the stream is longer than {self._max_bytes} bytes.")
        return events

    def _whole_lines(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`; a line that is not complete is buffered."""
        if not data:
            return []
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        lines = data.splitlines()  # for bytes: only at CRLF, LF and CR
        begun = b"" if not lines or data.endswith((b"\n", b"\r")) else lines.pop()
        if self._line and lines:
            lines[0] = bytes(self._line + lines[0])
            self._line.clear()
        self._line += begun
        return lines

    def _take(self, lines: list[bytes]) -> list[bytes]:
        events = []
        for line in lines:
            if len(line) + len(self._data) > self._max_bytes:
                self._too_long = True
                break
            if line:
                name, _, value = line.partition(b":")
                if name == b"data":
                    self._data += value.removeprefix(b" ") + b"\n"
            elif self._data:
                events.append(bytes(self._data[:-1]))
                self._data.clear()
        if len(self._line) + len(self._data) > self._max_bytes:
            self._too_long = True
        return events

    def _after_mark(self, head: bytes) -> bytes:
        """The bytes after the byte order mark; none until it is known whether there is one."""
        if _BYTE_ORDER_MARK.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BYTE_ORDER_MARK)
