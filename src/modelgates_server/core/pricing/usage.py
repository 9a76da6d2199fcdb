"""The usage of a call in disjoint classes, and how a provider's report of it is read."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from operator import attrgetter

import msgspec

COUNT_MAX = 10**9
"""Higher counts are invalid: no model reads or writes this many tokens in one call."""

BYTES_PER_TOKEN = 4
"""The size of a token in estimates: OpenAI's rule of thumb for English text."""

MESSAGE_TOKENS = 4


class Meter(StrEnum):
    """A unit that is counted and priced. The classes are disjoint: a token is in exactly one."""

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


_PART_OF: Mapping[Meter, Meter] = {
    Meter.CACHE_READ: Meter.INPUT,
    Meter.CACHE_WRITE: Meter.INPUT,
    Meter.CACHE_WRITE_1H: Meter.CACHE_WRITE,
    Meter.INPUT_AUDIO: Meter.INPUT,
    Meter.INPUT_IMAGE: Meter.INPUT,
    Meter.REASONING: Meter.OUTPUT,
    Meter.OUTPUT_AUDIO: Meter.OUTPUT,
    Meter.OUTPUT_IMAGE: Meter.OUTPUT,
}
"""The class that contains each class. Its rate applies to a class without a rate."""


def containing_classes(meter: Meter) -> tuple[Meter, ...]:
    """Returns the classes that contain a class, the nearest first."""
    nearest = _PART_OF.get(meter)
    return () if nearest is None else (nearest, *containing_classes(nearest))


def _parts(whole: Meter) -> tuple[Meter, ...]:
    return tuple(meter for meter in Meter if whole in (meter, *containing_classes(meter)))


INPUTS = _parts(Meter.INPUT)
OUTPUTS = _parts(Meter.OUTPUT)
MEDIA_INPUTS = (Meter.INPUT_AUDIO, Meter.INPUT_IMAGE)
MEDIA_OUTPUTS = (Meter.OUTPUT_AUDIO, Meter.OUTPUT_IMAGE)
_CLASSES = (*INPUTS, *OUTPUTS)

_input_counts = attrgetter(*INPUTS)
_output_counts = attrgetter(*OUTPUTS)


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The tokens of one call by class. The fields have the names of the meters.

    `estimated`: the provider did not report all counts, so the gateway estimated them.
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
        """Returns every token class with its count, zeros included."""
        return ((meter, getattr(self, meter)) for meter in _CLASSES)

    @property
    def prompt_tokens(self) -> int:
        """All input tokens."""
        return sum(_input_counts(self))

    @property
    def completion_tokens(self) -> int:
        """All output tokens, including reasoning."""
        return sum(_output_counts(self))


class CacheTokens(StrEnum):
    """Whether a provider counts cache tokens inside its prompt tokens or separately (`BESIDE`)."""

    INSIDE = "inside"
    BESIDE = "beside"


class ReasoningTokens(StrEnum):
    """Whether a provider counts reasoning in the completion, separately, or only in the total."""

    INSIDE = "inside"
    BESIDE = "beside"
    IN_TOTAL = "in_total"


class UsageRules(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider counts. The rules apply only if arithmetic leaves the question open.

    `cache` and `reasoning` are settings. `known_cache` and `known_reasoning` are known facts about
    the host. They apply to top-level counts of a report; a count in the details of another count is
    always part of that one. `trust_zero`: an explicit zero is accepted even for relayed output.
    """

    cache: CacheTokens | None = None
    reasoning: ReasoningTokens | None = None
    known_cache: CacheTokens | None = None
    known_reasoning: ReasoningTokens | None = None
    trust_zero: bool = False


class UsageReading(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a provider's usage report.

    `usage` is None if no total is plausible. `unsplit_tokens` is the total of a report that names
    neither prompt nor completion. `trusted_input` and `trusted_output` say that the count of that
    side is used as reported, even if it is zero. `says_zero_output` says that the report has an
    output count of zero. `refused` is the number of fields with invalid counts. `unpriced` names
    units that were used but have no price.
    """

    usage: Usage | None = None
    unsplit_tokens: int = 0
    trusted_input: bool = False
    trusted_output: bool = False
    says_zero_output: bool = False
    refused: int = 0
    unpriced: tuple[str, ...] = ()

    def filled_from(self, other: "UsageReading") -> "UsageReading":
        """Returns this reading, with the other one's counts for a side that this one lacks."""
        replace = msgspec.structs.replace
        usage, other_usage = self.usage or Usage(), other.usage or Usage()
        for is_trusted, names in ((self.trusted_input, INPUTS), (self.trusted_output, OUTPUTS)):
            if not is_trusted:
                usage = replace(usage, **{str(name): getattr(other_usage, name) for name in names})
        return UsageReading(
            usage=usage if self.usage or other.usage else None,
            unsplit_tokens=self.unsplit_tokens or other.unsplit_tokens,
            trusted_input=self.trusted_input or other.trusted_input,
            trusted_output=self.trusted_output or other.trusted_output,
            says_zero_output=self.says_zero_output or other.says_zero_output,
            refused=self.refused + other.refused,
            unpriced=tuple(sorted({*self.unpriced, *other.unpriced})),
        )


def estimate_usage(*, text_bytes: int, messages: int, output_bytes: int) -> Usage:
    """Estimates usage that the provider did not report, with about four bytes for each token."""
    return Usage(
        input=-(-text_bytes // BYTES_PER_TOKEN) + MESSAGE_TOKENS * messages,
        output=-(-output_bytes // BYTES_PER_TOKEN),
        estimated=True,
    )
