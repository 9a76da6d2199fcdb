"""Calls models through OpenAI's client, as an application does.

Arguments: base URL, inference key. Prints JSON on success: the client's version, and the cost of
every call: the number's text in the response body, or for a stream the shortest text of the float.
"""

import asyncio
import json
import math
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel

MODEL = "sandbox/echo"
UNKNOWN_KEY = "sk-mg-v1-" + "0" * 49
TEXT = "The quick brown fox jumps over a lazy dog"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
Error = TypeVar("Error", bound=openai.APIStatusError)
generations: list[dict[str, str]] = []


class City(BaseModel):
    """The type that the model is asked for."""

    name: str
    people: int


def user_message(content: Any) -> list[ChatCompletionMessageParam]:
    """A conversation with one message."""
    return [{"role": "user", "content": content}]


def chat(client: openai.OpenAI, messages: list[ChatCompletionMessageParam], **body: Any) -> Any:
    """Makes a call without streaming; returns the response, and notes the cost."""
    response = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=messages, **body
    )
    note_text(response.http_response.text, response.headers["X-Generation-Id"])
    parsed = response.parse()
    assert isinstance(parsed, ChatCompletion)
    assert (parsed.id, parsed.object, parsed.model) == (
        generations[-1]["id"],
        "chat.completion",
        MODEL,
    )
    assert_counts(parsed.usage)
    assert [choice.index for choice in parsed.choices] == list(range(body.get("n", 1)))
    assert {choice.finish_reason for choice in parsed.choices} == {"stop"}
    return parsed


def note_text(body: str, generation_id: str) -> None:
    """Notes the cost in a response body, as its text."""
    fields = json.loads(body, parse_float=str, parse_int=str)
    assert fields["id"] == generation_id
    generations.append({"id": generation_id, "cost": fields["usage"]["cost"]})


def note_float(generation_id: str, usage: Any) -> None:
    """Notes the cost of a parsed response or last chunk, where it is a float."""
    assert_counts(usage)
    generations.append({"id": generation_id, "cost": repr(usage.model_extra["cost"])})


def assert_counts(usage: CompletionUsage | None) -> None:
    """Checks that there are input and output tokens, and that they add up."""
    assert usage is not None
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def read_catalog(client: openai.OpenAI) -> None:
    """Lists the models with text output, and all models."""
    assert MODEL in {model.id for model in client.models.list()}
    every = client.models.list(extra_query={"output_modalities": "all"})
    assert {MODEL, "sandbox/embed"} <= {model.id for model in every}


def send_plain(client: openai.OpenAI) -> None:
    """Sends requests with different parameters; each response repeats the last user message."""
    assert chat(client, user_message(TEXT)).choices[0].message.content == TEXT
    message = chat(client, user_message(TEXT), tools=TOOLS, tool_choice="auto").choices[0].message
    assert (message.role, message.content, message.tool_calls) == ("assistant", TEXT, None)
    two = chat(client, user_message(TEXT), n=2)
    assert [choice.message.content for choice in two.choices] == [TEXT, TEXT]
    image = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}
    assert (
        chat(client, user_message([{"type": "text", "text": TEXT}, image]))
        .choices[0]
        .message.content
        == TEXT
    )
    call = {"name": "weather", "arguments": '{"city":"Bern"}'}
    history: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "And in Bern?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "user", "content": TEXT},
    ]
    options: Any = {"temperature": 0, "seed": 7, "user": "someone", "stop": ["\n"]}
    assert chat(client, history, tools=TOOLS, **options).choices[0].message.content == TEXT


def send_json(client: openai.OpenAI) -> None:
    """Uses JSON mode, and lets the client parse a response into a type."""
    text = '{"name": "Bern", "people": 137000}'
    response = chat(client, user_message(text), response_format={"type": "json_object"})
    assert json.loads(response.choices[0].message.content) == {"name": "Bern", "people": 137000}
    parsed = client.chat.completions.parse(
        model=MODEL, messages=user_message(text), response_format=City
    )
    assert parsed.choices[0].message.parsed == City(name="Bern", people=137000)
    note_float(parsed.id, parsed.usage)


def send_streams(client: openai.OpenAI) -> None:
    """Streams with and without `include_usage`, with two choices, and with the client's helper."""
    for options in ({}, {"stream_options": {"include_usage": True}}, {"tools": TOOLS}):
        body: Any = {"stream": True, **options}
        stream = client.chat.completions.create(model=MODEL, messages=user_message(TEXT), **body)
        assert read(stream, is_usage_alone="stream_options" in options) == [TEXT]
    two = client.chat.completions.create(model=MODEL, messages=user_message(TEXT), n=2, stream=True)
    assert read(two) == [TEXT, TEXT]
    with client.chat.completions.stream(model=MODEL, messages=user_message(TEXT)) as stream:
        final = stream.get_final_completion()
    message = final.choices[0].message
    assert (message.role, message.content) == ("assistant", TEXT)
    note_float(final.id, final.usage)


def read(stream: Iterable[ChatCompletionChunk], *, is_usage_alone: bool = False) -> list[str]:
    """The text of every choice; usage comes once, in the last chunk, next to an empty delta."""
    chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    last = [choice.delta.content for choice in chunks[-1].choices]
    assert last == ([] if is_usage_alone else [None])
    note_float(chunks[-1].id, chunks[-1].usage)
    texts: dict[int, list[str]] = {}
    reasons: dict[int, str] = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts.setdefault(choice.index, []).append(choice.delta.content or "")
        if choice.finish_reason:
            assert choice.index not in reasons
            reasons[choice.index] = choice.finish_reason
    assert reasons == dict.fromkeys(texts, "stop")
    return ["".join(texts[index]) for index in sorted(texts)]


async def send_async(base_url: str, key: str) -> None:
    """Uses the asynchronous client, with and without streaming."""
    async with openai.AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0) as client:
        create = client.chat.completions.create
        response = await create(model=MODEL, messages=user_message(TEXT))
        assert response.choices[0].message.content == TEXT
        note_float(response.id, response.usage)
        stream = await create(model=MODEL, messages=user_message(TEXT), stream=True)
        assert read([chunk async for chunk in stream]) == [TEXT]


def send_prompt(client: openai.OpenAI) -> None:
    """Completes a prompt, with and without streaming."""
    response = client.completions.with_raw_response.create(model=MODEL, prompt=TEXT)
    note_text(response.http_response.text, response.headers["X-Generation-Id"])
    parsed = response.parse()
    assert (parsed.object, parsed.choices[0].text) == ("text_completion", TEXT)
    assert parsed.choices[0].finish_reason == "stop"
    assert_counts(parsed.usage)
    chunks = list(client.completions.create(model=MODEL, prompt=TEXT, stream=True))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == TEXT
    assert [choice.text for choice in chunks[-1].choices] == [""]
    note_float(chunks[-1].id, chunks[-1].usage)


def embed(client: openai.OpenAI) -> None:
    """Embeds as base64, which is the client's default, and as numbers."""
    vectors = []
    for options in ({}, {"encoding_format": "float"}):
        body: Any = {"input": [TEXT, "another"], **options}
        response = client.embeddings.with_raw_response.create(model="sandbox/embed", **body)
        note_text(response.http_response.text, response.headers["X-Generation-Id"])
        parsed = response.parse()
        assert [row.index for row in parsed.data] == [0, 1]
        assert parsed.usage.total_tokens == parsed.usage.prompt_tokens > 0
        vectors.append([row.embedding for row in parsed.data])
    (packed, other), (plain, _) = vectors
    assert all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(packed, plain, strict=True))
    assert packed != other


def check_errors(client: openai.OpenAI) -> None:
    """Checks that every error is the client's typed error for it, for streams as well."""
    body: Any = {"model": "acme/unknown", "messages": user_message(TEXT)}
    for stream in (False, True):
        error = refused(
            openai.BadRequestError,
            lambda: client.chat.completions.create(**body, stream=stream),  # noqa: B023
        )
        assert (error.status_code, error.code) == (400, "400"), error.code
        assert "acme/unknown is not a valid model ID" in error.message
        assert error.request_id
    refused(
        openai.BadRequestError, lambda: client.embeddings.create(model="acme/unknown", input=TEXT)
    )
    stranger = client.with_options(api_key=UNKNOWN_KEY)
    unknown = refused(openai.AuthenticationError, lambda: chat(stranger, user_message(TEXT)))
    assert "User not found." in unknown.message


def refused(kind: type[Error], call: Callable[[], object]) -> Error:
    """The error of a call; fails if there is no error of this kind."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


def main(base_url: str, key: str) -> None:
    """Runs all checks with one key."""
    with openai.OpenAI(api_key=key, base_url=base_url, max_retries=0) as client:
        read_catalog(client)
        send_plain(client)
        send_json(client)
        send_streams(client)
        send_prompt(client)
        embed(client)
        check_errors(client)
    asyncio.run(send_async(base_url, key))


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(json.dumps({"version": openai.__version__, "generations": generations}))
