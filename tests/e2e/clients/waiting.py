"""What a client with its own timeouts hears of a slow model, plain and streamed at once.

Arguments: the client, base URL, inference key, model. Prints JSON: the client's version, and what
it heard both ways.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

MESSAGES: Any = [{"role": "user", "content": "Hello"}]


def ask_openai(base_url: str, key: str, model: str, *, stream: bool) -> str:
    import openai  # noqa: PLC0415 - each environment has one of the three

    client = openai.OpenAI(api_key=key, base_url=base_url)
    create: Any = client.chat.completions.create
    answer = create(model=model, messages=MESSAGES, stream=stream)
    if not stream:
        return str(answer.choices[0].message.content)
    return "".join(c.delta.content or "" for chunk in answer for c in chunk.choices)


def ask_openrouter(base_url: str, key: str, model: str, *, stream: bool) -> str:
    from openrouter import OpenRouter  # noqa: PLC0415

    send: Any = OpenRouter(api_key=key, server_url=base_url).chat.send
    answer = send(model=model, messages=MESSAGES, stream=stream)
    if not stream:
        return str(answer.choices[0].message.content)
    return "".join(c.delta.content or "" for chunk in answer for c in chunk.choices)


def ask_langchain(base_url: str, key: str, model: str, *, stream: bool) -> str:
    from langchain_openrouter import ChatOpenRouter  # noqa: PLC0415
    from pydantic import SecretStr  # noqa: PLC0415

    chat = ChatOpenRouter(model=model, api_key=SecretStr(key), base_url=base_url)
    if not stream:
        return str(chat.invoke("Hello").content)
    return "".join(str(chunk.content) for chunk in chat.stream("Hello"))


CLIENTS: dict[str, Callable[..., str]] = {
    "openai": ask_openai,
    "openrouter": ask_openrouter,
    "langchain-openrouter": ask_langchain,
}


def main(name: str, *where: str) -> dict[str, str]:
    """Both ways at the same time."""
    ask = CLIENTS[name]
    with ThreadPoolExecutor(2) as pool:
        plain = pool.submit(ask, *where, stream=False)
        streamed = pool.submit(ask, *where, stream=True)
        return {"version": version(name), "plain": plain.result(), "stream": streamed.result()}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
