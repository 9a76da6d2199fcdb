"""Reads server-sent events of LLM providers, per the HTML standard, 9.2.5 and 9.2.6.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

The data of these events is JSON, which allows to repair one deviation: some servers forget the
blank line between events. A line that cannot continue the JSON before it starts another event.
"""

import msgspec

EVENT_MAX_BYTES = 64 * 2**20
"""Room for generated images, which arrive as base64 in one event."""

DONE = b"[DONE]"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_EDGE_BYTES = 64  # where the first and last characters of a line are looked for
_json = msgspec.json.Decoder(msgspec.Raw)


class SseReader:
    """Reads one stream in pieces of any size and buffers at most one unfinished event.

    `event_max_bytes` limits each line without its line end, comments included, plus the data that
    its event has collected from earlier lines, with one LF after each. A byte order mark does not
    count. A longer event is skipped to its end, and `is_too_long` is true from then on.

    `splits` counts the events that were not followed by a blank line.
    """

    def __init__(self, *, event_max_bytes: int = EVENT_MAX_BYTES) -> None:
        assert event_max_bytes > 0
        self.is_too_long = False
        self.splits = 0
        self._max_bytes = event_max_bytes
        self._head: bytes | None = b""  # None once the check for a byte order mark is done
        self._line = bytearray()  # a line whose end has not arrived
        self._data = bytearray()  # the standard's data buffer: an LF after each line
        self._after_cr = False  # whether an LF that comes next belongs to the CR before it
        self._skips_line = False  # whether the rest of a line that is too long is still to come
        self._skips_event = False
        self._may_be_early = False  # whether blank lines were missing before
        self._is_early = False  # whether an event was returned before its blank line
        self._between_events = True  # whether all of the above are empty

    def feed(self, data: bytes) -> list[bytes]:
        """The `data` of the events that are now complete, in order, as bytes.

        An event's lines are joined with LF; names, ids, retry times and comments are ignored.
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
        """The last event, if the stream ended before its blank line.

        The standard drops that event. It is read here because some servers forget the blank line,
        and the event may be the one with the usage. If the stream ended within a line, data are
        an event only if they are a whole JSON object: half an event could look complete.
        """
        cut = bytes(self._line)
        if cut:
            self._line.clear()
            if not _is_document(self._data):
                self._data.clear()
        # Two line ends, because the first may be the second half of a CRLF.
        events = self._read(b"\n\n")
        name, _, value = cut.partition(b":")
        if name == b"data" and _is_document(value):
            events.append(value.removeprefix(b" "))
        return events

    def _read(self, data: bytes) -> list[bytes]:
        """Read bytes at any position of a stream, in any form that the standard allows."""
        events = self._take(self._whole_lines(data))
        self._between_events = not (
            self._line
            or self._data
            or self._after_cr
            or self._skips_line
            or self._skips_event
            or self._is_early
        )
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
        if self._skips_line and lines:
            del lines[0]
            self._skips_line = False
        elif self._line and lines:
            lines[0] = bytes(self._line + lines[0])
            self._line.clear()
        if not self._skips_line:
            self._line += begun
        return lines

    def _take(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if len(line) + len(self._data) > self._max_bytes:
                self._skip_event()
            elif not line:
                self._end_event(events)
            elif not self._skips_event:
                name, _, value = line.partition(b":")
                if name == b"data":
                    self._add(value.removeprefix(b" "), events)
                elif line.startswith(b"{"):  # an error, or a chunk, without its `data:`
                    self._add(line, events)
        if len(self._line) + len(self._data) > self._max_bytes:
            self._skips_line = bool(self._line)
            self._line.clear()
            self._skip_event()
        return events

    def _add(self, value: bytes, events: list[bytes]) -> None:
        """Collect the data of a line, which may be the first line of another event."""
        if self._is_early or (self._data and _is_split(self._data, value)):
            self.splits += 1
            self._may_be_early = True
            self._end_event(events)
        if self._may_be_early and not self._data and _is_document(value):
            # Otherwise, each event would have to wait for the next one.
            events.append(value)
            self._is_early = True
        else:
            self._data += value + b"\n"

    def _end_event(self, events: list[bytes]) -> None:
        self._skips_event = self._is_early = False
        if self._data:
            events.append(bytes(self._data[:-1]))
            self._data.clear()

    def _skip_event(self) -> None:
        self.is_too_long = True
        self._skips_event = not self._may_be_early
        self._data.clear()

    def _after_mark(self, head: bytes) -> bytes:
        """The bytes after the byte order mark; none until it is known whether there is one."""
        if _BYTE_ORDER_MARK.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BYTE_ORDER_MARK)


def _is_split(data: bytearray, value: bytes) -> bool:
    """Whether no JSON can contain both the data so far and, after it, this line.

    Looks at the edges only: an event may have many lines.
    """
    before = bytes(data[:_EDGE_BYTES]).lstrip()[:1]
    last = bytes(data[-_EDGE_BYTES:]).rstrip()[-1:]
    first = value[:_EDGE_BYTES].lstrip()[:1]
    if DONE in (value.strip(), bytes(data[:_EDGE_BYTES]).strip()):
        return True
    if first == b"{":
        return before not in (b"{", b"[") or last not in (b":", b",", b"[")
    return before == b"{" and last == b"}" and first not in (b"", b",", b"]", b"}")


def _is_document(value: bytes | bytearray) -> bool:
    """Whether this is the end of a stream, or a whole JSON object."""
    text = bytes(value).strip()
    if not (text.startswith(b"{") and text.endswith(b"}")):
        return text == DONE
    try:
        _json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
