from typing import Any

import pytest

from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.usage import Meter
from tests.dialects.openai_chat import chat

IMAGE = {"url": "https://a/b.png"}


def request_with(*parts: dict[str, Any], **members: Any) -> InferenceRequest:
    return chat.request(messages=[{"role": "user", "content": list(parts)}], **members)


def linked(kind: str, url: str) -> dict[str, Any]:
    return {"type": kind, kind: {"url": url}}


@pytest.mark.parametrize(
    ("part", "modality"),
    [
        (linked("image_url", "data:application/pdf;base64,AAAA"), "file"),
        (linked("image_url", " DATA:Application/PDF;base64,AAAA"), "file"),
        ({"type": "image_url", "image_url": "data:application/pdf,AAAA"}, "file"),
        (linked("image_url", "data:video/mp4;base64,AAAA"), "video"),
        (linked("image_url", "data:audio/wav;base64,AAAA"), "audio"),
        (linked("image_url", "data:;base64,AAAA"), "file"),
        (linked("image_url", "data:" + "x" * 10**6), "file"),
        ({"type": "image_url", "image_url": {"url": 5}}, "file"),
        (linked("audio_url", "data:video/mp4;base64,AAAA"), "video"),
        (linked("audio_url", "data:image/png;base64,AAAA"), "image"),
    ],
)
def test_link_is_sized_as_a_file_when_its_data_has_another_type(
    part: dict[str, Any], modality: str
) -> None:
    request = request_with(part)
    assert (request.has_files, list(request.parts.values())) == (True, [modality])
    assert len(next(iter(request.parts))) < 100
    assert (Meter.INPUT_AUDIO in request.unlike_text) == (modality == "audio")


@pytest.mark.parametrize(
    ("part", "modality"),
    [
        (linked("image_url", "data:image/png;base64,AAAA"), "image"),
        (linked("image_url", "Data:IMAGE/webp,AAAA"), "image"),
        (linked("image_url", "https://a/b.pdf"), "image"),
        ({"type": "image_url", "image_url": "https://a"}, "image"),
        ({"type": "image_url", "image_url": None, "uuid": "1"}, "image"),
        (linked("audio_url", "data:audio/mpeg;base64,AAAA"), "audio"),
    ],
)
def test_link_is_one_image_or_recording_when_its_data_has_that_type(
    part: dict[str, Any], modality: str
) -> None:
    request = request_with(part)
    assert (request.has_files, request.parts) == (False, {part["type"]: modality})


@pytest.mark.parametrize(
    ("name", "value", "modality"),
    [
        ("image_url", IMAGE, "image"),
        ("image_url", "https://a", "image"),
        ("video_url", IMAGE, "video"),
        ("audio_url", IMAGE, "audio"),
        ("input_audio", {"data": "A", "format": "wav"}, "audio"),
        ("image_embeds", "AAAA", "other"),
        ("audio_embeds", {"a": "AAAA"}, "other"),
    ],
)
def test_media_in_a_text_part_are_counted(name: str, value: object, modality: str) -> None:
    text = {"type": "text", "text": "x", "uuid": "1"}
    request = request_with({"type": "text", "text": "y"}, *[{**text, name: value}] * 3)
    assert (request.media, request.parts) == (3, {name: modality})
    assert request.text_bytes > 100
    assert not request_with({**text, name: None}).media


def test_video_in_an_image_part_is_counted() -> None:
    part = {"type": "image_url", "image_url": IMAGE, "uuid": "1"}
    request = request_with({**part, "video_url": IMAGE})
    assert (request.media, request.has_files) == (2, True)
    assert request.parts == {"image_url": "image", "video_url": "video"}


@pytest.mark.parametrize(
    "members",
    [{"mm_processor_kwargs": {"max_pixels": 9**9}}, {"vl_high_resolution_images": True}],
)
def test_image_is_sized_as_the_whole_context_when_the_request_enlarges_it(
    members: dict[str, Any],
) -> None:
    image = {"type": "image_url", "image_url": IMAGE}
    assert request_with(image, **members).has_files
    assert not request_with(image, **dict.fromkeys(members)).has_files
    assert not request_with({"type": "text", "text": "x"}, **members).has_files
    assert request_with({**image, "min_pixels": 9**9}).has_files


@pytest.mark.parametrize("nothing", [[], {}, "", None])
def test_empty_media_of_an_earlier_response_are_not_counted(nothing: object) -> None:
    message = {"role": "assistant", "content": "x", "images": nothing, "audio": nothing}
    assert not chat.request(messages=[message]).media
