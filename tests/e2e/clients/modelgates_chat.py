"""Calls models through the ModelGates client, as an application does.

Arguments: base URL, inference key. Prints JSON on success: the client's version, and the cost of
every call: the number's text in the response body, or for a stream the shortest text of the float.
"""

import json
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

import openai
from modelgates import ModelGates

MODEL = "sandbox/echo"
UNKNOWN_KEY = "sk-mg-v1-" + "0" * 49
TEXT = "The quick brown fox jumps over a lazy dog"
generations: list[dict[str, str]] = []


def connect(base_url: str, key: str) -> ModelGates:
    """A client that names its app, with workarounds for two bugs of its version 0.1.0."""
    # Without `max_retries` it passes None to the client it extends, which rejects that.
    client = ModelGates(
        api_key=key, base_url=base_url, max_retries=0, referer="https://app.example", title="App"
    )
    # It stores text where the client it extends expects a URL, so inherited calls fail.
    client._base_url = openai.OpenAI(api_key=key, base_url=base_url).base_url
    return client


def body(content: Any, **more: Any) -> Any:
    """A request with one message."""
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


def note_text(text: str) -> Any:
    """Notes the cost in a response body, as its text; returns the body."""
    fields = json.loads(text, parse_float=str, parse_int=str)
    generations.append({"id": fields["id"], "cost": fields["usage"]["cost"]})
    return fields


def send_plain(client: ModelGates) -> None:
    """Chats with tools, in JSON mode and with two choices; completes a prompt; embeds."""
    raw = client.chat.completions.with_raw_response
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    kinds: Any = ({}, {"tools": [tool]}, {"response_format": {"type": "json_object"}}, {"n": 2})
    for options in kinds:
        fields = note_text(raw.create(**body(TEXT, **options)).http_response.text)
        texts = [choice["message"]["content"] for choice in fields["choices"]]
        if "response_format" in options:
            texts = [json.loads(text)["echo"] for text in texts]
        assert texts == [TEXT] * options.get("n", 1)
    older = client.completions.with_raw_response.create(model=MODEL, prompt=TEXT)
    assert note_text(older.http_response.text)["choices"][0]["text"] == TEXT
    vectors = client.embeddings.with_raw_response.create(model="sandbox/embed", input=TEXT)
    note_text(vectors.http_response.text)
    assert vectors.parse().data[0].embedding


def send_stream(client: ModelGates) -> None:
    """Streams; usage comes once, in the last chunk, next to an empty delta."""
    stream: Iterable[Any] = client.chat.completions.create(**body(TEXT, stream=True))
    *chunks, last = stream
    assert "".join(choice.delta.content or "" for c in chunks for choice in c.choices) == TEXT
    assert not any(chunk.usage for chunk in chunks)
    assert [choice.delta.content for choice in last.choices] == [None]
    generations.append({"id": last.id, "cost": repr(last.usage.cost)})


def read_catalog(client: ModelGates) -> None:
    """Lists the models with its own method and with the inherited one."""
    rows = client.list_models()["data"]
    assert MODEL in {row["id"] for row in rows}
    assert all(row["name"] for row in rows)
    assert [model.id for model in client.models.list()] == [row["id"] for row in rows]


def check_errors(base_url: str, key: str) -> None:
    """Checks that every error is a typed error of the client it extends."""
    request = body(TEXT) | {"model": "acme/unknown"}
    create = connect(base_url, key).chat.completions.create
    assert refused(openai.BadRequestError, lambda: create(**request)) == 400
    stranger = connect(base_url, UNKNOWN_KEY)
    refused(openai.AuthenticationError, lambda: stranger.chat.completions.create(**body(TEXT)))


def refused(kind: type[openai.APIStatusError], call: Callable[[], object]) -> int:
    """The status of a refused call; fails if there is no error of this kind."""
    try:
        call()
    except kind as error:
        return error.response.status_code
    raise AssertionError(f"expected {kind.__name__}")


def main(base_url: str, key: str) -> None:
    """Runs all checks with one key."""
    client = connect(base_url, key)
    read_catalog(client)
    send_plain(client)
    send_stream(client)
    check_errors(base_url, key)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(json.dumps({"version": version("modelgates"), "generations": generations}))
