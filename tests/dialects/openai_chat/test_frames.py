"""Chunks are written as if each was looked at alone, although most take a shorter way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.dialects.openai_chat.frames import Frame
from modelgates_server.dialects.openai_chat.stream import OpenAiChatResponse
from tests.dialects.openai_chat.test_stream import adapter, relayed

TEXTS = st.sampled_from(
    [
        "",
        "a",
        " ",
        '"',
        "\\",
        '\\"',
        'a\\\\"',
        '","role":"assistant","content":"',
        "é\n",
        "\U0001f600",
    ]
)
NAMES = ("content", "reasoning", "reasoning_content", "refusal")


@st.composite
def deltas(draw: st.DrawFn) -> dict[str, Any]:
    delta: dict[str, Any] = {}
    if draw(st.booleans()):
        delta["role"] = "assistant"
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)):
        delta[name] = draw(TEXTS | st.none())
    if draw(st.booleans()):
        call = {"index": draw(st.integers(0, 1)), "function": {"arguments": draw(TEXTS)}}
        if draw(st.booleans()):
            call |= {"id": draw(st.sampled_from(["a", "b"])), "type": "function"}
        delta["tool_calls"] = [call]
    return delta


def choices(delta: dict[str, Any], index: int, reason: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": reason}


CHUNKS = st.lists(
    st.builds(choices, deltas(), st.sampled_from([0, 0, 0, 1, 9999]), st.just(None)), max_size=8
)


def whole(chunk: dict[str, Any], *, is_spaced: bool) -> bytes:
    body = {"object": "chat.completion.chunk", "created": 1, "choices": [chunk]}
    separators = None if is_spaced else (",", ":")
    return b"data: %b\n\n" % json.dumps(body, separators=separators).encode()


class LookedAt(OpenAiChatResponse):
    """Looks at each chunk as if it was odd."""

    def __init__(self) -> None:
        self.__dict__.update(adapter().__dict__)
        writer = self._writer._choices
        writer.of_chunk = lambda raw: writer._all(raw, "delta")  # type: ignore[method-assign]


@given(CHUNKS, st.booleans())
def test_chunk_is_the_same_however_it_was_written(
    chunks: list[dict[str, Any]], is_spaced: bool
) -> None:
    events = [whole(chunk, is_spaced=is_spaced) for chunk in chunks]
    # The same again, because only then do chunks differ in nothing but their text.
    short, long = adapter(), LookedAt()
    assert relayed(short, *events, *events) == relayed(long, *events, *events)
    assert short.meter.repairs == long.meter.repairs


@pytest.mark.parametrize(
    "text",
    [b"a", rb"\"", rb"\\", rb"\\\"", rb"\n\\", rb"\ud83d\ude00", "é".encode()],
)
def test_frame_writes_text_that_stays_within_its_string(text: bytes) -> None:
    frame = Frame.of_text(b'[{"content":"hi","x":1}]')
    assert frame is not None
    assert frame.write(b'[{"content":"%b","x":1}]' % text) == b'[{"content":"%b","x":1}]' % text


@pytest.mark.parametrize(
    "text", [b"", b'","y":"', rb'\\","y":"', rb'\"","role":"assistant","y":"\\']
)
def test_frame_does_not_write_text_that_ends_its_string(text: bytes) -> None:
    frame = Frame.of_text(b'[{"content":"hi","x":1}]')
    assert frame is not None
    assert frame.write(b'[{"content":"%b","x":1}]' % text) is None


def test_frame_does_not_write_choices_that_are_shorter_than_itself() -> None:
    frame = Frame.of_text(b'[{"content":"hi","x":1}]')
    assert frame is not None
    assert frame.write(b'[{"content":"x":1}]') is None
