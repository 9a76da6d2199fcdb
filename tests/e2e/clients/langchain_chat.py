"""What a user of LangChain does with our inference endpoints, through its package for OpenRouter.

Arguments: base URL, inference key. Prints JSON when all went well: the package's version, and what
every call cost, as the shortest text of the client's float.
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
    """A city, as a tool takes it and as an answer gives it."""

    name: str
    people: int


def connect(base_url: str, key: str, model: str = MODEL) -> ChatOpenRouter:
    """A model of LangChain's that gives up at once."""
    chat = ChatOpenRouter(model=model, api_key=SecretStr(key), base_url=base_url, max_retries=0)
    # For 0 it leaves the retries to the client below, which goes on for an hour.
    chat.client.sdk_configuration.retry_config = None
    return chat


def text_of(message: Any) -> Any:
    """The text of an answer or of a stream's chunks added up; notes what it cost."""
    facts, usage = message.response_metadata, message.usage_metadata
    assert (facts["finish_reason"], facts["model_name"]) == ("stop", MODEL)
    assert not message.tool_calls
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert min(usage["input_tokens"], usage["output_tokens"]) > 0
    generations.append({"id": facts["id"], "cost": repr(facts["cost"])})
    return message.content


def send_plain(model: ChatOpenRouter) -> None:
    """Whatever a request may carry, the answer is the last message of the user."""
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
    """An answer in JSON, and LangChain's own reading of it into a type."""
    text = '{"name": "Bern", "people": 137000}'
    assert text_of(model.bind(response_format={"type": "json_object"}).invoke(text)) == text
    typed = model.with_structured_output(City, method="json_schema", include_raw=True)
    answer: Any = typed.invoke(text)
    assert answer["parsed"] == City(name="Bern", people=137000)
    assert text_of(answer["raw"]) == text


def send_stream(model: ChatOpenRouter) -> None:
    """A stream, in more than one piece."""
    chunks: list[Any] = list(model.stream(TEXT))
    assert sum(bool(chunk.content) for chunk in chunks) > 1
    assert text_of(sum(chunks[1:], chunks[0])) == TEXT


async def send_async(model: ChatOpenRouter) -> None:
    """The client's other way, plain and streaming."""
    assert text_of(await model.ainvoke(TEXT)) == TEXT
    chunks: list[Any] = [chunk async for chunk in model.astream(TEXT)]
    assert text_of(sum(chunks[1:], chunks[0])) == TEXT


def meet_refusals(base_url: str, key: str) -> None:
    """Every refusal is the typed error of the client below."""
    nothing = connect(base_url, key, "nobody/nothing")
    refused(errors.BadRequestResponseError, lambda: nothing.invoke(TEXT))
    refused(errors.BadRequestResponseError, lambda: list(nothing.stream(TEXT)))
    stranger = connect(base_url, UNKNOWN_KEY)
    refused(errors.UnauthorizedResponseError, lambda: stranger.invoke(TEXT))


def refused(kind: type[Exception], call: Callable[[], object]) -> None:
    """Fails when the error of a call is of another kind or does not come."""
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}")


def main(base_url: str, key: str) -> None:
    """Everything, with one key."""
    model = connect(base_url, key)
    send_plain(model)
    send_json(model)
    send_stream(model)
    asyncio.run(send_async(model))
    meet_refusals(base_url, key)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(json.dumps({"version": version("langchain-openrouter"), "generations": generations}))
