"""What a user of the ModelGates client does with our inference endpoints.

Arguments: base URL, inference key. Prints JSON when all went well: the client's version, and what
every call cost, as the text of the answer, or, of streams, as the shortest text of the float.
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
    """A client that names its app, past two mistakes of its version 0.1.0."""
    # Without `max_retries` it passes None on, which the client it extends refuses.
    client = ModelGates(
        api_key=key, base_url=base_url, max_retries=0, referer="https://app.example", title="App"
    )
    # It puts text where the client it extends keeps a URL, so that inherited calls fail.
    client._base_url = openai.OpenAI(api_key=key, base_url=base_url).base_url
    return client


def body(content: Any, **more: Any) -> Any:
    """A request of one message."""
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


def note_text(text: str) -> Any:
    """Take the cost from a body as it came; returns the body."""
    members = json.loads(text, parse_float=str, parse_int=str)
    generations.append({"id": members["id"], "cost": members["usage"]["cost"]})
    return members


def send_plain(client: ModelGates) -> None:
    """Chat with tools and in JSON mode, several choices, the older endpoint, and vectors."""
    raw = client.chat.completions.with_raw_response
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    kinds: Any = ({}, {"tools": [tool]}, {"response_format": {"type": "json_object"}}, {"n": 2})
    for options in kinds:
        members = note_text(raw.create(**body(TEXT, **options)).http_response.text)
        texts = [choice["message"]["content"] for choice in members["choices"]]
        if "response_format" in options:
            texts = [json.loads(text)["echo"] for text in texts]
        assert texts == [TEXT] * options.get("n", 1)
    older = client.completions.with_raw_response.create(model=MODEL, prompt=TEXT)
    assert note_text(older.http_response.text)["choices"][0]["text"] == TEXT
    vectors = client.embeddings.with_raw_response.create(model="sandbox/embed", input=TEXT)
    note_text(vectors.http_response.text)
    assert vectors.parse().data[0].embedding


def send_stream(client: ModelGates) -> None:
    """A stream; usage comes once, alone, at the end."""
    answer: Iterable[Any] = client.chat.completions.create(**body(TEXT, stream=True))
    *chunks, last = answer
    assert "".join(choice.delta.content or "" for c in chunks for choice in c.choices) == TEXT
    assert not any(chunk.usage for chunk in chunks)
    assert last.choices == []
    generations.append({"id": last.id, "cost": repr(last.usage.cost)})


def read_catalogue(client: ModelGates) -> None:
    """By its own call and by the one it inherits."""
    rows = client.list_models()["data"]
    assert MODEL in {row["id"] for row in rows}
    assert all(row["name"] for row in rows)
    assert [model.id for model in client.models.list()] == [row["id"] for row in rows]


def meet_refusals(base_url: str, key: str) -> None:
    """Every refusal is the typed error of the client it extends."""
    request = body(TEXT) | {"model": "nobody/nothing"}
    create = connect(base_url, key).chat.completions.create
    assert refused(openai.BadRequestError, lambda: create(**request)) == 400
    stranger = connect(base_url, UNKNOWN_KEY)
    refused(openai.AuthenticationError, lambda: stranger.chat.completions.create(**body(TEXT)))


def refused(kind: type[openai.APIStatusError], call: Callable[[], object]) -> int:
    """The status of a refused call; fails when the error is of another kind or does not come."""
    try:
        call()
    except kind as error:
        return error.response.status_code
    raise AssertionError(f"expected {kind.__name__}")


def main(base_url: str, key: str) -> None:
    """Everything, with one key."""
    client = connect(base_url, key)
    read_catalogue(client)
    send_plain(client)
    send_stream(client)
    meet_refusals(base_url, key)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(json.dumps({"version": version("modelgates"), "generations": generations}))
