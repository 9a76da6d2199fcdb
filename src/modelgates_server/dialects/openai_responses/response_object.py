"""The response object: in plain responses, and in the first and last events of a stream.

All members are always there, because OpenRouter's clients drop a response that lacks one. What the
request sets is repeated. Shape: OpenAI's API reference, "The response object".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.money import format_pico
from modelgates_server.core.pricing.usage import Usage

Item = dict[str, Any]

_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": 1,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1,
    "truncation": "disabled",
    "user": None,
}
"""Members that repeat the request, with their values if it does not set them."""

_FIXED: dict[str, Any] = {
    "background": False,
    "max_tool_calls": None,
    "previous_response_id": None,
    "store": False,
    "presence_penalty": 0,
    "frequency_penalty": 0,
}

_NEEDED = (
    *("completed_at", "created_at", "error", "frequency_penalty", "id", "incomplete_details"),
    *("instructions", "metadata", "model", "object", "output", "parallel_tool_calls"),
    *("presence_penalty", "status", "temperature", "tool_choice", "tools", "top_p"),
)
"""The members without which OpenRouter's clients drop a response."""


def response_object(
    generation: Generation,
    wire: Mapping[str, msgspec.Raw],
    status: str,
    output: Sequence[Item] = (),
    *,
    error: dict[str, Any] | None = None,
    reason: str | None = None,
    usage: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A response of a generation. `reason` says why it is incomplete; times are in seconds."""
    echoed = {name: _given(wire, name, default) for name, default in _ECHOED.items()}
    ended_ms = generation.ended_at_ms
    return {
        "id": generation.id,
        "object": "response",
        "created_at": generation.created_at_ms // 1000,
        "completed_at": None if status != "completed" or not ended_ms else ended_ms // 1000,
        "status": status,
        "error": error,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": generation.model,
        "output": list(output),
        "output_text": output_text(output),
        "service_tier": generation.service_tier or "default",
        **echoed,
        **_FIXED,
        "usage": usage,
    }


def complete(
    response: Mapping[str, Any],
    generation: Generation,
    wire: Mapping[str, msgspec.Raw],
    status: str,
) -> Mapping[str, Any]:
    """A provider's response, with the members that it lacks but clients need."""
    missing = [name for name in _NEEDED if name not in response]
    if not missing:
        return response
    whole = response_object(generation, wire, status)
    return {**response, **{name: whole[name] for name in missing}}


def output_text(output: Sequence[Item]) -> str:
    """The text of all messages."""
    return "".join(
        part["text"]
        for item in output
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    )


def usage_object(generation: Generation) -> dict[str, Any]:
    """`usage` in the form of this API, with the exact `cost` in dollars as OpenRouter adds it."""
    usage = generation.usage or Usage()
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        **cost_fields(generation),
    }


def cost_fields(generation: Generation) -> dict[str, Any]:
    """The charge of the account."""
    return {"cost": msgspec.Raw(format_pico(generation.cost_pico).encode()), "is_byok": False}


def _given(wire: Mapping[str, msgspec.Raw], name: str, default: Any) -> Any:
    raw = wire.get(name)
    return default if raw is None or bytes(raw) == b"null" else raw
