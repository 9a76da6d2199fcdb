import time
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelgates_server.dialects.sse import EVENT_MAX_BYTES, SseReader

BOM = b"\xef\xbb\xbf"
HELLO = b'{"id":"gen-1","choices":[{"index":0,"delta":{"content":"Hi: \\n"}}]}'
USAGE = b'{"id":"gen-1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}'
PROVIDER = b"data: " + HELLO + b"\n\ndata: " + USAGE + b"\n\ndata: [DONE]\n\n"
EVENTS = [HELLO, USAGE, b"[DONE]"]
AMPLE = 10_000

# Pieces of streams, and bytes that must not be read as a line end, a mark or a data line.
PARTS = [
    b"data", b"data:", b"data: ", b"data:  ", b"data: <>\n\n", b"data: DONE\r\n\r\n", b"Data: ",
    b"datas:", b" data:", b"event: error", b"id: 1", b"retry: 10", b": OPENROUTER PROCESSING\n\n",
    b":", b" ", b"x", b"<>", b"\n", b"\n", b"\n\n", b"\r", b"\r", b"\r\n", b"\r\n", b"\n\ndata: ",
    BOM, BOM[:2], b"\xff", b"\xc3", "é".encode(), "\u2028\u0085".encode(), b"\x0b\x0c\x1c\x85\x00",
]  # fmt: skip
provider_streams = st.lists(
    st.sampled_from([b"", b" ", b"<>", b"DONE", b"data: ", b"\r", b"\n", HELLO[1:-1]]), max_size=5
).map(lambda events: b"".join(b"data: %b\n\n" % event for event in events))
streams = st.lists(st.one_of(st.sampled_from(PARTS), provider_streams), max_size=24)
places = st.lists(st.integers(0, 300), max_size=12)


class Standard:
    """The standard's algorithm, character by character, for a whole stream without its mark.

    `events` are those dispatched, `last` is the one that lacks only its blank line, and `too_long`
    is the reader's own limit. As in a browser, `text` is the decoded stream; decoded as Latin-1 it
    is the bytes.
    """

    def __init__(self, text: str, limit: int = AMPLE) -> None:
        self.events: list[str] = []
        self.too_long = False
        self.data_buffer = ""
        line = ""
        place = 0
        while place < len(text):
            if text[place] not in "\r\n":
                line += text[place]
                place += 1
                if len(self.data_buffer) + len(line) > limit:
                    self.too_long = True
                    break
            else:
                place += 2 if text[place : place + 2] == "\r\n" else 1
                self.process(line)
                line = ""
        whole = self.data_buffer != "" and line == "" and not self.too_long
        self.last = [self.data_buffer.removesuffix("\n")] if whole else []

    def process(self, line: str) -> None:
        if line == "":
            self.dispatch()
        elif line.startswith(":"):
            pass
        elif ":" in line:
            before, after = line[: line.index(":")], line[line.index(":") + 1 :]
            self.field(before, after.removeprefix(" "))
        else:
            self.field(line, "")

    def field(self, name: str, value: str) -> None:
        if name == "data":
            self.data_buffer += value
            self.data_buffer += "\n"

    def dispatch(self) -> None:
        if self.data_buffer == "":
            return
        self.events.append(self.data_buffer.removesuffix("\n"))
        self.data_buffer = ""


def standard(stream: bytes, limit: int = AMPLE) -> Standard:
    return Standard(stream.removeprefix(BOM).decode("latin-1"), limit)


def as_bytes(events: Iterable[str]) -> list[bytes]:
    return [event.encode("latin-1") for event in events]


def pieces_of(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


def byte_by_byte(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


def outcome(pieces: Iterable[bytes], limit: int = AMPLE) -> tuple[list[bytes], bool]:
    """All events of a stream, and whether one of them was too long."""
    reader = SseReader(event_max_bytes=limit)
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.close(), reader.is_too_long


def events_of(stream: bytes) -> list[bytes]:
    """The events of a stream fed as a whole; fed byte by byte, they must be the same."""
    reader = SseReader()
    events = reader.feed(stream)
    slow = SseReader()
    assert [event for byte in byte_by_byte(stream) for event in slow.feed(byte)] == events
    return events


def ways_to_cut(pieces: list[bytes], cuts: list[int]) -> Iterator[list[bytes]]:
    stream = b"".join(pieces)
    yield pieces
    yield [stream]
    yield byte_by_byte(stream)
    yield pieces_of(stream, cuts)


@settings(max_examples=500)
@given(streams, places)
@example([PROVIDER], [])
@example([BOM, PROVIDER], [1, 2])
@example([b"data: a\r", b"\ndata: b\r\n\r\n"], [])
def test_every_stream_is_read_per_the_standard_however_it_is_cut(
    pieces: list[bytes], cuts: list[int]
) -> None:
    expected = standard(b"".join(pieces))
    for way in ways_to_cut(pieces, cuts):
        assert outcome(way) == (as_bytes(expected.events + expected.last), False)


@settings(max_examples=500)
@given(streams, places, st.integers(len(BOM), 90))  # half a mark is buffered and does not count
@example([PROVIDER], [], len(USAGE) + 6)
@example([PROVIDER], [], len(USAGE) + 5)
def test_limit_is_the_same_however_the_stream_is_cut(
    pieces: list[bytes], cuts: list[int], limit: int
) -> None:
    expected = standard(b"".join(pieces), limit)
    events = as_bytes(expected.events + expected.last)
    outcomes = [outcome(way, limit) for way in ways_to_cut(pieces, cuts)]
    assert all(each == outcomes[0] for each in outcomes)
    read, is_too_long = outcomes[0]
    assert (read[: len(events)], is_too_long) == (events, expected.too_long)
    assert is_too_long or read == events


@settings(max_examples=500)
@given(streams)
@example([b"data: a\r\r", b"data: b\r\n\r", b"\n"])
def test_event_is_returned_as_soon_as_it_is_complete(pieces: list[bytes]) -> None:
    reader, received, events = SseReader(), b"", []
    for piece in pieces:
        received += piece
        events += reader.feed(piece)
        assert events == as_bytes(standard(received).events)


@given(streams)
def test_invalid_utf8_does_not_move_line_ends(pieces: list[bytes]) -> None:
    # The standard decodes first. The reader splits the bytes and must find the same line ends.
    expected = Standard(b"".join(pieces).removeprefix(BOM).decode(errors="replace"))
    events, _ = outcome(pieces)
    assert [event.decode(errors="replace") for event in events] == expected.events + expected.last


def test_events_of_a_provider_are_exactly_its_payloads() -> None:
    assert events_of(PROVIDER) == EVENTS
    assert events_of(PROVIDER.replace(b"data: ", b"data:")) == EVENTS
    assert events_of(PROVIDER.replace(b"\n", b"\r\n")) == EVENTS
    assert events_of(PROVIDER.replace(b"\n", b"\r")) == EVENTS


def test_keep_alive_comment_is_never_read_as_data() -> None:
    comment = b": OPENROUTER PROCESSING\n\n"
    assert events_of(comment * 3 + PROVIDER.replace(b"data: ", comment + b"data: ")) == EVENTS
    assert events_of(b":\n\n:data: x\n\n" + PROVIDER) == EVENTS
    assert events_of(b"data: a\n: ping\ndata: b\n\n") == [b"a\nb"]


def test_named_event_is_not_lost() -> None:
    assert events_of(b'event: error\ndata: {"error":{}}\nid: 7\nretry: 1\n\n') == [b'{"error":{}}']
    assert events_of(b"event: ping\n\nid: 7\n\n" + PROVIDER) == EVENTS


def test_halves_of_a_crlf_do_not_make_a_blank_line() -> None:
    reader = SseReader()
    assert reader.feed(b"data: a\r") == []
    assert reader.feed(b"") == []
    assert reader.feed(b"\ndata: b\r") == []
    assert reader.feed(b"\n") == []
    assert reader.feed(b"\r") == [b"a\nb"]
    assert reader.feed(b"\ndata: c\n\n") == [b"c"]


def test_event_without_data_is_dropped_and_one_with_empty_data_is_not() -> None:
    assert events_of(b"\n\n\nevent: x\n\n") == []
    assert events_of(b"data\n\ndata\ndata\n\ndata: \n\ndata:") == [b"", b"\n", b""]


def test_only_one_leading_space_is_removed() -> None:
    assert events_of(b"data:a\n\ndata: a\n\ndata:  a \n\ndata::\n\ndata:\ta\n\n") == [
        b"a", b"a", b" a ", b":", b"\ta",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["Data", "DATA", "data ", " data", "datas", "dat", "\ufeffdata"])
def test_other_fields_are_never_read_as_data(name: str) -> None:
    assert events_of(f": first\n{name}: x\n\n{name}\n\n".encode()) == []


def test_byte_order_mark_is_dropped_only_at_the_start() -> None:
    assert events_of(BOM + PROVIDER) == EVENTS
    assert events_of(BOM + b"\n" + PROVIDER) == EVENTS
    assert events_of(BOM + BOM + PROVIDER) == EVENTS[1:]
    assert events_of(b"data: a\n\n" + BOM + b"data: b\n\n") == [b"a"]
    assert events_of(b"data: " + BOM + b"\n\n") == [BOM]
    assert events_of(BOM[:2] + b"data: x\n\ndata: y\n\n") == [b"y"]


@pytest.mark.parametrize("odd", [b"\xff\xfe", b"\xc3", b"\x00", b"\x0b", b"\x0c", b"\x1c", b"\x85"])
def test_odd_byte_is_returned_unchanged(odd: bytes) -> None:
    assert events_of(b"data: a" + odd + b"b\n\ndata: c\n\n") == [b"a" + odd + b"b", b"c"]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_usage_is_read_when_the_last_blank_line_is_missing(end: bytes) -> None:
    reader = SseReader()
    assert reader.feed(b"data: " + USAGE + end) == []
    assert reader.close() == [USAGE]
    assert reader.close() == []


@pytest.mark.parametrize(
    "cut", [b"data: {", b"data: a\ndata: b", b"data: a\nd", b"\xef", b"da", b""]
)
def test_incomplete_line_at_the_end_is_not_read_as_an_event(cut: bytes) -> None:
    reader = SseReader()
    assert reader.feed(PROVIDER) == EVENTS
    assert reader.feed(cut) == []
    assert reader.close() == []


@pytest.mark.parametrize("begin", [b"data: ", b"data", b": ", b"", b"id: ", BOM, b"data: a\n\n:"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_endless_line_is_rejected_exactly_above_the_limit(begin: bytes, size: int) -> None:
    limit = 300
    line = begin.removeprefix(BOM).rpartition(b"\n")[2]
    longest = begin + b"x" * (limit - len(line))
    reader = SseReader(event_max_bytes=limit)
    for start in range(0, len(longest), size):
        reader.feed(longest[start : start + size])
    assert not reader.is_too_long
    reader.feed(b"x")
    assert reader.is_too_long


def test_complete_event_is_rejected_only_above_the_limit() -> None:
    event = b"data: " + b"x" * 94 + b"\n\n"
    assert SseReader(event_max_bytes=100).feed(event) == [b"x" * 94]
    assert SseReader(event_max_bytes=100).feed(event * 50) == [b"x" * 94] * 50
    assert outcome([event], 99) == ([], True)


def test_event_with_endless_lines_is_rejected() -> None:
    reader = SseReader(event_max_bytes=30)
    assert reader.feed(b"data: 123456789\n" * 2) == []  # buffers 20 bytes
    assert reader.feed(b"data: 6789") == []
    assert not reader.is_too_long
    assert reader.feed(b"0") == []
    assert reader.is_too_long
    assert outcome([b"data\n" * 28], 30) == ([], True)


def test_comments_of_a_long_wait_do_not_count_towards_the_limit() -> None:
    reader = SseReader(event_max_bytes=100)
    for _ in range(100):
        assert reader.feed(b": OPENROUTER PROCESSING\n") == []
    assert reader.feed(b"data: a\n\n") == [b"a"]


def test_too_long_event_is_skipped_and_the_events_around_it_are_returned() -> None:
    stream = b"data: a\n\ndata: %b\ndata: rest\n\ndata: b\n\n" % (b"x" * 1000)
    for way in ways_to_cut([stream], [7, 100, 1000]):
        assert outcome(way, 100) == ([b"a", b"b"], True)


def test_endless_event_takes_no_memory_beyond_its_limit() -> None:
    reader = SseReader(event_max_bytes=1000)
    tracemalloc.start()
    try:
        for _ in range(1000):
            assert reader.feed(b"data: " + b"x" * 1000) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000
    assert reader.feed(b"\n\ndata: after\n\n") == [b"after"]


def test_event_with_a_large_image_is_accepted() -> None:
    image = b"data: " + b"A" * (EVENT_MAX_BYTES - 6) + b"\n\n"
    assert SseReader().feed(image) == [image[6:-2]]


def trickled(stream: bytes) -> Iterator[bytes]:
    return (stream[place : place + 2] for place in range(0, len(stream), 2))


@pytest.mark.parametrize("junk", [b"x", b": keep-alive\n", b"data: x\n\n", b"id: 1\r\n\r\n"])
def test_memory_does_not_grow_with_the_length_of_the_stream(junk: bytes) -> None:
    limit = 20_000
    reader = SseReader(event_max_bytes=limit)
    stream = junk * (limit // len(junk))
    tracemalloc.start()
    try:
        for _ in range(1 if junk == b"x" else 5):
            for piece in trickled(stream):
                reader.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A list of the pieces would take twenty times the limit.
    assert peak < 3 * limit


@pytest.mark.parametrize(
    "pieces", [[b"xx"] * 2**19, [b"data: %b\n" % (b"x" * 58)] * 2**16], ids=["line", "lines"]
)
def test_long_event_is_not_copied_for_each_of_its_pieces(pieces: list[bytes]) -> None:
    reader = SseReader()
    used = time.process_time()
    for piece in pieces:
        reader.feed(piece)
    # Copying would move 10**11 bytes; this limit does not test speed.
    assert time.process_time() - used < 5
