from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput, NoEndpoint
from modelgates_server.core.metering.request import OTHER, TEXT, InferenceRequest
from modelgates_server.core.metering.routing import ModelChoice, choose_model
from modelgates_server.core.pricing.catalog import Api, Catalog
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.dialects.openai_chat.request import parse_request
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.support import T0_MS

CATALOG = Catalog(
    [calls.model()], [calls.flat(input="0.000001", cache_read="0", cache_write_1h="0.000002")]
)


def route(request: InferenceRequest) -> ModelChoice:
    return choose_model(CATALOG, request, calls.ACCOUNT, T0_MS)


def rejection(request: InferenceRequest) -> str:
    with pytest.raises(NoEndpoint) as caught:
        route(request)
    return str(caught.value)


def caching(text: str) -> InferenceRequest:
    """A request with this JSON as its part; a million tokens may cost 1.5 dollars."""
    messages = f'[{{"role":"user","content":[{text}]}}]'
    preferences = '{"max_price":{"prompt":1.5}}'
    body = f'{{"model":"{calls.MODEL}","provider":{preferences},"messages":{messages}}}'
    return parse_request(Api.CHAT, body.encode())


@pytest.mark.parametrize(
    "name",
    ['"cache_control":', '"cache_control" :\n', '"cache\\u005Fcontrol":', '"\\u0063ache_control":'],
)
def test_max_price_covers_cache_writes_when_a_part_requests_them(name: str) -> None:
    request = caching(f'{{"type":"text","text":"hi",{name}{{"type":"ephemeral"}}}}')
    assert (
        "max_price.prompt` of 1.5 US dollars per million tokens: acme/m1 can cost 2."
        in rejection(request)
    )


def test_max_price_covers_cache_writes_when_tools_or_the_request_request_them() -> None:
    ephemeral = {"type": "ephemeral"}
    limit = {"max_price": {"prompt": 1.5}}
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": ephemeral}
    for members in ({"tools": [tool]}, {"cache_control": ephemeral}):
        request = chat.request(provider=limit, **members)
        assert "can cost 2." in rejection(request)


@pytest.mark.parametrize(
    "text", ['"text":"hi"', '"text":"\\"cache_control\\": {}"', '"text":"hi","cache_control": null']
)
def test_max_price_ignores_cache_writes_when_none_are_requested(text: str) -> None:
    request = caching(f'{{"type":"text",{text}}}')
    assert route(request).model.id == calls.MODEL
    request = chat.request(provider={"max_price": {"prompt": 1.5}}, cache_control=None)
    assert route(request).model.id == calls.MODEL


@pytest.mark.parametrize(
    ("members", "parameters"),
    [
        ({"temperature": 0, "top_p": None}, {"temperature": "temperature"}),
        ({"max_tokens": 5, "stream": True, "user": "u", "metadata": {"a": "b"}}, {}),
        ({"service_tier": "auto", "usage": {"include": True}}, {}),
        ({"store": False, "stop": [], "logit_bias": {}, "x_new": "", "y_new": []}, {}),
        ({"logit_bias": {"1": 1}, "n": 2}, {"logit_bias": "logit_bias", "n": "n"}),
        ({"stop": ["."], "x_new": 1}, {"stop": "stop", "x_new": "x_new"}),
        (
            {"functions": [{"name": "f"}], "function_call": "auto", "reasoning_effort": "low"},
            {"functions": "tools", "function_call": "tool_choice", "reasoning_effort": "reasoning"},
        ),
        ({"include_reasoning": True}, {"include_reasoning": "reasoning"}),
    ],
)
def test_parameters_are_those_that_the_request_sets_for_the_model(
    members: dict[str, Any], parameters: dict[str, str]
) -> None:
    request = chat.request(provider={"require_parameters": True}, **members)
    assert request.parameters == parameters


def test_parameters_are_not_read_when_not_required() -> None:
    assert chat.request(temperature=0).parameters == {}


def test_empty_value_with_white_space_is_not_a_parameter() -> None:
    body = (
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stop":[ \n],"logit_bias":{ },'
        b'"provider":{"require_parameters":true}}'
    )
    assert parse_request(Api.CHAT, body).parameters == {}


IMAGE = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}


@pytest.mark.parametrize(
    ("part", "modality"),
    [
        (IMAGE, "image"),
        ({"type": "image_url", "image_url": "https://a/b.png"}, "image"),
        ({"type": "input_image", "image_url": "https://a"}, "image"),
        (AUDIO, "audio"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file"),
        ({"type": "document_url", "document_url": "https://a/b.pdf"}, "file"),
        ({"type": "video_url", "video_url": {"url": "https://a"}}, "video"),
        ({"type": "hologram", "hologram": "x"}, OTHER),
        ({"type": "thinking", "thinking": "x"}, TEXT),
        ({"type": "output_text", "output_text": "x"}, TEXT),
    ],
)
def test_modality_of_a_part_is_read_from_its_type(part: dict[str, Any], modality: str) -> None:
    request = chat.request(messages=[{"role": "user", "content": [part]}])
    assert request.parts == {part["type"]: modality}


@pytest.mark.parametrize("kind", ["text", "refusal"])
def test_text_part_has_no_modality(kind: str) -> None:
    part = {"type": kind, kind: "x"}
    assert chat.request(messages=[{"role": "user", "content": [part]}]).parts == {}


def test_earlier_image_needs_a_model_that_generates_images() -> None:
    earlier = {"role": "assistant", "content": "here", "images": [IMAGE]}
    request = chat.request(messages=[earlier, *chat.HI])
    assert request.parts == {"images": "image"}
    with_images = Catalog([calls.model(output_modalities=("text", "image"))], [calls.flat()])
    assert choose_model(with_images, request, calls.ACCOUNT, T0_MS).model.id == calls.MODEL
    with pytest.raises(InvalidInput, match="the request has `images`"):
        route(request)


@pytest.mark.parametrize(("api", "name"), [(Api.EMBEDDINGS, "input"), (Api.COMPLETIONS, "prompt")])
def test_object_instead_of_a_text_is_a_part_of_unknown_modality(api: Api, name: str) -> None:
    request = chat.request(api, **{name: [{"image": "https://a"}]})
    assert request.parts == {f"an object in {name}": OTHER}


@pytest.mark.parametrize(
    ("members", "meter"),
    [
        ({"modalities": ["text", "audio"]}, Meter.OUTPUT_AUDIO),
        ({"modalities": ["image"]}, Meter.OUTPUT_IMAGE),
        ({"messages": [{"role": "user", "content": [AUDIO]}]}, Meter.INPUT_AUDIO),
        ({"messages": [{"role": "user", "content": [{"type": "audio_url"}]}]}, Meter.INPUT_AUDIO),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, Meter.INPUT_AUDIO),
    ],
)
def test_media_with_separate_rates_are_named(members: dict[str, Any], meter: Meter) -> None:
    assert chat.request(**members).unlike_text == {meter}


def test_choices_are_prompts_times_the_larger_of_n_and_best_of() -> None:
    prompts = chat.request(Api.COMPLETIONS, prompt=["a", "b"], n=2, best_of=5, max_tokens=7)
    assert (prompts.choices, prompts.cap_tokens) == (5 * 2, 7)


def test_embeddings_request_has_no_output_and_no_cap() -> None:
    request = chat.request(Api.EMBEDDINGS, max_tokens=50, n=3)
    assert (request.has_output, request.cap_tokens, request.choices) == (False, None, 1)
    assert chat.request(Api.COMPLETIONS).has_output
