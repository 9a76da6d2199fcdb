"""Draws requests of the Messages and the Responses API: conversations as agents have them."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.dialects.anthropic.messages import image, png

_SIGNS = "aZ 0\n\"\\<>&'éß€漢😀\u2028"
WRITES_1H = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def text(rng: Random, most: int = 300) -> str:
    """A text with characters of one to four bytes, some of which JSON escapes."""
    return "".join(rng.choices(_SIGNS, k=rng.randint(1, most)))


def _schema(rng: Random) -> dict[str, Any]:
    names = {f"p{number}": {"description": text(rng, 40)} for number in range(rng.randint(0, 4))}
    return {"type": "object", "properties": names}


def _arguments(rng: Random) -> dict[str, Any]:
    return {"text": text(rng, 60), "number": rng.randint(-5, 10**6)}


def _messages_blocks(rng: Random) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.15:
            blocks.append(image(png(rng.randint(1, 6000), rng.randint(1, 6000))))
        else:
            mark = WRITES_1H if rng.random() < 0.1 else {}
            blocks.append({"type": "text", "text": text(rng), **mark})
    return blocks


def _messages_round(rng: Random, number: int) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = [{"role": "user", "content": _messages_blocks(rng)}]
    said: list[dict[str, Any]] = [{"type": "text", "text": text(rng, 80)}]
    ids = [f"toolu_{number}_{each}" for each in range(rng.randint(0, 3))]
    said += [
        {"type": "tool_use", "id": each, "name": "tool_0", "input": _arguments(rng)} for each in ids
    ]
    turns.append({"role": "assistant", "content": said})
    if ids:
        results = [
            {"type": "tool_result", "tool_use_id": each, "content": _messages_blocks(rng)}
            for each in ids
        ]
        turns.append({"role": "user", "content": results})
        turns.append({"role": "assistant", "content": text(rng, 80)})
    return turns


def messages_body(rng: Random) -> dict[str, Any]:
    """A request of the Messages API."""
    rounds = [_messages_round(rng, number) for number in range(rng.randint(0, 3))]
    body: dict[str, Any] = {
        "max_tokens": rng.choice([1, 17, 1000, 8000]),
        "messages": [*(turn for each in rounds for turn in each), *_last(_messages_blocks(rng))],
    }
    if rng.random() < 0.6:
        body["system"] = [{"type": "text", "text": text(rng)}, {"type": "text", "text": "b"}]
    if rng.random() < 0.6:
        body["tools"] = [
            {"name": f"tool_{number}", "description": text(rng), "input_schema": _schema(rng)}
            for number in range(rng.randint(1, 4))
        ]
    if rng.random() < 0.1:
        del body["max_tokens"]
    return body


def _last(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": blocks}]


def _responses_parts(rng: Random) -> list[dict[str, Any]]:
    return [{"type": "input_text", "text": text(rng)} for _ in range(rng.randint(1, 3))]


def _responses_round(rng: Random, number: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = [{"role": "user", "content": _responses_parts(rng)}]
    for each in range(rng.randint(0, 3)):
        name = f"call_{number}_{each}"
        arguments = json.dumps(_arguments(rng), ensure_ascii=rng.random() < 0.5)
        call = {"type": "function_call", "call_id": name, "name": "tool_0", "arguments": arguments}
        output = {"type": "function_call_output", "call_id": name, "output": text(rng)}
        items += [call, output]
    items.append({"role": "assistant", "content": [{"type": "output_text", "text": text(rng)}]})
    return items


def responses_body(rng: Random) -> dict[str, Any]:
    """A request of the Responses API."""
    rounds = [_responses_round(rng, number) for number in range(rng.randint(0, 3))]
    last = {"role": "user", "content": _responses_parts(rng)}
    body: dict[str, Any] = {"input": [*(item for each in rounds for item in each), last]}
    if rng.random() < 0.6:
        body["instructions"] = text(rng)
    if rng.random() < 0.6:
        body["tools"] = [_responses_tool(rng, number) for number in range(rng.randint(1, 4))]
    if rng.random() < 0.9:
        body["max_output_tokens"] = rng.choice([16, 1000, 8000])
    if rng.random() < 0.2:
        shape = {"type": "json_schema", "name": "shape", "schema": _schema(rng), "strict": False}
        body["text"] = {"format": shape}
    return body


def _responses_tool(rng: Random, number: int) -> dict[str, Any]:
    about = {"name": f"tool_{number}", "description": text(rng)}
    function = {"type": "function", **about, "parameters": _schema(rng), "strict": False}
    match rng.randrange(5):
        case 0:
            return {"type": "custom", **about}
        case 1:
            return {"type": "namespace", "name": f"n{number}", "description": "n"} | {
                "tools": [function]
            }
        case 2:
            return {"type": "web_search"}
    return function


BODIES: dict[str, Callable[[Random], dict[str, Any]]] = {
    "anthropic": messages_body,
    "openai-responses": responses_body,
}
"""A drawn request, without the model, by the dialect of the client."""
