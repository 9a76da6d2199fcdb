"""What a call used, in classes that do not overlap, whatever way its provider counts.

Sources: OpenAI's API reference counts cached and audio tokens inside `prompt_tokens`, reasoning and
audio tokens inside `completion_tokens`. xAI and Gemini's compatible endpoint leave reasoning out of
`completion_tokens` and have it in `total_tokens` alone. DeepSeek and Moonshot name cached tokens at
the top of the object.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

COUNT_MAX = 10**9
"""A count above this is no count: no model reads or writes so much in one call."""

BYTES_PER_TOKEN = 4
"""What a token is taken for where nobody counted: OpenAI's rule of thumb for English text."""

MESSAGE_TOKENS = 4


class Meter(StrEnum):
    """What is counted and priced. The classes are disjoint: a token is in exactly one."""

    INPUT = "input"
    CACHE_READ = "cache_read"
    CACHE_WRITE = "cache_write"
    CACHE_WRITE_1H = "cache_write_1h"
    INPUT_AUDIO = "input_audio"
    INPUT_IMAGE = "input_image"
    OUTPUT = "output"
    REASONING = "reasoning"
    OUTPUT_AUDIO = "output_audio"
    OUTPUT_IMAGE = "output_image"
    REQUEST = "request"


INPUTS = (
    Meter.INPUT,
    Meter.CACHE_READ,
    Meter.CACHE_WRITE,
    Meter.CACHE_WRITE_1H,
    Meter.INPUT_AUDIO,
    Meter.INPUT_IMAGE,
)
OUTPUTS = (Meter.OUTPUT, Meter.REASONING, Meter.OUTPUT_AUDIO, Meter.OUTPUT_IMAGE)


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one call by class; members are named as the meters are.

    `estimated`: the provider did not say, so we counted what went by.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    input_image: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    estimated: bool = False

    def __post_init__(self) -> None:
        assert all(quantity >= 0 for _, quantity in self.quantities()), self

    def quantities(self) -> list[tuple[Meter, int]]:
        """Every token class with its count, zeros included."""
        return [(meter, getattr(self, meter)) for meter in (*INPUTS, *OUTPUTS)]

    @property
    def prompt_tokens(self) -> int:
        """All that was read."""
        return sum(getattr(self, meter) for meter in INPUTS)

    @property
    def completion_tokens(self) -> int:
        """All that was written, reasoning included."""
        return sum(getattr(self, meter) for meter in OUTPUTS)


def read_usage(reported: Mapping[str, Any]) -> Usage | None:
    """Take an OpenAI-shaped `usage` object apart; None when it cannot be believed.

    A negative count is 0: usage never gives money back. Details are bounded by the total that they
    are part of, so the classes add up to it whatever a provider claims.
    """
    prompt, completion = _count(reported, "prompt_tokens"), _count(reported, "completion_tokens")
    total = _count(reported, "total_tokens")
    if prompt is None and completion is None and total is None:
        return None
    counts = (prompt or 0, completion or 0, total or 0)
    if max(counts) > COUNT_MAX:
        return None
    classes: dict[str, Any] = {**_inputs(reported, counts[0]), **_outputs(reported, *counts)}
    return Usage(**classes)


def _inputs(reported: Mapping[str, Any], prompt: int) -> dict[str, int]:
    details = _details(reported, "prompt_tokens_details")
    cached = (
        _count(details, "cached_tokens")
        or _count(reported, "prompt_cache_hit_tokens")
        or _count(reported, "cached_tokens")
        or 0
    )
    parts = {
        "cache_read": cached,
        "cache_write": _count(details, "cache_write_tokens") or 0,
        "input_audio": _count(details, "audio_tokens") or 0,
        "input_image": _count(details, "image_tokens") or 0,
    }
    return _split("input", prompt, parts)


def _outputs(
    reported: Mapping[str, Any], prompt: int, completion: int, total: int
) -> dict[str, int]:
    details = _details(reported, "completion_tokens_details")
    hidden = max(0, total - prompt - completion)
    parts = {
        "reasoning": max(hidden, _count(details, "reasoning_tokens") or 0),
        "output_audio": _count(details, "audio_tokens") or 0,
        "output_image": _count(details, "image_tokens") or 0,
    }
    return _split("output", completion + hidden, parts)


def _split(rest: str, whole: int, parts: dict[str, int]) -> dict[str, int]:
    """Give each part what is left of the whole, in order; the remainder is the plain class."""
    counts = {}
    for name, asked in parts.items():
        counts[name] = min(asked, whole)
        whole -= counts[name]
    return {rest: whole, **counts}


def estimate_usage(*, text_bytes: int, messages: int, output_bytes: int) -> Usage:
    """Count locally what the provider did not: about four bytes of text are a token."""
    return Usage(
        input=-(-text_bytes // BYTES_PER_TOKEN) + MESSAGE_TOKENS * messages,
        output=-(-output_bytes // BYTES_PER_TOKEN),
        estimated=True,
    )


def _details(reported: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = reported.get(name)
    return details if isinstance(details, dict) else {}


def _count(members: Mapping[str, Any], name: str) -> int | None:
    value = members.get(name)
    return max(0, value) if type(value) is int else None
