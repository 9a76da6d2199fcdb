import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.dialects.openai_responses.request import parse_request
from tests.core.calls import MODEL
from tests.dialects.openai_responses import responses
from tests.dialects.openai_responses.responses import rejection, request


@given(responses.written_bodies())
def test_drawn_requests_are_read(body: bytes) -> None:
    read = parse_request(Api.RESPONSES, body)
    given = json.loads(body)
    assert read.models == (MODEL,)
    assert read.cap_tokens == given.get("max_output_tokens")
    assert read.stream is bool(given.get("stream"))


def test_metered_parameters_are_read() -> None:
    read = request(
        model="acme/m1",
        models=["acme/m2"],
        stream=True,
        max_output_tokens=50,
        service_tier="flex",
        safety_identifier="s1",
        prompt_cache_key="k1",
        provider={"zdr": True},
        tools=[responses.function()],
    )
    assert read.models == ("acme/m1", "acme/m2")
    assert (read.stream, read.cap_tokens, read.service_tier) == (True, 50, "flex")
    assert (read.user, read.session_id, read.has_tools) == ("s1", "k1", True)
    assert read.preferences.zdr is True


def test_user_and_session_id_win_over_their_substitutes() -> None:
    read = request(user="u", safety_identifier="s", session_id="i", prompt_cache_key="k")
    assert (read.user, read.session_id) == ("u", "i")


def test_long_prompt_cache_key_is_no_session() -> None:
    assert request(prompt_cache_key="k" * 256).session_id is None


@pytest.mark.parametrize("store", [None, False, True])
def test_store_is_accepted_because_the_response_says_that_nothing_is_stored(store: Any) -> None:
    assert request(store=store).models == (MODEL,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("background", True),
        ("prompt", {"id": "pmpt_1"}),
        ("max_tool_calls", 3),
        ("context_management", [{"type": "compaction"}]),
        ("moderation", {"model": "m"}),
        ("n", 2),
        ("n_cmpl", 2),
        ("num_return_sequences", 2),
        ("web_search_options", {}),
        ("max_price", {"prompt": 1}),
        ("only", ["acme"]),
        ("reasoning", {"mode": "pro"}),
        ("prompt_cache_options", {"ttl": "12h"}),
    ],
)
def test_parameter_that_cannot_be_obeyed_is_rejected_by_name(name: str, value: Any) -> None:
    assert f"`{name}" in rejection(**{name: value})
    assert request(**{name: None}).models == (MODEL,)


def test_previous_response_id_is_rejected_with_what_to_send_instead() -> None:
    assert rejection(previous_response_id="resp_1") == (
        "`previous_response_id` is not supported: it adds text that is not in the request. Send "
        "all messages with each request."
    )


@pytest.mark.parametrize(
    "item", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}, {"type": None, "id": "a"}]
)
def test_item_reference_is_rejected_with_the_remedy(item: dict[str, Any]) -> None:
    message = rejection(input=[{"role": "user", "content": "x"}, item])
    assert "`input[1]`" in message
    assert "`providerOptions: {openai: {store: false}}`" in message
    assert "complete item" in message


def test_follow_up_without_a_model_is_rejected_by_name() -> None:
    with pytest.raises(InvalidInput, match="`model` is missing"):
        parse_request(Api.RESPONSES, b'{"input": "go on"}')


@pytest.mark.parametrize("value", [None, [], ""])
def test_empty_input_is_rejected(value: Any) -> None:
    if value == "":
        assert request(input=value).messages == 2
    else:
        assert rejection(input=value) == 'Input required: specify "input"'


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"max_output_tokens": 0}, "`max_output_tokens` must be an integer from 1"),
        ({"stream": "yes"}, "`stream` must be `true`, `false` or `null`"),
        ({"store": "yes"}, "`store` must be"),
        ({"truncation": "middle"}, "`truncation` must be"),
        ({"top_logprobs": 21}, "`top_logprobs` must be an integer from 0 to 20"),
        ({"include": "x"}, "`include` must be a list"),
        ({"instructions": ["x"]}, "`instructions` must be a string"),
        ({"reasoning": "high"}, "`reasoning` must be an object"),
        ({"text": []}, "`text` must be an object"),
        ({"input": 3}, "`input` must be"),
        ({"input": [3]}, "`input[0]` must be an object"),
        ({"input": [{"content": "x"}]}, "`input[0].type` is missing"),
        ({"input": [{"type": 3}]}, "`input[0].type` must be a string"),
        ({"input": [{"role": "user", "content": 3}]}, "`input[0].content` must be"),
        ({"input": [{"role": "user", "content": [3]}]}, "must be an object with a `type`"),
        ({"input": [{"role": "user", "content": [{}]}]}, "must be an object with a `type`"),
        ({"input": [{**responses.OUTPUT, "output": {}}]}, "`input[0].output` must be"),
        ({"input": [{"type": "compaction_trigger"}]}, "`compaction_trigger` is not supported"),
        ({"tools": {}}, "`tools` must be a list"),
        ({"tools": [{"name": "f"}]}, "`tools[0].type` must be"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            "`tools[0].name` is missing",
        ),
    ],
)
def test_invalid_value_is_rejected_by_its_name(members: dict[str, Any], message: str) -> None:
    assert message in rejection(**members)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"model":"a","input":"x","max_output_tokens":5,"max_output_tokens":9}', "given twice"),
        (b'{"model":"a","input":"x","Max_Output_Tokens":5}', "Use `max_output_tokens` instead"),
        (b'{"model":"a","input":"x","maxOutputTokens":5}', "Use `max_output_tokens` instead"),
        (b'{"model":"a","input":"x","max_tokens":5}', "Use `max_output_tokens` instead"),
        (b'{"model":"a","input":"x","max_completion_tokens":5}', "Use `max_output_tokens`"),
        (b'{"model":"a","input":"x","auto_max_new_tokens":true}', "Use `max_output_tokens`"),
        (b'{"model":"a","input":"x","nCmpl":2}', "Use `n_cmpl`"),
        (b'{"model":"a","input":"x","messages":[{"role":"user"}]}', "Use `input` instead"),
        (b'{"model":"a","input":"x","previousResponseId":"r"}', "instead"),
        (b'{"model":"a","input":"x","Store":false}', "Use `store` instead"),
        (b'{"model":"a","input":[{"role":"user","Content":"x"}]}', "Use `content` instead"),
        (b'{"model":"a","input":[{"role":"user","role":"user"}]}', "given twice"),
        (b'{"model":"a","input":[{"role":"user","content":[{"type":"a","imageUrl":1}]}]}', "Use"),
        (b'{"model":"a","input":"x","tools":[{"type":"function","Name":"x"}]}', "Use `name`"),
        (b'{"model":"a","input":"x","reasoning":{"Mode":"pro"}}', "Use `mode` instead"),
        (b'{"model":"a","input":"x","text":{"format":1,"format":2}}', "given twice"),
    ],
)
def test_duplicate_and_other_spellings_are_rejected(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_request(Api.RESPONSES, body)


def test_media_are_counted_with_what_a_model_must_read() -> None:
    read = request(
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 5000},
                    {"type": "input_audio", "input_audio": {"data": "A" * 500, "format": "wav"}},
                ],
            }
        ]
    )
    assert read.parts == {"input_image": "image", "input_audio": "audio"}
    assert (read.media, read.sounds, read.has_files) == (2, 1, False)
    assert read.unlike_text == {Meter.INPUT_AUDIO}
    assert read.text_bytes < 1000


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": [{"type": "input_file", "file_id": "f"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:a/pdf;base64,A"}]},
        {"role": "user", "content": [{"type": "input_hologram", "data": "A"}]},
        {**responses.OUTPUT, "output": [{"type": "input_file", "file_url": "https://a/b.pdf"}]},
        {"type": "computer_call_output", "call_id": "c", "output": {"image_url": "https://a"}},
        {"type": "image_generation_call", "result": "AAAA"},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "x", "image_url": "https://a"}],
        },
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": "https://a", "min_pixels": 10**9}],
        },
        {"type": "hologram", "data": "A"},
    ],
)
def test_item_of_unknown_size_fills_the_context(item: dict[str, Any]) -> None:
    read = request(input=[item])
    assert read.has_files
    assert read.input_tokens(context_tokens=123_456, media_tokens=1) == 123_456


def test_image_fills_the_context_where_a_parameter_enlarges_it() -> None:
    content = [{"type": "input_image", "image_url": "https://a/b.png"}]
    items = [{"role": "user", "content": content}]
    assert not request(input=items).has_files
    assert request(input=items, vl_high_resolution_images=True).has_files
    assert not request(vl_high_resolution_images=True).has_files


def test_cache_of_twelve_hours_in_a_part_is_rejected_because_it_has_no_price() -> None:
    part = {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert request(input=[{"role": "user", "content": [part]}]).models == (MODEL,)
    part["prompt_cache_breakpoint"] = {"mode": "explicit", "ttl": "12h"}
    assert "`prompt_cache_breakpoint.ttl`" in rejection(input=[{"role": "user", "content": [part]}])


def test_caches_are_noticed_where_the_price_of_the_prompt_is_bounded() -> None:
    provider = {"max_price": {"prompt": 1}}
    assert not request(provider=provider, prompt_cache_key="k").asks_for_caches
    assert request(provider=provider, prompt_cache_options={"mode": "explicit"}).asks_for_caches


def test_required_parameters_have_the_names_that_models_list() -> None:
    read = request(
        provider={"require_parameters": True},
        temperature=1,
        text={"format": {"type": "json_object"}},
        tools=[responses.function()],
        instructions="x",
        store=False,
    )
    assert set(read.parameters.values()) == {"temperature", "response_format", "tools"}


def test_values_of_the_wire_are_the_bytes_that_were_sent() -> None:
    body = b'{"model":"a","input":[ {"role":"user","content":"\\u00e9\\/"} ],"x":1.10,"text":{ }}'
    read = parse_request(Api.RESPONSES, body)
    wire = {name: bytes(raw) for name, raw in read.wire.items()}
    assert wire["input"] == b'[ {"role":"user","content":"\\u00e9\\/"} ]'
    assert (wire["x"], wire["text"]) == (b"1.10", b"{ }")


def test_deeply_nested_and_oversized_bodies_are_rejected() -> None:
    deep = b'{"model":"a","input":"x","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(InvalidInput, match=r"nested too deeply|more than"):
        parse_request(Api.RESPONSES, deep)
    many = msgspec.json.encode({"model": "a", "input": [{} for _ in range(600_000)]})
    with pytest.raises(InvalidInput, match="Send a smaller request"):
        parse_request(Api.RESPONSES, many)


@pytest.mark.parametrize(
    "update",
    [
        {"reasoning": {"mode": "pro"}},
        {"reasoning": {"effort": "low", "Mode": "pro"}},
        {"tools": [{"type": "web_search"}]},
        {"model": "gpt-5-pro"},
        {"max_output_tokens": 10**6},
    ],
)
def test_update_of_the_configuration_cannot_change_the_price(update: dict[str, Any]) -> None:
    item = {"type": "configuration_update"}
    request(input=[{**item, "reasoning": {"effort": "low"}, "id": "cu_1"}])
    with pytest.raises(InvalidInput, match=r"input\[0\]"):
        request(input=[{**item, **update}])


def test_images_of_code_that_ran_may_fill_the_context() -> None:
    ran = {"type": "code_interpreter_call", "id": "ci_1", "code": "x", "container_id": "c"}
    shown = {**ran, "outputs": [{"type": "image", "url": "https://a/b.png"}]}
    assert not responses.request(input=[ran]).has_files
    assert responses.request(input=[shown]).has_files
