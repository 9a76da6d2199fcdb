"""Events without blank lines between them, and events that are cut at the end of a stream."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgates_server.dialects.sse import SseReader

EVENTS = [
    b'{"choices":[{"index":0,"delta":{"content":"}{"}}]}',
    b'{"choices":[],"usage":{"prompt_tokens":3}}',
    b"{}",
    b'{"a":[{"b":"[DONE]"},{"c":[]}]}',
    b'{"text":"data: {\\n"}',
]
LINE_ENDS = [b"\n", b"\r\n", b"\r"]


def read(pieces: list[bytes]) -> tuple[list[bytes], int]:
    reader = SseReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.close(), reader.splits


@settings(max_examples=500)
@given(
    st.lists(st.tuples(st.sampled_from(EVENTS), st.booleans()), min_size=1, max_size=8),
    st.sampled_from(LINE_ENDS),
    st.lists(st.integers(0, 600), max_size=12),
)
def test_events_are_the_same_with_and_without_blank_lines_however_the_stream_is_cut(
    story: list[tuple[bytes, bool]], line_end: bytes, cuts: list[int]
) -> None:
    lines = [b"data: " + event + line_end * (1 + blank) for event, blank in story]
    stream = b"".join(lines) + b"data: [DONE]" + line_end
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    expected = [*(event for event, _ in story), b"[DONE]"]
    for pieces in (
        [stream],
        [*lines, b"data: [DONE]" + line_end],
        [stream[start:end] for start, end in pairwise(places)],
        [stream[place : place + 1] for place in range(len(stream))],
    ):
        events, splits = read(pieces)
        assert events == expected
        assert splits == sum(not blank for _, blank in story)


@pytest.mark.parametrize("event", EVENTS)
def test_json_over_several_lines_is_one_event(event: bytes) -> None:
    pretty = json.dumps(json.loads(event), indent=2).splitlines()
    stream = b"".join(b"data: %b\n" % line.encode() for line in pretty) + b"\n"
    events, splits = read([stream, stream])
    assert [json.loads(each) for each in events] == [json.loads(event)] * 2
    assert splits == 0


@pytest.mark.parametrize("junk", [b": keepalive", b"null", b":", b"ping", b"[DONE] "])
def test_junk_without_a_blank_line_after_it_is_an_event_of_its_own(junk: bytes) -> None:
    events, splits = read([b"data: %b\ndata: {}\n\n" % junk])
    assert (events, splits) == ([junk, b"{}"], 1)


def test_event_without_a_blank_line_does_not_wait_for_the_next_one() -> None:
    reader = SseReader()
    assert reader.feed(b"data: {}\n") == []
    assert reader.feed(b'data: {"a":1}\n') == [b"{}", b'{"a":1}']
    assert reader.feed(b'data: {"a":2}\n') == [b'{"a":2}']
    assert reader.feed(b"data: [DONE]\n") == [b"[DONE]"]


def test_json_object_without_its_field_name_is_an_event() -> None:
    events, _ = read([b'data: {"a":1}\n\n{"error":{"message":"no"}}\n\n'])
    assert events == [b'{"a":1}', b'{"error":{"message":"no"}}']


@pytest.mark.parametrize(
    ("cut", "events"),
    [
        (b'data: {"a":1}', [b'{"a":1}']),
        (b"data: [DONE]", [b"[DONE]"]),
        (b'data: {"a":1}\nda', [b'{"a":1}']),
        (b'data: {"a":1}\ndata: [DO', [b'{"a":1}']),
        (b'data: {"a":{}', []),
        (b'data: {"a":\ndata: 1', []),
    ],
)
def test_last_line_without_its_end_is_read_only_if_it_is_whole(
    cut: bytes, events: list[bytes]
) -> None:
    assert read([cut])[0] == events
