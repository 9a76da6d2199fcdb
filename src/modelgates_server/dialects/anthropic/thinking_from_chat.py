"""Writes the reasoning of a chat request as `thinking` and `output_config.effort`."""

from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.anthropic.effort import (
    BUDGET_MIN,
    SHARES,
    ClaudeModel,
    budget_of,
    effort_of,
    level_of,
)
from modelgates_server.dialects.anthropic.omissions import Omissions
from modelgates_server.dialects.json_object import JsonObject, says_nothing
from modelgates_server.dialects.openai_chat.reasoning import Reasoning, read_reasoning

_NULL = msgspec.Raw(b"null")
_EFFORT = "reasoning_effort"


def thinking_of(
    wire: JsonObject, claude: ClaudeModel, cap_tokens: int, omissions: Omissions
) -> dict[str, Any]:
    """`thinking` and `output_config` for a model; empty if the client says nothing about it.

    Raises `InvalidInput` if the client turns reasoning off and the model always thinks.
    """
    reasoning = read_reasoning(wire)
    if not (reasoning.is_on or reasoning.is_off) and _EFFORT in wire:
        reasoning = _of_effort(bytes(wire[_EFFORT]), reasoning)
    if reasoning.is_off:
        if "disabled" not in claude.thinking:
            raise InvalidInput(
                "`reasoning` cannot be turned off: this model always thinks. Leave `reasoning` "
                "out, lower its `effort`, or choose another model."
            )
        return {"thinking": {"type": "disabled"}}
    if not reasoning.is_on:
        own = bytes(wire.get("thinking", _NULL))
        return {} if says_nothing(own) else {"thinking": msgspec.Raw(own)}
    if "adaptive" in claude.thinking and not _is_budget(reasoning, claude):
        return _adaptive(reasoning, claude, cap_tokens)
    return _enabled(reasoning, cap_tokens, omissions)


def _of_effort(raw: bytes, reasoning: Reasoning) -> Reasoning:
    effort = msgspec.json.decode(raw, type=str | None)
    if effort is not None and effort not in ("none", *SHARES):
        known = ", ".join(f"`{each}`" for each in ("none", *SHARES))
        raise InvalidInput(f"`{_EFFORT}` must be one of {known}, not `{effort:.80}`.")
    return Reasoning(
        effort=effort,  # type: ignore[arg-type]  # just checked
        exclude=reasoning.exclude,
    )


def _is_budget(reasoning: Reasoning, claude: ClaudeModel) -> bool:
    """Whether the client's number of tokens can be sent as it is."""
    return reasoning.max_tokens is not None and "enabled" in claude.thinking


def _adaptive(reasoning: Reasoning, claude: ClaudeModel, cap_tokens: int) -> dict[str, Any]:
    display = "omitted" if reasoning.exclude else "summarized"
    body: dict[str, Any] = {"thinking": {"type": "adaptive", "display": display}}
    effort: str | None = reasoning.effort
    if reasoning.max_tokens is not None:
        effort = effort_of(reasoning.max_tokens, cap_tokens)
    if effort is not None and (level := level_of(effort, claude.efforts)) is not None:
        body["output_config"] = {"effort": level}
    return body


def _enabled(reasoning: Reasoning, cap_tokens: int, omissions: Omissions) -> dict[str, Any]:
    budget = (
        budget_of(reasoning.effort or "medium", cap_tokens)
        if reasoning.max_tokens is None
        else min(max(reasoning.max_tokens, BUDGET_MIN), cap_tokens - 1)
    )
    if budget is None or budget < BUDGET_MIN:
        omissions.add("reasoning")  # no room for both thinking and a response
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}
