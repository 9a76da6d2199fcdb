"""Official SDKs for Python as clients of the three APIs: what they show of a call, in one form."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from anthropic import Anthropic
from openai import OpenAI

from tests.deadlines import DEADLINE_S

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


class Shown(NamedTuple):
    """The parts of a response that a client shows. `stop` is one of `end`, `tools` and `length`."""

    text: str
    thoughts: str
    calls: tuple[tuple[str, str], ...]
    """The id and the city of each call of the tool `weather`."""
    stop: str
    cost: Any
    input_tokens: int
    """All of them, cached ones included."""
    output_tokens: int


AskFunction = Callable[..., Shown]


def _chat(client: OpenAI, model: str, prompt: str, *, stream: bool, system: str = "") -> Shown:
    return _chat_call(client, model, [{"role": "user", "content": prompt}], stream, system)


def _chat_call(
    client: OpenAI, model: str, messages: list[Any], stream: bool, system: str = ""
) -> Shown:
    if system:
        messages = [{"role": "system", "content": system}, *messages]
    function = {"name": "weather", "parameters": SCHEMA}
    request: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "max_tokens": 50,
        "tools": [{"type": "function", "function": function}],
    }
    if stream:
        with client.chat.completions.stream(
            **request, stream_options={"include_usage": True}
        ) as events:
            for _ in events:
                pass
            whole: Any = events.current_completion_snapshot
    else:
        whole = client.chat.completions.create(**request)
    message = whole.choices[0].message
    return Shown(
        text=message.content or "",
        thoughts=getattr(message, "reasoning", None) or "",
        calls=tuple(
            (call.id, json.loads(call.function.arguments)["city"])
            for call in message.tool_calls or ()
        ),
        stop={"stop": "end", "tool_calls": "tools", "length": "length"}[
            whole.choices[0].finish_reason
        ],
        cost=getattr(whole.usage, "cost", None),
        input_tokens=whole.usage.prompt_tokens,
        output_tokens=whole.usage.completion_tokens,
    )


def _messages(
    client: Anthropic, model: str, prompt: str, *, stream: bool, system: str = ""
) -> Shown:
    return _messages_call(client, model, [{"role": "user", "content": prompt}], stream, system)


def _messages_call(
    client: Anthropic, model: str, messages: list[Any], stream: bool, system: str = ""
) -> Shown:
    request: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "max_tokens": 50,
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
    }
    if system:
        request["system"] = system
    if stream:
        with client.messages.stream(**request) as events:
            # The accumulator keeps only the fields that it knows.
            costs = [
                getattr(event.usage, "cost", None)
                for event in events
                if event.type == "message_delta"
            ]
            whole: Any = events.get_final_message()
        cost = costs[-1]
    else:
        whole = client.messages.create(**request)
        cost = getattr(whole.usage, "cost", None)
    usage = whole.usage
    return Shown(
        text="".join(block.text for block in whole.content if block.type == "text"),
        thoughts="".join(block.thinking for block in whole.content if block.type == "thinking"),
        calls=tuple(
            (block.id, block.input["city"]) for block in whole.content if block.type == "tool_use"
        ),
        stop={"end_turn": "end", "tool_use": "tools", "max_tokens": "length"}[whole.stop_reason],
        cost=cost,
        input_tokens=usage.input_tokens
        + (usage.cache_read_input_tokens or 0)
        + (usage.cache_creation_input_tokens or 0),
        output_tokens=usage.output_tokens,
    )


def _responses(client: OpenAI, model: str, prompt: str, *, stream: bool, system: str = "") -> Shown:
    return _responses_call(client, model, [{"role": "user", "content": prompt}], stream, system)


def _responses_call(
    client: OpenAI, model: str, items: list[Any], stream: bool, system: str = ""
) -> Shown:
    tool = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}
    request: dict[str, Any] = {
        "model": model,
        "input": items,
        "max_output_tokens": 50,
        "tools": [tool],
        "store": False,
    }
    if system:
        request["instructions"] = system
    if stream:
        whole: Any = None
        for each in client.responses.create(**request, stream=True):
            if each.type in ("response.completed", "response.incomplete"):
                whole = each.response
    else:
        whole = client.responses.create(**request)
    calls = [item for item in whole.output if item.type == "function_call"]
    thoughts = [item for item in whole.output if item.type == "reasoning"]
    is_short = whole.status == "incomplete"
    return Shown(
        text=whole.output_text,
        thoughts="".join(part.text for item in thoughts for part in item.summary),
        calls=tuple((call.call_id, json.loads(call.arguments)["city"]) for call in calls),
        stop="length" if is_short else "tools" if calls else "end",
        cost=getattr(whole.usage, "cost", None),
        input_tokens=whole.usage.input_tokens,
        output_tokens=whole.usage.output_tokens,
    )


class Hearer(NamedTuple):
    """An SDK: how it is connected, and how it asks. `answer` sends the results of tools."""

    connect: Callable[[str, str], Any]
    ask: AskFunction
    with_results: Callable[[str, tuple[tuple[str, str], ...]], list[Any]]
    """The messages of a conversation in which these calls were answered with the weather."""
    call: Callable[..., Shown]


def _openai(api: str, key: str) -> OpenAI:
    return OpenAI(base_url=api, api_key=key, max_retries=0, timeout=DEADLINE_S)


def _anthropic(api: str, key: str) -> Anthropic:
    base_url = api.removesuffix("/v1")  # this SDK appends the version itself
    return Anthropic(base_url=base_url, api_key=key, max_retries=0, timeout=DEADLINE_S)


def _chat_results(prompt: str, calls: tuple[tuple[str, str], ...]) -> list[Any]:
    made = [
        {
            "id": id_,
            "type": "function",
            "function": {"name": "weather", "arguments": json.dumps({"city": city})},
        }
        for id_, city in calls
    ]
    results = [
        {"role": "tool", "tool_call_id": id_, "content": f"sunny in {city}"} for id_, city in calls
    ]
    asked = {"role": "user", "content": prompt}
    return [asked, {"role": "assistant", "content": None, "tool_calls": made}, *results]


def _messages_results(prompt: str, calls: tuple[tuple[str, str], ...]) -> list[Any]:
    made = [
        {"type": "tool_use", "id": id_, "name": "weather", "input": {"city": city}}
        for id_, city in calls
    ]
    results = [
        {"type": "tool_result", "tool_use_id": id_, "content": f"sunny in {city}"}
        for id_, city in calls
    ]
    return [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": made},
        {"role": "user", "content": results},
    ]


def _responses_results(prompt: str, calls: tuple[tuple[str, str], ...]) -> list[Any]:
    made = [
        {
            "type": "function_call",
            "call_id": id_,
            "name": "weather",
            "arguments": json.dumps({"city": city}),
        }
        for id_, city in calls
    ]
    results = [
        {"type": "function_call_output", "call_id": id_, "output": f"sunny in {city}"}
        for id_, city in calls
    ]
    return [{"role": "user", "content": prompt}, *made, *results]


HEARERS = {
    "openai-chat": Hearer(_openai, _chat, _chat_results, _chat_call),
    "anthropic": Hearer(_anthropic, _messages, _messages_results, _messages_call),
    "openai-responses": Hearer(_openai, _responses, _responses_results, _responses_call),
}
"""The clients, by the dialect that they speak."""
