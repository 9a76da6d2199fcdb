import json
from typing import Any

import msgspec
import pytest

from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.halves import HalfJoiner
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from modelgates_server.dialects.openai_chat.output_meter import OutputMeter
from tests.dialects.openai_chat import chat

BASE64 = "iVBORw0KGgo" + "A" * 90_000
IMAGE = f"data:image/png;base64,{BASE64}"


def measured(*parts: dict[str, Any], makes_media: bool = True) -> OutputMeter:
    """The meter after deltas of one choice; a single part in a message must count the same."""
    meter = OutputMeter(makes_media=makes_media)
    for part in parts:
        meter.add_part(members(part), 0)
    if len(parts) == 1:
        [part] = parts
        for choice in ({"index": 0, "delta": part}, {"message": part}):
            alone = ChatResponseMeter(output=OutputMeter(makes_media=makes_media))
            alone.observe(json.dumps({"choices": [choice]}).encode())
            assert alone.output == meter
    return meter


def members(part: dict[str, Any]) -> JsonObject:
    return msgspec.json.decode(json.dumps(part), type=JsonObject)


@pytest.mark.parametrize(
    ("part", "size"),
    [
        ({"content": None}, 0),
        ({"content": ""}, 0),
        ({"role": "assistant", "content": "", "refusal": None, "tool_calls": []}, 0),
        ({"content": "12345678"}, 8),
        ({"content": "\n\u00e9\U0001f600"}, 7),
        ({"refusal": "1234"}, 4),
        ({"reasoning": "1234"}, 4),
        ({"reasoning_content": "1234", "content": "5678"}, 8),
        ({"reasoning": "1234", "reasoning_content": "1234", "thinking_blocks": ["1234"]}, 4),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "1234", "id": "rs_1"}]}, 4),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "1234"}]}, 4),
        ({"reasoning_details": [{"type": "reasoning.summary", "summary": "1234"}]}, 4),
        ({"thoughts": "1234"}, 4),
        ({"content": [{"type": "text", "text": "1234"}]}, 4),
        ({"content": [{"type": "tool_result", "data": "1234"}]}, 4),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "12345678"}}]}, 8),
        ({"tool_calls": [{"id": "abcd", "function": {"name": "f", "arguments": "{}"}}]}, 3),
        ({"tool_calls": [{"function": {"name": None, "arguments": None}}]}, 1),
        ({"tool_calls": [{"function": {"arguments": {"city": "Rome"}}}]}, 15),
        ({"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "1234"}}]}, 5),
        ({"function_call": {"name": "f", "arguments": "1234"}}, 5),
        ({"audio": {"id": "a", "data": "AAAA", "transcript": "1234", "expires_at": 1}}, 4),
    ],
)
def test_text_counts_once_under_every_name(part: dict[str, Any], size: int) -> None:
    assert measured(part).text_bytes == size


@pytest.mark.parametrize(
    "part",
    [
        {"reasoning_signature": "x" * 3000},
        {"thought_signature": "x" * 3000},
        {"extra_content": {"google": {"thought_signature": "x" * 3000}}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "", "signature": "x" * 3000}]},
        {"annotations": [{"url": "https://a", "title": "t"}]},
        {"search_results": [{"url": "https://a"}], "role": "assistant"},
        {"provider_specific_fields": {"reasoning_content": "x"}},
    ],
)
def test_signatures_and_sources_are_not_output(part: dict[str, Any]) -> None:
    meter = measured(part)
    assert (meter.text_bytes, meter.has_output) == (0, False)


def test_tool_call_name_repeated_in_each_delta_counts_once() -> None:
    call = {"index": 0, "id": "call_1", "type": "function"}
    deltas = [
        {"tool_calls": [{**call, "function": {"name": "get_weather", "arguments": piece}}]}
        for piece in ("{", '"city"', ":", '"Rome"', "}")
    ]
    assert measured(*deltas).text_bytes == len("get_weather") + len('{"city":"Rome"}')


@pytest.mark.parametrize(
    "part",
    [
        {"images": [{"type": "image_url", "image_url": {"url": IMAGE}}]},
        {"image": {"url": IMAGE}},
        {"content": [{"type": "image_url", "image_url": {"url": IMAGE}}]},
        {"content": [{"type": "output_image", "url": IMAGE}]},
        {"content": [{"type": "image", "source": {"type": "base64", "data": BASE64}}]},
        {"content": [{"type": "video_url", "video_url": {"url": IMAGE}}]},
        {"content": [{"type": "file", "file": {"file_data": IMAGE}}]},
        {"content": IMAGE},
        {"images": [{"b64_json": BASE64}]},
    ],
)
def test_image_counts_as_a_piece_and_not_as_text(part: dict[str, Any]) -> None:
    meter = measured(part)
    assert meter.text_bytes == 0
    assert len(meter.pictures) == 1
    assert meter.media_bytes >= len(BASE64)


def test_image_within_a_text_is_a_piece_and_the_rest_is_text() -> None:
    meter = measured({"content": f"Here: ![a]({IMAGE}) done"})
    assert meter.text_bytes == len("Here: ![a](") + len(") done")
    assert len(meter.pictures) == 1


def test_image_within_a_text_counts_once_when_split_into_deltas() -> None:
    text = f"Here: ![a]({IMAGE}) done"
    pieces = [text[start : start + 1000] for start in range(0, len(text), 1000)]
    meter = measured(*({"content": piece} for piece in pieces))
    assert meter.text_bytes == len("Here: ![a](") + len(") done")
    assert len(meter.pictures) == 1


def test_image_sent_again_with_its_index_counts_once() -> None:
    draft = {"images": [{"index": 0, "image_url": {"url": IMAGE}}]}
    assert len(measured(draft, draft).pictures) == 1
    unnamed = {"images": [{"image_url": {"url": IMAGE}}] * 2}
    assert len(measured(unnamed, unnamed).pictures) == 4


@pytest.mark.parametrize(
    "part",
    [
        {"audio": {"id": "a", "data": "A" * 9000}},
        {"content": [{"type": "output_audio", "data": "A" * 9000}]},
        {"content": [{"type": "audio", "audio": "A" * 9000}]},
        {"content": "data:audio/wav;base64," + "A" * 9000},
    ],
)
def test_recording_counts_once_when_sent_in_pieces(part: dict[str, Any]) -> None:
    meter = measured(part, part)
    assert (meter.text_bytes, meter.sounds) == (0, {0})
    assert meter.media_bytes == 18_000
    assert meter.has_output


def test_text_of_a_completion_is_counted() -> None:
    texts = [{"text": "1234"}, {"text": ""}, {"text": None}]
    assert chat.metered({"choices": texts}).output.text_bytes == 4


@pytest.mark.parametrize(("halves", "size"), [(HalfJoiner(), 4), (None, 400)])
def test_only_the_part_that_clients_get_counts_when_a_message_is_next_to_a_delta(
    halves: HalfJoiner | None, size: int
) -> None:
    choice = {"delta": {"content": "1234"}, "message": {"content": "1234" * 100}}
    meter = ChatResponseMeter(halves=halves)
    meter.observe(json.dumps({"choices": [choice]}).encode())
    assert meter.output.text_bytes == size


def test_data_url_is_text_when_the_model_generates_no_media() -> None:
    text = "data:text/plain;base64," + "free_words_" * 1000
    assert measured({"content": text}, makes_media=False).text_bytes == len(text)
    assert measured({"content": IMAGE}, makes_media=False).text_bytes == len(IMAGE)
    assert measured({"content": text}).text_bytes == len(text), "not an image, audio or video"


@pytest.mark.parametrize("name", ["message_id", "conversation_id", "agent_name", "channel"])
def test_label_repeated_in_each_delta_is_not_output(name: str) -> None:
    deltas = [{"content": "tok ", name: f"label-{number}"} for number in range(20)]
    assert measured(*deltas).text_bytes == 80


def test_unknown_field_that_repeats_its_value_counts_once() -> None:
    deltas = [{"content": "tok ", "speaker": "narrator"} for _ in range(20)]
    assert measured(*deltas).text_bytes == 80 + len("narrator")
    assert measured({"content": "la"}, {"content": "la"}).text_bytes == 4


def test_pieces_are_counted_up_to_a_limit() -> None:
    many = {"images": [{"b64_json": "AAAA"}] * 20_000, "tool_calls": [{}] * 20_000}
    meter = measured(many, {"content": "data:image/png;base64,AA " * 20_000})
    assert len(meter.pictures) == 4096
    assert meter.text_bytes <= 4096 + 20_000
