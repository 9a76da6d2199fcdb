import base64
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.metering.request import CHOICES_MAX
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.usage import UsageRules
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.dialects.openai_chat.upstream import upstream_body
from modelgates_server.dialects.openai_chat.usage import read_usage
from modelgates_server.providers.sandbox.models import NAMES, respond
from modelgates_server.providers.sandbox.offer import sandbox_models
from modelgates_server.providers.sandbox.request import CONTEXT_TOKENS, OUTPUT_TOKENS, tokens_of
from tests.providers.sandbox import DONE, plain, refusal, says, script_for, stream
from tests.support import T0_MS

ID = f"chatcmpl-{T0_MS}000000007"
HEAD = {"id": ID, "created": T0_MS // 1000, "model": "echo", "system_fingerprint": "fp_sandbox"}
WEATHER = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
CALL = 'call weather {"city": "Bern"}'
JSON_MODE = {"type": "json_object"}
OFFERS = {model.endpoint.upstream_model: model for model in sandbox_models()}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def echo(text: Any, **members: Any) -> Any:
    """The only choice of the response."""
    return plain(Api.CHAT, model="echo", messages=says(text), **members)["choices"][0]


def lorem(text: str, **members: Any) -> tuple[int, str]:
    """The number of tokens, and the finish reason."""
    answer = plain(Api.CHAT, model="lorem", messages=says(text), **members)
    choice = answer["choices"][0]
    count = len(tokens_of(choice["message"]["content"]))
    assert count == answer["usage"]["completion_tokens"]
    return count, choice["finish_reason"]


def test_plain_response_has_the_shape_of_openai() -> None:
    assert plain(Api.CHAT, model="echo", messages=says("Hello there, you.")) == {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello there, you.",
                    "refusal": None,
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage(3 + 4, 3),
    }


def test_stream_starts_with_a_role_and_ends_with_its_usage() -> None:
    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**HEAD, "object": "chat.completion.chunk", "choices": [choice]}

    chunks = [
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"content": "Hello "}),
        chunk({"content": "there"}),
        chunk({}, "stop"),
    ]
    body: Any = {"model": "echo", "messages": says("Hello there")}
    assert stream(Api.CHAT, **body) == [*chunks, DONE]
    last = {**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": usage(6, 2)}
    assert stream(Api.CHAT, **body, stream_options={"include_usage": True}) == [
        *({**each, "usage": None} for each in chunks),
        last,
        DONE,
    ]


def test_each_prompt_has_its_own_choices() -> None:
    answer = plain(Api.COMPLETIONS, model="echo", prompt=["a b", "c"], n=2)
    head = {**HEAD, "id": ID.replace("chatcmpl", "cmpl"), "object": "text_completion"}
    choices = [
        {"index": index, "text": text, "logprobs": None, "finish_reason": "stop"}
        for index, text in enumerate(["a b", "a b", "c", "c"])
    ]
    assert answer == {**head, "choices": choices, "usage": usage(3, 6)}
    streamed = stream(Api.COMPLETIONS, model="echo", prompt="a b")
    contents = [[*each["choices"][0].values()][:2] for each in streamed[:-1]]
    assert contents == [[0, "a "], [0, "b"], [0, ""]]
    assert all(chunk.keys() == head.keys() | {"choices"} for chunk in streamed[:-1])


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [([5, 7], ["5 7"]), ([[5, 7], [9]], ["5 7", "9"]), (["a", [5]], ["a", "5"])],
)
def test_token_numbers_of_a_prompt_count_one_each(prompt: Any, texts: list[str]) -> None:
    answer = plain(Api.COMPLETIONS, model="echo", prompt=prompt)
    assert [choice["text"] for choice in answer["choices"]] == texts
    assert answer["usage"]["prompt_tokens"] == sum(len(text.split()) for text in texts)


def test_echo_repeats_only_the_user() -> None:
    parts = [
        {"type": "text", "text": "one "},
        {"type": "image_url", "text": "no"},
        {"type": "text", "text": "two"},
    ]
    messages = [*says("no"), *says(parts), {"role": "assistant", "content": None}]
    answer = plain(Api.CHAT, model="echo", messages=messages)
    assert answer["choices"][0]["message"]["content"] == "one two"
    assert answer["usage"]["prompt_tokens"] == 1 + 2 + 3 * 4
    alone = [{"role": "developer", "content": "no"}, {"role": "system", "content": "last"}]
    answer = plain(Api.CHAT, model="echo", messages=alone)
    assert answer["choices"][0]["message"]["content"] == "last"


@pytest.mark.parametrize("cap", ["max_tokens", "max_completion_tokens"])
def test_choice_is_cut_at_its_limit(cap: str) -> None:
    assert echo("a b c", **{cap: 3})["finish_reason"] == "stop"
    short = echo("a b c", **{cap: 2})
    assert (short["message"]["content"], short["finish_reason"]) == ("a b ", "length")
    both = echo("a b c", **{"max_tokens": 9, "max_completion_tokens": 9, cap: 1})
    assert both["message"]["content"] == "a "
    call = echo('call weather {"a": 1, "b": 2}', tools=WEATHER, **{cap: 1})
    assert call["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": '
    assert call["finish_reason"] == "length"


def test_choices_are_equal_and_all_counted() -> None:
    answer = plain(Api.CHAT, model="echo", messages=says("a b"), n=3)
    contents = [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]]
    assert contents == [(0, "a b"), (1, "a b"), (2, "a b")]
    assert answer["usage"] == usage(6, 6)
    chunks = stream(Api.CHAT, model="echo", messages=says("a b"), n=2)
    places = [choice["index"] for chunk in chunks[:-1] for choice in chunk["choices"]]
    assert places == [0, 1] * 4


def test_tool_is_called_when_the_user_spells_out_the_call() -> None:
    choice = echo(CALL, tools=WEATHER)
    assert choice["finish_reason"] == "tool_calls"
    call = {
        "id": f"call_{T0_MS}000000007000",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Bern"}'},
    }
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [call]
    chunks = stream(Api.CHAT, model="echo", messages=says(CALL), tools=WEATHER)
    first, *rest, last = (chunk["choices"][0] for chunk in chunks[:-1])
    begun = {"index": 0, **call, "function": {"name": "weather", "arguments": ""}}
    assert first["delta"]["content"] is None
    assert first["delta"]["tool_calls"] == [begun]
    assert [piece["delta"]["tool_calls"] for piece in rest] == [
        [{"index": 0, "function": {"arguments": piece}}] for piece in ('{"city": ', '"Bern"}')
    ]
    assert (last["delta"], last["finish_reason"]) == ({}, "tool_calls")


@pytest.mark.parametrize(
    ("text", "tools"),
    [
        (CALL, None),
        (CALL, []),
        (CALL, [{"type": "function", "function": {"name": "other"}}]),
        (CALL, [{"type": "custom"}]),
        ("call weather {no JSON}", WEATHER),
        (f"please {CALL}", WEATHER),
    ],
)
def test_other_texts_do_not_call_a_tool(text: str, tools: Any) -> None:
    choice = echo(text, tools=tools)
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, "stop")
    assert "tool_calls" not in choice["message"]


def test_prompt_does_not_call_a_tool() -> None:
    choice = plain(Api.COMPLETIONS, model="echo", prompt=CALL, tools=WEATHER)["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (CALL, "stop")


def test_response_is_json_when_json_is_requested() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    for form in (JSON_MODE, schema):
        assert json.loads(echo('say "hi"', response_format=form)["message"]["content"]) == {
            "echo": 'say "hi"'
        }
        assert echo('{"a": 1}', response_format=form)["message"]["content"] == '{"a": 1}'
    assert echo("[1]", response_format={"type": "text"})["message"]["content"] == "[1]"
    assert echo(CALL, tools=WEATHER, response_format=JSON_MODE)["finish_reason"] == "tool_calls"


def test_lorem_has_the_requested_length() -> None:
    assert lorem("Tell me") == (100, "stop")
    assert lorem("Tell me", max_tokens=7) == (7, "length")
    assert lorem("Tell me", max_tokens=OUTPUT_TOKENS - 1) == (OUTPUT_TOKENS - 1, "length")
    assert lorem("Tell me", max_tokens=OUTPUT_TOKENS) == (100, "stop"), (
        "the maximum is not a option"
    )
    assert lorem("12") == (12, "stop")
    assert lorem(" 12\n", max_tokens=12) == (12, "stop")
    assert lorem("12", max_completion_tokens=5) == (5, "length")
    assert lorem("0") == (0, "stop")
    assert lorem("999999999") == (OUTPUT_TOKENS, "length")


def test_lorem_streams_one_chunk_for_each_token() -> None:
    chunks = stream(Api.CHAT, model="lorem", messages=says("150"))
    contents = [chunk["choices"][0]["delta"].get("content") for chunk in chunks[1:-2]]
    whole = plain(Api.CHAT, model="lorem", messages=says("150"))
    assert len(contents) == 150
    assert "".join(contents) == whole["choices"][0]["message"]["content"]


def test_embeddings_are_unit_vectors_that_depend_only_on_the_text() -> None:
    answer = plain(Api.EMBEDDINGS, model="embed", input=["one text", "another", "one text"])
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert (answer["object"], answer["model"]) == ("list", "embed")
    assert [(row["object"], row["index"]) for row in answer["data"]] == [
        ("embedding", 0), ("embedding", 1), ("embedding", 2),
    ]  # fmt: skip
    first, other, repeated = (row["embedding"] for row in answer["data"])
    assert first == repeated != other
    assert len(first) == 8
    for vector in (first, other):
        assert math.isclose(math.hypot(*vector), 1, rel_tol=1e-6)
    # Must never change: stored vectors are compared with those of later versions.
    assert first[:2] == [-0.19930902123451233, 0.10117058455944061]


def test_base64_embedding_is_the_same_vector() -> None:
    body: Any = {"model": "embed", "input": "text", "dimensions": 1024}
    numbers = plain(Api.EMBEDDINGS, **body)["data"][0]["embedding"]
    packed = plain(Api.EMBEDDINGS, **body, encoding_format="base64")["data"][0]["embedding"]
    assert list(struct.unpack("<1024f", base64.b64decode(packed))) == numbers


@pytest.mark.parametrize(
    ("api", "members", "status", "code", "param"),
    [
        (Api.CHAT, {"model": "gpt", "messages": says("x")}, 404, "model_not_found", "model"),
        (Api.CHAT, {"model": "embed", "messages": says("x")}, 404, "model_not_found", "model"),
        (Api.EMBEDDINGS, {"model": "echo", "input": "x"}, 404, "model_not_found", "model"),
        (Api.CHAT, {"model": "echo"}, 400, None, "messages"),
        (Api.CHAT, {"model": "echo", "messages": []}, 400, None, "messages"),
        (Api.CHAT, {"messages": says("x")}, 400, None, None),
        (Api.CHAT, {"model": "echo", "messages": "x"}, 400, None, None),
        (Api.CHAT, {"model": "echo", "messages": says([{"text": "x"}])}, 400, None, None),
        (Api.CHAT, {"model": "echo", "messages": says("x"), "max_tokens": 0}, 400, None, None),
        (Api.CHAT, {"model": "echo", "messages": says("x"), "n": 129}, 400, None, None),
        (Api.COMPLETIONS, {"model": "echo"}, 400, None, "prompt"),
        (Api.COMPLETIONS, {"model": "echo", "prompt": []}, 400, None, "prompt"),
        (Api.COMPLETIONS, {"model": "echo", "prompt": ["x", 5]}, 400, None, "prompt"),
        (Api.COMPLETIONS, {"model": "echo", "prompt": ["x"] * 129}, 400, None, "prompt"),
        (Api.EMBEDDINGS, {"model": "embed", "input": []}, 400, None, "input"),
        (Api.EMBEDDINGS, {"model": "embed", "input": "x", "dimensions": 1025}, 400, None, None),
        (Api.EMBEDDINGS, {"model": "embed", "input": "x", "encoding_format": "x"}, 400, None, None),
    ],
)
def test_invalid_request_is_rejected_as_by_openai(
    api: Api, members: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    given_status, error = refusal(api, **members)
    assert (given_status, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'"\\ud800"', b"[" * 100_000])
def test_invalid_json_is_rejected(body: bytes) -> None:
    script = respond(Api.CHAT, body, at_ms=T0_MS, number=0)
    assert script.status == 400
    assert b"Invalid request body" in b"".join(script.writes())


def test_too_large_response_is_rejected() -> None:
    body: Any = {"model": "echo", "messages": says("x" * 2**20)}
    assert script_for(Api.CHAT, **body, n=32).status == 200
    assert refusal(Api.CHAT, **body, n=33)[1]["param"] == "n"
    embed: Any = {"model": "embed", "dimensions": 1024}
    assert script_for(Api.EMBEDDINGS, **embed, input=["x"] * 256).status == 200
    assert script_for(Api.EMBEDDINGS, **embed, input=["x"] * 257).status == 400


@pytest.mark.parametrize("model", NAMES)
def test_input_above_the_context_is_rejected(model: str) -> None:
    text = "x " * CONTEXT_TOKENS
    body: Any = {"messages": says(text), "input": [text[:-2], "x"], "model": model}
    api = Api.EMBEDDINGS if model == "embed" else Api.CHAT
    if api is Api.EMBEDDINGS:
        assert plain(api, **body)["usage"]["prompt_tokens"] == CONTEXT_TOKENS
        body["input"].append("x")
    status, error = refusal(api, **body)
    assert (status, error["code"]) == (400, "context_length_exceeded")


def test_input_and_output_share_the_context() -> None:
    text = "x " * (CONTEXT_TOKENS - 4 - 3)
    answer = plain(Api.CHAT, model="lorem", messages=says(text), max_tokens=50)
    assert answer["usage"]["total_tokens"] == CONTEXT_TOKENS
    assert answer["choices"][0]["finish_reason"] == "length"


texts = st.text(st.sampled_from('ab \n\t\x00\x1c\x85\u2003é😀"\\'), max_size=40)
parts = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
    st.fixed_dictionaries({"type": st.just("image_url"), "text": texts}),
)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "system", "assistant"]),
        "content": st.one_of(st.none(), texts, st.lists(parts, max_size=4)),
    }
)
numbers = st.lists(st.integers(0, 99), min_size=1, max_size=9)
prompts = st.one_of(texts, numbers, st.lists(st.one_of(texts, numbers), min_size=1, max_size=4))
requests = st.one_of(
    st.tuples(
        st.just(Api.CHAT),
        st.fixed_dictionaries({"messages": st.lists(messages, min_size=1, max_size=4)}),
    ),
    st.tuples(st.just(Api.COMPLETIONS), st.fixed_dictionaries({"prompt": prompts})),
    st.tuples(st.just(Api.EMBEDDINGS), st.fixed_dictionaries({"input": prompts})),
)
options = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 20),
        "n": st.integers(1, 3),
        "stream": st.booleans(),
        "tools": st.just(WEATHER),
        "response_format": st.just(JSON_MODE),
    },
)


@given(requests, options, st.sampled_from(["echo", "lorem"]), st.booleans())
def test_sandbox_usage_never_exceeds_the_hold(
    request: tuple[Api, dict[str, Any]], option: dict[str, Any], model: str, tight: bool
) -> None:
    api, members = request
    offer = OFFERS["embed" if api is Api.EMBEDDINGS else model]
    body = json.dumps({**members, **option, "model": offer.id}, ensure_ascii=tight).encode()
    parsed = parse_request(api, body)
    cap = min(parsed.cap_tokens or OUTPUT_TOKENS, offer.output_tokens)
    bounds = parsed.bounds(
        context_tokens=offer.context_tokens, media_tokens=None, output_tokens=cap
    )
    sent = upstream_body(
        parsed,
        offer.endpoint,
        cap_tokens=cap if tight and api is not Api.EMBEDDINGS else None,
    )
    script = respond(api, sent, at_ms=T0_MS, number=0)
    assert script.status == 200
    answer = b"".join(script.writes())
    if script.is_stream:
        *_, last, done, rest = answer.split(b"\n\n")
        assert (done, rest) == (b"data: [DONE]", b"")
        answer = last.removeprefix(b"data: ")
    used = read_usage(json.loads(answer)["usage"], UsageRules()).usage
    assert used is not None
    assert used.prompt_tokens <= bounds.input_tokens
    assert used.completion_tokens <= bounds.output_tokens
    assert len(json.loads(answer).get("choices", [])) in (0, parsed.choices)
    assert parsed.choices <= 4 * 3 < CHOICES_MAX


@given(texts)
def test_tokens_joined_are_the_text_and_at_most_its_bytes(text: str) -> None:
    assert "".join(tokens_of(text)) == text
    assert len(tokens_of(text)) <= len(text.encode())
    assert len(tokens_of(text.lstrip())) == len(text.split())
