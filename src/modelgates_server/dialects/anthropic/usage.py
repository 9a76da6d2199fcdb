"""Anthropic's usage in the form of chat completions, which `openai_chat.usage` reads.

Anthropic's counts are disjoint: `input_tokens` excludes cache reads and writes. The form of chat
completions includes them. There is no other translation of usage, so that a call costs the same
whether it passes through or is translated.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.money import format_pico
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.dialects.openai_chat.usage import read_count

_READ, _WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"
_INPUTS, _OUTPUT = ("input_tokens", _READ, _WRITTEN), "output_tokens"
_SPLIT = "cache_creation"
_FIVE_MINUTES, _HOUR = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"
_UNPRICED = "server_tool_use"


def merged_usage(start: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """The usage of `message_start`, overwritten by the fields of a `message_delta`.

    Counts are cumulative, so they are never added. A null changes nothing, and neither does an
    input of zero: no prompt is empty, but some servers fill the last report with zeros.
    """
    given = {name: value for name, value in later.items() if value is not None}
    if not any(read_count(given.get(name)) for name in _INPUTS):
        given = {name: value for name, value in given.items() if name not in _INPUTS}
    if read_count(given.get(_OUTPUT)) == 0 and read_count(start.get(_OUTPUT)):
        del given[_OUTPUT]
    return {**start, **given}


def chat_usage(
    usage: Mapping[str, Any], *, writes_1h: bool, has_output: bool = True
) -> dict[str, Any]:
    """A usage object in the form of chat completions.

    `writes_1h`: the request asks for cache entries of an hour. Writes whose time to live is not
    reported are then priced as such, the higher price. Without `has_output`, the output is not
    known yet: `message_start` has a placeholder.
    """
    read, written, split = _counts(usage, writes_1h=writes_1h)
    fresh = usage.get("input_tokens")
    is_known = read_count(fresh) is not None
    prompt = (read_count(fresh) or 0) + read + written if is_known else fresh
    chat: dict[str, Any] = {
        "prompt_tokens": prompt,
        "prompt_tokens_details": {
            "cached_tokens": read,
            "cache_write_tokens": written,
            _SPLIT: split,
        },
    }
    if has_output:
        details = usage.get("output_tokens_details")
        thinking = details.get("thinking_tokens") if isinstance(details, dict) else None
        chat["completion_tokens"] = usage.get("output_tokens")
        chat["completion_tokens_details"] = {"reasoning_tokens": thinking or 0}
    if isinstance(usage.get(_UNPRICED), dict):
        chat[_UNPRICED] = usage[_UNPRICED]
    if "service_tier" in usage:
        chat["service_tier"] = usage["service_tier"]
    return chat


def _counts(usage: Mapping[str, Any], *, writes_1h: bool) -> tuple[int, int, dict[str, int]]:
    """Cache reads, cache writes, and the writes by their time to live."""
    given = usage.get(_SPLIT)
    parts = given if isinstance(given, dict) else {}
    five, hour = (read_count(parts.get(name)) or 0 for name in (_FIVE_MINUTES, _HOUR))
    written = max(read_count(usage.get(_WRITTEN)) or 0, five + hour)
    rest = written - five - hour
    if writes_1h:
        hour += rest
    else:
        five += rest
    return read_count(usage.get(_READ)) or 0, written, {_FIVE_MINUTES: five, _HOUR: hour}


def usage_object(generation: Generation) -> dict[str, Any]:
    """`usage` in Anthropic's form, with the exact `cost` in dollars that the account is charged."""
    usage = generation.usage or Usage()
    return {
        "input_tokens": usage.input + usage.input_audio + usage.input_image,
        _WRITTEN: usage.cache_write + usage.cache_write_1h,
        _READ: usage.cache_read,
        _SPLIT: {_FIVE_MINUTES: usage.cache_write, _HOUR: usage.cache_write_1h},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "cost": cost_number(generation),
    }


def cost_number(generation: Generation) -> msgspec.Raw:
    """The charge as a JSON number."""
    return msgspec.Raw(format_pico(generation.cost_pico).encode())
