"""Calls models through an old or a new version of OpenRouter's client, as an application does.

Arguments: base URL, inference key. Prints JSON on success: the client's version, and the cost of
every call as the shortest text of the client's float.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from openrouter import OpenRouter, components, errors
from openrouter._version import __version__

MODEL = "sandbox/echo"
UNKNOWN_KEY = "sk-mg-v1-" + "0" * 49
TEXT = "The quick brown fox jumps over a lazy dog"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
generations: list[dict[str, str]] = []


def connect(server_url: str, key: str) -> OpenRouter:
    """A client that does not retry; by default it retries for an hour when a server fails."""
    return OpenRouter(api_key=key, server_url=server_url, retry_config=None)


def body(content: Any, **more: Any) -> Any:
    """A request with one message."""
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


def note(generation_id: str, usage: Any) -> None:
    """Notes the cost in a usage, and checks its token counts."""
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert min(usage.prompt_tokens, usage.completion_tokens) > 0
    assert usage.is_byok is False
    generations.append({"id": generation_id, "cost": repr(usage.cost)})


def text_of(response: Any) -> Any:
    """The text of a response without streaming."""
    assert (response.object, response.model) == ("chat.completion", MODEL)
    choice = response.choices[0]
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    assert not choice.message.tool_calls
    note(response.id, response.usage)
    return choice.message.content


def read(chunks: Iterable[components.ChatStreamChunk], *, is_usage_alone: bool = False) -> str:
    """The text of a stream; usage comes once, in the last chunk, next to an empty delta."""
    *chunks, last = chunks
    assert {chunk.id for chunk in chunks} == {last.id}
    assert not any(chunk.usage or chunk.error for chunk in chunks)
    assert len(last.choices) == (0 if is_usage_alone else 1)
    assert not any(choice.delta.content for choice in last.choices)
    note(last.id, last.usage)
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == [
        "stop"
    ]
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def send_plain(client: OpenRouter) -> None:
    """Sends requests with different parameters; each response repeats the last user message."""
    chat = client.chat
    assert text_of(chat.send(**body(TEXT))) == TEXT
    assert text_of(chat.send(**body(TEXT, tools=[WEATHER], tool_choice="auto"))) == TEXT
    text = '{"name": "Bern"}'
    assert text_of(chat.send(**body(text, response_format={"type": "json_object"}))) == text
    image = {"type": "image_url", "image_url": {"url": PIXEL}}
    assert text_of(chat.send(**body([{"type": "text", "text": TEXT}, image]))) == TEXT
    options = {"temperature": 0, "seed": 7, "user": "someone", "provider": {"sort": "price"}}
    assert text_of(chat.send(**body(TEXT, **options))) == TEXT


def send_streams(client: OpenRouter) -> None:
    """Streams with and without `include_usage` and tools."""
    for options in ({}, {"stream_options": {"include_usage": True}}, {"tools": [WEATHER]}):
        with client.chat.send(**body(TEXT, stream=True, **options)) as stream:
            assert read(stream, is_usage_alone="stream_options" in options) == TEXT


async def send_async(client: OpenRouter) -> None:
    """Uses the asynchronous methods, with and without streaming."""
    assert text_of(await client.chat.send_async(**body(TEXT))) == TEXT
    stream: Any = await client.chat.send_async(**body(TEXT, stream=True))
    assert read([chunk async for chunk in stream]) == TEXT


def embed(client: OpenRouter) -> None:
    """Embeds; there is one vector for each input."""
    response: Any = client.embeddings.generate(model="sandbox/embed", input=[TEXT, "another"])
    assert [row.index for row in response.data] == [0, 1]
    assert response.data[0].embedding != response.data[1].embedding
    assert response.usage.total_tokens == response.usage.prompt_tokens > 0
    generations.append({"id": response.id, "cost": repr(response.usage.cost)})


def read_catalog(client: OpenRouter, key: str) -> None:
    """Lists models, endpoints and providers; a page that is not full is the last."""
    all_models: Any = {"output_modalities": "all"}
    page: Any = client.models.list(**all_models)
    assert page.next() is None
    rows = page.result.data
    assert {MODEL, "sandbox/embed"} <= {row.id for row in rows}
    assert page.result.total_count == client.models.count(**all_models).data.count == len(rows)
    first: Any = client.models.list(limit=1, **all_models)
    assert (first.result.data, first.next().result.data) == (rows[:1], rows[1:2])
    talking: Any = client.models.list()
    assert MODEL in {row.id for row in talking.result.data}
    mine: Any = client.models.list_for_user(security={"bearer": key})
    assert MODEL in {row.id for row in mine.result.data}
    offers = client.endpoints.list(author="sandbox", slug="echo").data
    assert (offers.id, offers.endpoints[0].model_id) == (MODEL, MODEL)
    slugs = {row.slug for row in client.providers.list().data}
    assert "sandbox" in slugs


def read_generations(client: OpenRouter) -> None:
    """Checks that the generation of every call exists already and has the same cost."""
    for generation in generations:
        data = client.generations.get_generation(id=generation["id"]).data
        assert repr(data.total_cost) == repr(data.usage) == generation["cost"]


def check_errors(client: OpenRouter, server_url: str) -> None:
    """Checks that every error is the client's typed error for it, for streams as well."""
    for stream in (False, True):
        request = body(TEXT, stream=stream) | {"model": "acme/unknown"}
        error = refused(errors.BadRequestResponseError, lambda: client.chat.send(**request))  # noqa: B023
        assert error.data.error.message == "acme/unknown is not a valid model ID"
        assert error.data.error.code == 400
        assert error.data.user_id.startswith("user_")
    refused(
        errors.BadRequestResponseError,
        lambda: client.embeddings.generate(model="acme/unknown", input=TEXT),
    )
    refused(
        errors.NotFoundResponseError,
        lambda: client.generations.get_generation(id="gen-1795439520-unknown"),
    )
    with connect(server_url, UNKNOWN_KEY) as stranger:
        unknown = refused(
            errors.UnauthorizedResponseError, lambda: stranger.chat.send(**body(TEXT))
        )
        assert unknown.data.error.message == "User not found."


def refused(kind: type[Exception], call: Callable[[], object]) -> Any:
    """The error of a call; fails if there is no error of this kind."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


def main(server_url: str, key: str) -> None:
    """Runs all checks with one key."""
    with connect(server_url, key) as client:
        read_catalog(client, key)
        send_plain(client)
        send_streams(client)
        embed(client)
        asyncio.run(send_async(client))
        read_generations(client)
        check_errors(client, server_url)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(json.dumps({"version": __version__, "generations": generations}))
