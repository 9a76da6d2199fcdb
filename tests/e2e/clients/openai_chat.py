"""What a user of OpenAI's client does with our inference endpoints.

Arguments: base URL, inference key. Prints JSON when all went well: the client's version, and what
every call cost, as the text of the answer, or, of streams, as the shortest text of the float.
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
    """What the model is asked to answer with."""

    name: str
    people: int


def says(content: Any) -> list[ChatCompletionMessageParam]:
    """A conversation of one message."""
    return [{"role": "user", "content": content}]


def chat(client: openai.OpenAI, messages: list[ChatCompletionMessageParam], **body: Any) -> Any:
    """A plain call; returns the answer, and notes what it cost."""
    response = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=messages, **body
    )
    note_text(response.http_response.text, response.headers["X-Generation-Id"])
    answer = response.parse()
    assert isinstance(answer, ChatCompletion)
    assert (answer.id, answer.object, answer.model) == (
        generations[-1]["id"],
        "chat.completion",
        MODEL,
    )
    assert_counts(answer.usage)
    assert [choice.index for choice in answer.choices] == list(range(body.get("n", 1)))
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    return answer


def note_text(body: str, generation_id: str) -> None:
    """Take the cost from a body as it came."""
    members = json.loads(body, parse_float=str, parse_int=str)
    assert members["id"] == generation_id
    generations.append({"id": generation_id, "cost": members["usage"]["cost"]})


def note_float(generation_id: str, usage: Any) -> None:
    """Take the cost from a stream's last chunk, where it is a float already."""
    assert_counts(usage)
    generations.append({"id": generation_id, "cost": repr(usage.model_extra["cost"])})


def assert_counts(usage: CompletionUsage | None) -> None:
    """Tokens went in and out, and their sum is right."""
    assert usage is not None
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def read_catalogue(client: openai.OpenAI) -> None:
    """Models that talk, and all."""
    assert MODEL in {model.id for model in client.models.list()}
    every = client.models.list(extra_query={"output_modalities": "all"})
    assert {MODEL, "sandbox/embed"} <= {model.id for model in every}


def send_plain(client: openai.OpenAI) -> None:
    """Whatever a request may carry, the answer is the last message of the user."""
    assert chat(client, says(TEXT)).choices[0].message.content == TEXT
    message = chat(client, says(TEXT), tools=TOOLS, tool_choice="auto").choices[0].message
    assert (message.role, message.content, message.tool_calls) == ("assistant", TEXT, None)
    two = chat(client, says(TEXT), n=2)
    assert [choice.message.content for choice in two.choices] == [TEXT, TEXT]
    image = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}
    assert (
        chat(client, says([{"type": "text", "text": TEXT}, image])).choices[0].message.content
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
    """JSON mode, and the client's own reading of an answer into a type."""
    text = '{"name": "Bern", "people": 137000}'
    answer = chat(client, says(text), response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content) == {"name": "Bern", "people": 137000}
    parsed = client.chat.completions.parse(model=MODEL, messages=says(text), response_format=City)
    assert parsed.choices[0].message.parsed == City(name="Bern", people=137000)
    note_float(parsed.id, parsed.usage)


def send_streams(client: openai.OpenAI) -> None:
    """Streams with and without the wish for usage, of two choices, and by the client's helper."""
    for options in ({}, {"stream_options": {"include_usage": True}}, {"tools": TOOLS}):
        body: Any = {"stream": True, **options}
        answer = client.chat.completions.create(model=MODEL, messages=says(TEXT), **body)
        assert read(answer) == [TEXT]
    two = client.chat.completions.create(model=MODEL, messages=says(TEXT), n=2, stream=True)
    assert read(two) == [TEXT, TEXT]
    with client.chat.completions.stream(model=MODEL, messages=says(TEXT)) as stream:
        final = stream.get_final_completion()
    message = final.choices[0].message
    assert (message.role, message.content) == ("assistant", TEXT)
    note_float(final.id, final.usage)


def read(stream: Iterable[ChatCompletionChunk]) -> list[str]:
    """The text of every choice; usage comes once, alone, at the end."""
    chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
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
    """The client's other way, plain and streaming."""
    async with openai.AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0) as client:
        create = client.chat.completions.create
        answer = await create(model=MODEL, messages=says(TEXT))
        assert answer.choices[0].message.content == TEXT
        note_float(answer.id, answer.usage)
        stream = await create(model=MODEL, messages=says(TEXT), stream=True)
        assert read([chunk async for chunk in stream]) == [TEXT]


def send_prompt(client: openai.OpenAI) -> None:
    """The older endpoint for text."""
    response = client.completions.with_raw_response.create(model=MODEL, prompt=TEXT)
    note_text(response.http_response.text, response.headers["X-Generation-Id"])
    answer = response.parse()
    assert (answer.object, answer.choices[0].text) == ("text_completion", TEXT)
    assert answer.choices[0].finish_reason == "stop"
    assert_counts(answer.usage)
    chunks = list(client.completions.create(model=MODEL, prompt=TEXT, stream=True))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == TEXT
    assert chunks[-1].choices == []
    note_float(chunks[-1].id, chunks[-1].usage)


def embed(client: openai.OpenAI) -> None:
    """Vectors as base64, which is what the client asks for by itself, and as numbers."""
    vectors = []
    for options in ({}, {"encoding_format": "float"}):
        body: Any = {"input": [TEXT, "another"], **options}
        response = client.embeddings.with_raw_response.create(model="sandbox/embed", **body)
        note_text(response.http_response.text, response.headers["X-Generation-Id"])
        answer = response.parse()
        assert [row.index for row in answer.data] == [0, 1]
        assert answer.usage.total_tokens == answer.usage.prompt_tokens > 0
        vectors.append([row.embedding for row in answer.data])
    (packed, other), (plain, _) = vectors
    assert all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(packed, plain, strict=True))
    assert packed != other


def meet_refusals(client: openai.OpenAI) -> None:
    """Every refusal is the typed error that the client has for it, before a stream starts too."""
    body: Any = {"model": "nobody/nothing", "messages": says(TEXT)}
    for stream in (False, True):
        error = refused(
            openai.BadRequestError,
            lambda: client.chat.completions.create(**body, stream=stream),  # noqa: B023
        )
        assert (error.status_code, error.code) == (400, "400"), error.code
        assert "nobody/nothing is not a valid model ID" in error.message
        assert error.request_id
    refused(
        openai.BadRequestError, lambda: client.embeddings.create(model="nobody/nothing", input=TEXT)
    )
    stranger = client.with_options(api_key=UNKNOWN_KEY)
    unknown = refused(openai.AuthenticationError, lambda: chat(stranger, says(TEXT)))
    assert "User not found." in unknown.message


def refused(kind: type[Error], call: Callable[[], object]) -> Error:
    """The error of a call; fails when it is of another kind or does not come."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


def main(base_url: str, key: str) -> None:
    """Everything, with one key."""
    with openai.OpenAI(api_key=key, base_url=base_url, max_retries=0) as client:
        read_catalogue(client)
        send_plain(client)
        send_json(client)
        send_streams(client)
        send_prompt(client)
        embed(client)
        meet_refusals(client)
    asyncio.run(send_async(base_url, key))


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(json.dumps({"version": openai.__version__, "generations": generations}))
