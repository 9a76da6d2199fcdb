"""Calls models through LangChain's package for OpenRouter, as an application does.

Arguments: base URL, inference key. Prints JSON on success: the package's version, and the cost of
every call as the shortest text of the client's float.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openrouter import ChatOpenRouter
from openrouter import errors
from pydantic import BaseModel, SecretStr

MODEL = "sandbox/echo"
UNKNOWN_KEY = "sk-mg-v1-" + "0" * 49
TEXT = "The quick brown fox jumps over a lazy dog"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)
generations: list[dict[str, str]] = []


class City(BaseModel):
    """A city: the argument of a tool, and the type of a response."""

    name: str
    people: int


def connect(base_url: str, key: str, model: str = MODEL) -> ChatOpenRouter:
    """A LangChain model that does not retry."""
    chat = ChatOpenRouter(model=model, api_key=SecretStr(key), base_url=base_url, max_retries=0)
    # With `max_retries=0`, the client below would still retry for an hour.
    chat.client.sdk_configuration.retry_config = None
    return chat


def text_of(message: Any) -> Any:
    """The text of a response or of the sum of a stream's chunks; notes the cost."""
    metadata, usage = message.response_metadata, message.usage_metadata
    assert (metadata["finish_reason"], metadata["model_name"]) == ("stop", MODEL)
    assert not message.tool_calls
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert min(usage["input_tokens"], usage["output_tokens"]) > 0
    generations.append({"id": metadata["id"], "cost": repr(metadata["cost"])})
    return message.content


def send_plain(model: ChatOpenRouter) -> None:
    """Sends requests with different parameters; each response repeats the last user message."""
    assert text_of(model.invoke(TEXT)) == TEXT
    assert text_of(model.bind_tools([City]).invoke(TEXT)) == TEXT
    image = {"type": "image_url", "image_url": {"url": PIXEL}}
    message = HumanMessage(content=[{"type": "text", "text": TEXT}, image])
    assert text_of(model.invoke([message])) == TEXT
    call = {"id": "call_1", "name": "City", "args": {"name": "Bern", "people": 137000}}
    history = [
        SystemMessage("Be brief."),
        HumanMessage("A city?"),
        AIMessage(content="", tool_calls=[call]),
        ToolMessage("stored", tool_call_id="call_1"),
        HumanMessage(TEXT),
    ]
    assert text_of(model.bind_tools([City]).invoke(history)) == TEXT


def send_json(model: ChatOpenRouter) -> None:
    """Asks for JSON, and lets LangChain parse it into a type."""
    text = '{"name": "Bern", "people": 137000}'
    assert text_of(model.bind(response_format={"type": "json_object"}).invoke(text)) == text
    typed = model.with_structured_output(City, method="json_schema", include_raw=True)
    response: Any = typed.invoke(text)
    assert response["parsed"] == City(name="Bern", people=137000)
    assert text_of(response["raw"]) == text


def send_stream(model: ChatOpenRouter) -> None:
    """Streams; the text comes in more than one chunk."""
    chunks: list[Any] = list(model.stream(TEXT))
    assert sum(bool(chunk.content) for chunk in chunks) > 1
    assert text_of(sum(chunks[1:], chunks[0])) == TEXT


async def send_async(model: ChatOpenRouter) -> None:
    """Uses the asynchronous methods, with and without streaming."""
    assert text_of(await model.ainvoke(TEXT)) == TEXT
    chunks: list[Any] = [chunk async for chunk in model.astream(TEXT)]
    assert text_of(sum(chunks[1:], chunks[0])) == TEXT


def check_errors(base_url: str, key: str) -> None:
    """Checks that every error is a typed error of the client below."""
    unknown_model = connect(base_url, key, "acme/unknown")
    refused(errors.BadRequestResponseError, lambda: unknown_model.invoke(TEXT))
    refused(errors.BadRequestResponseError, lambda: list(unknown_model.stream(TEXT)))
    stranger = connect(base_url, UNKNOWN_KEY)
    refused(errors.UnauthorizedResponseError, lambda: stranger.invoke(TEXT))


def refused(kind: type[Exception], call: Callable[[], object]) -> None:
    """Checks that a call fails with an error of this kind."""
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}")


def main(base_url: str, key: str) -> None:
    """Runs all checks with one key."""
    model = connect(base_url, key)
    send_plain(model)
    send_json(model)
    send_stream(model)
    asyncio.run(send_async(model))
    check_errors(base_url, key)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(json.dumps({"version": version("langchain-openrouter"), "generations": generations}))
