"""Calls a slow model with a client that has its own timeouts, plain and streamed at the same time.

Arguments: the client, base URL, inference key, model. Prints JSON: the client's version, and the
texts of both responses.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

MESSAGES: Any = [{"role": "user", "content": "Hello"}]


def call_openai(base_url: str, key: str, model: str, *, stream: bool) -> str:
    import openai  # noqa: PLC0415 - an environment has only one of the three

    client = openai.OpenAI(api_key=key, base_url=base_url)
    create: Any = client.chat.completions.create
    response = create(model=model, messages=MESSAGES, stream=stream)
    if not stream:
        return str(response.choices[0].message.content)
    return "".join(c.delta.content or "" for chunk in response for c in chunk.choices)


def call_openrouter(base_url: str, key: str, model: str, *, stream: bool) -> str:
    from openrouter import OpenRouter  # noqa: PLC0415

    send: Any = OpenRouter(api_key=key, server_url=base_url).chat.send
    response = send(model=model, messages=MESSAGES, stream=stream)
    if not stream:
        return str(response.choices[0].message.content)
    return "".join(c.delta.content or "" for chunk in response for c in chunk.choices)


def call_langchain(base_url: str, key: str, model: str, *, stream: bool) -> str:
    from langchain_openrouter import ChatOpenRouter  # noqa: PLC0415
    from pydantic import SecretStr  # noqa: PLC0415

    chat = ChatOpenRouter(model=model, api_key=SecretStr(key), base_url=base_url)
    if not stream:
        return str(chat.invoke("Hello").content)
    return "".join(str(chunk.content) for chunk in chat.stream("Hello"))


CLIENTS: dict[str, Callable[..., str]] = {
    "openai": call_openai,
    "openrouter": call_openrouter,
    "langchain-openrouter": call_langchain,
}


def main(name: str, *arguments: str) -> dict[str, str]:
    """Makes both calls at the same time."""
    call = CLIENTS[name]
    with ThreadPoolExecutor(2) as pool:
        plain = pool.submit(call, *arguments, stream=False)
        streamed = pool.submit(call, *arguments, stream=True)
        return {"version": version(name), "plain": plain.result(), "stream": streamed.result()}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
