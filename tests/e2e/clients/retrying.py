"""Calls a slow model with OpenAI's client, which gives up after one second and retries.

Arguments: base URL, inference key, model, and an `Idempotency-Key` or an empty text. Prints JSON:
the client's version, and the texts of a plain response and of a stream.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

MESSAGES: Any = [{"role": "user", "content": "Hello"}]
IMPATIENT: Any = {"timeout": 1}
RETRIES = 20
"""Enough for the busiest machine; the model needs three seconds."""


def call(base_url: str, key: str, model: str, idempotency_key: str, *, stream: bool) -> str:
    """The text of a response."""
    client = openai.OpenAI(api_key=key, base_url=base_url, max_retries=RETRIES, **IMPATIENT)
    headers = {"Idempotency-Key": f"{idempotency_key}-{stream}"} if idempotency_key else {}
    create: Any = client.chat.completions.create
    response = create(model=model, messages=MESSAGES, stream=stream, extra_headers=headers)
    if not stream:
        return str(response.choices[0].message.content)
    return "".join(c.delta.content or "" for chunk in response for c in chunk.choices)


def main(*arguments: str) -> dict[str, str]:
    """Makes both calls at the same time."""
    with ThreadPoolExecutor(2) as pool:
        plain = pool.submit(call, *arguments, stream=False)
        streamed = pool.submit(call, *arguments, stream=True)
        version = openai.__version__
        return {"version": version, "plain": plain.result(), "stream": streamed.result()}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
