"""Characters that a provider cut into halves arrive whole, and text stays in its order."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat.stream import OpenAiChatResponse
from tests.core.calls import flat, held, model, priced
from tests.dialects.openai_chat.chat import request

AMPLE = 10_000


def sent(*deltas: dict[str, Any], choice: int = 0) -> bytes:
    """Events with these deltas, in ASCII: halves are escapes."""
    chunks = [{"choices": [{"index": choice, "delta": delta}]} for delta in deltas]
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks)


def relayed(*pieces: bytes) -> tuple[list[Any], OpenAiChatResponse]:
    """The client's deltas, each read by a strict parser."""
    generation = held(priced(flat(input="0.001", output="0.001"), request(Api.CHAT)))
    response = OpenAiChatResponse(
        generation, Api.CHAT, model(), text_max_bytes=AMPLE, media_max_bytes=AMPLE
    )
    data = b"".join(b"".join(response.feed(piece)) for piece in pieces)
    chunks = [json.loads(event[6:]) for event in data.split(b"\n\n") if event]
    json.dumps(chunks, ensure_ascii=False).encode()
    return [chunk["choices"][0]["delta"] for chunk in chunks], response


@settings(max_examples=300)
@given(st.text(alphabet='a😀𝄞é\\"\n', max_size=12), st.lists(st.integers(0, 30), max_size=6))
@pytest.mark.parametrize("name", ["content", "reasoning", "reasoning_content", "refusal"])
def test_text_cut_between_any_two_halves_arrives_whole(
    name: str, text: str, cuts: list[int]
) -> None:
    units = text.encode("utf-16-le")
    places = sorted({0, len(units), *(2 * cut for cut in cuts if 2 * cut < len(units))})
    parts = [
        units[start:end].decode("utf-16-le", "surrogatepass")
        for start, end in itertools.pairwise(places)
    ]
    deltas, response = relayed(sent(*({name: part} for part in parts)))
    assert "".join(delta.get(name) or "" for delta in deltas) == text
    assert response.meter.output.text_bytes == len(text.encode())


def test_arguments_of_two_tool_calls_are_joined_separately() -> None:
    def call(index: int, arguments: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}

    deltas, response = relayed(
        sent(
            call(0, '{"a":"\ud83d'),
            call(1, '{"b":"\ud834'),
            call(1, '\udd1e"}'),
            call(0, '\ude00"}'),
        )
    )
    arguments = ["", ""]
    for delta in deltas:
        for each in delta["tool_calls"]:
            arguments[each["index"]] += each["function"]["arguments"]
    assert arguments == ['{"a":"😀"}', '{"b":"𝄞"}']
    assert response.meter.repairs[Repair.TEXT_REPLACED] > 0


def test_half_whose_other_half_does_not_come_is_replaced() -> None:
    deltas, _ = relayed(sent({"content": "a\ud83d"}, {"content": ""}, {"content": "b\ude00"}))
    assert "".join(delta["content"] for delta in deltas) == "a�b�"


def test_halves_of_two_choices_are_not_mixed() -> None:
    first = sent({"content": "\ud83d"}), sent({"content": "\ud834"}, choice=1)
    second = sent({"content": "\ude00"}), sent({"content": "\udd1e"}, choice=1)
    deltas, _ = relayed(*first, *second)
    assert [delta["content"] for delta in deltas] == ["", "", "😀", "𝄞"]


def test_stray_bytes_are_replaced() -> None:
    data = b'data: {"choices":[{"delta":{"content":"a\x85","x":"\xff"}}]}\n\n'
    (delta,), response = relayed(data)
    assert (delta["content"], delta["x"]) == ("a�", "�")
    assert response.meter.repairs[Repair.TEXT_REPLACED] == 1
