"""What a call used, in classes that do not overlap."""

from collections.abc import Iterator
from enum import StrEnum

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


def estimate_usage(*, text_bytes: int, messages: int, output_bytes: int) -> Usage:
    """Count locally what the provider did not: about four bytes of text are a token."""
    return Usage(
        input=-(-text_bytes // BYTES_PER_TOKEN) + MESSAGE_TOKENS * messages,
        output=-(-output_bytes // BYTES_PER_TOKEN),
        estimated=True,
    )
