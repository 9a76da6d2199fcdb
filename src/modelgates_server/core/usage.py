"""What a call used, in classes that do not overlap, whatever way its provider counts.

Sources: OpenAI's API reference counts cached and audio tokens inside `prompt_tokens`, reasoning and
audio tokens inside `completion_tokens`. xAI and Gemini's compatible endpoint leave reasoning out of
`completion_tokens` and have it in `total_tokens` alone. DeepSeek, Moonshot and Mistral name cached
tokens in places of their own. tests/core/golden_prices.json has an example of each.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeGuard

import msgspec

COUNT_MAX = 10**9
"""A count above this is no count: no model reads or writes so much in one call."""

BYTES_PER_TOKEN = 4
"""What a token is taken for where nobody counted: OpenAI's rule of thumb for English text."""

MESSAGE_TOKENS = 4

_TOTALS = ("prompt_tokens", "completion_tokens", "total_tokens")
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
"""Where DeepSeek, Moonshot and Mistral say what was read from a cache."""


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
_CLASSES = (*INPUTS, *OUTPUTS)


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one call by class; members are named as the meters are, and stand in their order.

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
        assert min(msgspec.structs.astuple(self)) >= 0, self

    def quantities(self) -> Iterator[tuple[Meter, int]]:
        """Every token class with its count, zeros included."""
        return zip(_CLASSES, msgspec.structs.astuple(self), strict=False)

    @property
    def prompt_tokens(self) -> int:
        """All that was read."""
        return sum(msgspec.structs.astuple(self)[: len(INPUTS)])

    @property
    def completion_tokens(self) -> int:
        """All that was written, reasoning included."""
        return sum(msgspec.structs.astuple(self)[len(INPUTS) : len(_CLASSES)])


def read_usage(reported: Mapping[str, Any]) -> Usage | None:
    """Take an OpenAI-shaped `usage` object apart; None when it cannot be believed.

    A total that is no count, such as -1, makes the whole report worthless. Details are bounded by
    the total that they are part of, so the classes add up to it whatever a provider claims. Cached
    audio counts as `cache_read`: no provider says how much of it there is.
    """
    totals = [reported.get(name) for name in _TOTALS]
    for total in totals:
        if total is not None and not _is_count(total):
            return None
    if totals == [None, None, None]:
        return None
    prompt, completion = totals[0] or 0, totals[1] or 0
    details = _details(reported, "completion_tokens_details")
    reasoning = _count(details, "reasoning_tokens")
    if totals[2] is not None:
        hidden = max(0, totals[2] - prompt - completion)
    else:
        # More than all that was written: then it stands beside, and not inside.
        hidden = reasoning if reasoning > completion else 0
    written = {
        "reasoning": max(hidden, reasoning),
        "output_audio": _count(details, "audio_tokens"),
        "output_image": _count(details, "image_tokens"),
    }
    classes: dict[str, Any] = {
        **_split("input", prompt, _inputs(reported)),
        **_split("output", completion + hidden, written),
    }
    return Usage(**classes)


def _inputs(reported: Mapping[str, Any]) -> dict[str, int]:
    details = _details(reported, "prompt_tokens_details")
    return {
        "cache_read": max(
            _count(details, "cached_tokens"),
            _count(_details(reported, "prompt_token_details"), "cached_tokens"),
            *(_count(reported, name) for name in _CACHED),
        ),
        "cache_write": _count(details, "cache_write_tokens"),
        "input_audio": _count(details, "audio_tokens"),
        "input_image": _count(details, "image_tokens"),
    }


def _split(rest: str, whole: int, parts: dict[str, int]) -> dict[str, int]:
    """Give each part what is left of the whole, in order; the remainder is the plain class."""
    counts = {}
    for name, asked in parts.items():
        if asked:
            counts[name] = min(asked, whole)
            whole -= counts[name]
    counts[rest] = whole
    return counts


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


def _count(members: Mapping[str, Any], name: str) -> int:
    """A detail; what is no count is 0, which leaves the tokens in the class around it."""
    value = members.get(name)
    return value if _is_count(value) else 0


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= COUNT_MAX
