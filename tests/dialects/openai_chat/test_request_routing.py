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


def refused(request: InferenceRequest) -> str:
    with pytest.raises(NoEndpoint) as refusal:
        route(request)
    return str(refusal.value)


def caching(text: str) -> InferenceRequest:
    """A request with a part as it is written; a million tokens may cost 1.5 dollars."""
    messages = f'[{{"role":"user","content":[{text}]}}]'
    wishes = '{"max_price":{"prompt":1.5}}'
    body = f'{{"model":"{calls.MODEL}","provider":{wishes},"messages":{messages}}}'
    return parse_request(Api.CHAT, body.encode())


@pytest.mark.parametrize(
    "name",
    ['"cache_control":', '"cache_control" :\n', '"cache\\u005Fcontrol":', '"\\u0063ache_control":'],
)
def test_max_price_covers_writes_to_a_cache_when_the_request_asks_for_them(name: str) -> None:
    request = caching(f'{{"type":"text","text":"hi",{name}{{"type":"ephemeral"}}}}')
    assert "max_price.prompt` of 1.5 dollars: acme/m1 can cost 2." in refused(request)


def test_max_price_covers_writes_to_a_cache_when_tools_or_the_whole_request_ask_for_them() -> None:
    ephemeral = {"type": "ephemeral"}
    limit = {"max_price": {"prompt": 1.5}}
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": ephemeral}
    for members in ({"tools": [tool]}, {"cache_control": ephemeral}):
        request = chat.request(provider=limit, **members)
        assert "can cost 2." in refused(request)


@pytest.mark.parametrize(
    "text", ['"text":"hi"', '"text":"\\"cache_control\\": {}"', '"text":"hi","cache_control": null']
)
def test_max_price_is_compared_without_caches_when_nothing_is_to_be_written(text: str) -> None:
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
def test_parameters_are_what_a_request_sets_for_the_model(
    members: dict[str, Any], parameters: dict[str, str]
) -> None:
    request = chat.request(provider={"require_parameters": True}, **members)
    assert request.parameters == parameters


def test_parameters_are_not_read_where_none_is_required() -> None:
    assert chat.request(temperature=0).parameters == {}


def test_empty_value_with_white_space_sets_no_parameter() -> None:
    body = (
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stop":[ \n],"logit_bias":{ },'
        b'"provider":{"require_parameters":true}}'
    )
    assert parse_request(Api.CHAT, body).parameters == {}


PICTURE = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}


@pytest.mark.parametrize(
    ("part", "modality"),
    [
        (PICTURE, "image"),
        ({"type": "image_url", "image_url": "https://a/b.png"}, "image"),
        ({"type": "input_image", "image_url": "https://a"}, "image"),
        (SOUND, "audio"),
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
def test_text_is_no_part(kind: str) -> None:
    part = {"type": kind, kind: "x"}
    assert chat.request(messages=[{"role": "user", "content": [part]}]).parts == {}


def test_what_the_model_drew_before_comes_back_to_it() -> None:
    drawn = {"role": "assistant", "content": "here", "images": [PICTURE]}
    request = chat.request(messages=[drawn, *chat.HI])
    assert request.parts == {"images": "image"}
    draws = Catalog([calls.model(output_modalities=("text", "image"))], [calls.flat()])
    assert choose_model(draws, request, calls.ACCOUNT, T0_MS).model.id == calls.MODEL
    with pytest.raises(InvalidInput, match="the request has `images`"):
        route(request)


@pytest.mark.parametrize(("api", "name"), [(Api.EMBEDDINGS, "input"), (Api.COMPLETIONS, "prompt")])
def test_object_where_a_text_is_usual_is_a_part_of_unknown_modality(api: Api, name: str) -> None:
    request = chat.request(api, **{name: [{"image": "https://a"}]})
    assert request.parts == {f"an object in {name}": OTHER}


@pytest.mark.parametrize(
    ("members", "meter"),
    [
        ({"modalities": ["text", "audio"]}, Meter.OUTPUT_AUDIO),
        ({"modalities": ["image"]}, Meter.OUTPUT_IMAGE),
        ({"messages": [{"role": "user", "content": [SOUND]}]}, Meter.INPUT_AUDIO),
        ({"messages": [{"role": "user", "content": [{"type": "audio_url"}]}]}, Meter.INPUT_AUDIO),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, Meter.INPUT_AUDIO),
    ],
)
def test_audio_and_images_that_are_not_charged_like_text_are_named(
    members: dict[str, Any], meter: Meter
) -> None:
    assert chat.request(**members).unlike_text == {meter}


def test_each_prompt_is_answered_as_often_as_the_most_candidates_that_are_asked_for() -> None:
    prompts = chat.request(Api.COMPLETIONS, prompt=["a", "b"], n=2, best_of=5, max_tokens=7)
    assert (prompts.choices, prompts.cap_tokens) == (5 * 2, 7)


def test_embeddings_have_no_output_no_cap_and_one_choice() -> None:
    request = chat.request(Api.EMBEDDINGS, max_tokens=50, n=3)
    assert (request.has_output, request.cap_tokens, request.choices) == (False, None, 1)
    assert chat.request(Api.COMPLETIONS).has_output
