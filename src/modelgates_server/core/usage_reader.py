"""Reads the `usage` that a provider reports, under any provider's names, into disjoint classes.

What is read is one table: names x places. How the figures relate (a cache count inside the prompt
or beside it; reasoning inside the completion, beside it, or in the total alone) is told by
arithmetic where arithmetic can tell, then by what is known of the provider; otherwise it is as
OpenAI counts: inside.

Sources: OpenAI counts cached and audio tokens inside `prompt_tokens`, reasoning inside
`completion_tokens`. Anthropic and Bedrock count cache reads and writes beside `input_tokens`. xAI
leaves reasoning out of the completion and has it in the total; Gemini's compatible endpoint has it
in the total alone; Perplexity in neither. tests/core/golden_prices.json has an example of each.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Any

import msgspec

from modelgates_server.core.usage import COUNT_MAX, INPUTS, OUTPUTS, Usage

NOISE_PERCENT = 1
"""Reasoning that exceeds its completion by no more was counted twice, not beside it (Kimi K3)."""

_DIGITS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_MERGE_DEPTH = 3


class CacheTokens(StrEnum):
    """Where a provider counts what it reads from a cache and writes to it."""

    INSIDE = "inside"
    BESIDE = "beside"


class ReasoningTokens(StrEnum):
    """Where a provider counts reasoning: inside or beside the completion, or in the total alone."""

    INSIDE = "inside"
    BESIDE = "beside"
    IN_TOTAL = "in_total"


class UsageRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of how a provider counts; it decides only where arithmetic cannot.

    `trust_zero`: an explicit zero is believed even for what demonstrably went by.
    """

    cache: CacheTokens | None = None
    reasoning: ReasoningTokens | None = None
    trust_zero: bool = False


class UsageReading(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says.

    `usage` is None where no total can be believed. `unsplit_tokens` is the total of a report that
    names neither prompt nor completion. `trusted_input` and `trusted_output` say that the figure
    of that side, zero included, stands as reported; `says_zero_output` that there is one, and it is
    zero. `refused` counts members that were no counts; `unpriced` names units that were used and
    that no price covers.
    """

    usage: Usage | None = None
    unsplit_tokens: int = 0
    trusted_input: bool = False
    trusted_output: bool = False
    says_zero_output: bool = False
    refused: int = 0
    unpriced: tuple[str, ...] = ()

    def filled_from(self, other: "UsageReading") -> "UsageReading":
        """The same, with the other reading's figures for a side that this one has none of."""
        replace = msgspec.structs.replace
        usage, theirs = self.usage or Usage(), other.usage or Usage()
        for is_trusted, names in ((self.trusted_input, INPUTS), (self.trusted_output, OUTPUTS)):
            if not is_trusted:
                usage = replace(usage, **{str(name): getattr(theirs, name) for name in names})
        return UsageReading(
            usage=usage if self.usage or other.usage else None,
            unsplit_tokens=self.unsplit_tokens or other.unsplit_tokens,
            trusted_input=self.trusted_input or other.trusted_input,
            trusted_output=self.trusted_output or other.trusted_output,
            says_zero_output=self.says_zero_output or other.says_zero_output,
            refused=self.refused + other.refused,
            unpriced=tuple(sorted({*self.unpriced, *other.unpriced})),
        )


_TOP = ("",)
_INPUT_DETAILS = (
    "prompt_tokens_details",
    "input_tokens_details",
    "prompt_token_details",
    "input_token_details",
)
_OUTPUT_DETAILS = (
    "completion_tokens_details",
    "output_tokens_details",
    "completion_token_details",
    "output_token_details",
)
_CREATION = "cache_creation"
_CREATIONS = (_CREATION, *(f"{details}.{_CREATION}" for details in _INPUT_DETAILS))

_ROWS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    # (count, its names, the places where each name may stand)
    ("prompt", ("prompt_tokens", "input_tokens", "inputTokens"), _TOP),
    ("completion", ("completion_tokens", "output_tokens", "outputTokens"), _TOP),
    ("total", ("total_tokens", "totalTokens"), _TOP),
    (
        "cache_read",
        (
            "cached_tokens",  # OpenAI, Ark, Gemini, Groq, DashScope; Moonshot, Together at the top
            "cache_read_input_tokens",  # Anthropic
            "cache_read_tokens",
            "cached_input_tokens",
            "cached_prompt_tokens",
            "cached_prompt_text_tokens",  # xAI
            "prompt_cache_hit_tokens",  # DeepSeek
            "num_cached_tokens",  # Mistral
            "cacheReadInputTokens",  # Bedrock
            "cacheReadInputTokenCount",
        ),
        (*_TOP, *_INPUT_DETAILS),
    ),
    (
        "cache_write",
        (
            "cache_write_tokens",  # OpenAI, OpenRouter
            "cache_creation_input_tokens",  # Anthropic, DashScope
            "cache_creation_tokens",
            "cached_creation_tokens",
            "caching_tokens",
            "cache_write_input_tokens",
            "cacheWriteInputTokens",  # Bedrock
            "cacheWriteInputTokenCount",
        ),
        (*_TOP, *_INPUT_DETAILS),
    ),
    (
        "cache_write_5m",
        ("ephemeral_5m_input_tokens", "claude_cache_creation_5_m_tokens"),
        (*_TOP, *_INPUT_DETAILS, *_CREATIONS),
    ),
    (
        "cache_write_1h",
        ("ephemeral_1h_input_tokens", "claude_cache_creation_1_h_tokens"),
        (*_TOP, *_INPUT_DETAILS, *_CREATIONS),
    ),
    ("input_audio", ("audio_tokens",), _INPUT_DETAILS),
    ("input_audio", ("input_audio_tokens", "prompt_audio_tokens"), _TOP),
    ("input_image", ("image_tokens",), _INPUT_DETAILS),
    ("input_image", ("input_image_tokens", "prompt_image_tokens"), _TOP),
    ("reasoning", ("reasoning_tokens", "thinking_tokens"), (*_TOP, *_OUTPUT_DETAILS)),
    ("output_audio", ("audio_tokens",), _OUTPUT_DETAILS),
    ("output_audio", ("output_audio_tokens", "completion_audio_tokens"), _TOP),
    ("output_image", ("image_tokens",), _OUTPUT_DETAILS),
    ("output_image", ("output_image_tokens", "completion_image_tokens"), _TOP),
)

_TABLE: dict[str, dict[str, str]] = {}
"""By place, which count a name stands for."""
for _count_name, _names, _places in _ROWS:
    for _place in _places:
        _TABLE.setdefault(_place, {}).update(dict.fromkeys(_names, _count_name))

_UNPRICED = frozenset(
    {
        "citation_tokens",  # Perplexity
        "num_search_queries",
        "num_sources_used",  # xAI
        "search_units",
        "web_search_requests",  # Anthropic, in `server_tool_use`
        "web_fetch_requests",
    }
)
_UNPRICED_PLACES = ("", "server_tool_use", "server_side_tool_usage_details")


def merge_reports(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Two reports of one answer as one: of each member the larger count, of others the newer one.

    A later zero or absence takes nothing back: some servers end a stream with zeros.
    """
    return _merged(earlier, later, _MERGE_DEPTH) if earlier else dict(later)


def _merged(earlier: Mapping[str, Any], later: Mapping[str, Any], depth: int) -> dict[str, Any]:
    merged = dict(earlier)
    for name, new in later.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(new, dict) and depth:
            merged[name] = _merged(old, new, depth - 1)
        elif _replaces(new, old):
            merged[name] = new
    return merged


def _replaces(new: Any, old: Any) -> bool:
    """Whether a member's newer value stands: the larger of two counts, a count before junk."""
    if new is None or (isinstance(old, dict) and not isinstance(new, dict)):
        return False
    if read_count(old) is None:
        return True
    return read_count(new) is not None and _number(new) > _number(old)  # type: ignore[operator]


def add_choices(readings: Sequence[UsageReading]) -> UsageReading:
    """One reading of those of an answer's choices: what each wrote is added, the prompt is one."""
    usages = [reading.usage for reading in readings if reading.usage is not None]
    if not usages:
        return UsageReading(refused=sum(reading.refused for reading in readings))
    longest = max(usages, key=lambda usage: usage.prompt_tokens)
    written = {str(name): sum(getattr(usage, name) for usage in usages) for name in OUTPUTS}
    return UsageReading(
        usage=msgspec.structs.replace(longest, **written),
        trusted_input=any(reading.trusted_input for reading in readings),
        trusted_output=all(reading.trusted_output for reading in readings),
        says_zero_output=all(reading.says_zero_output for reading in readings),
        refused=sum(reading.refused for reading in readings),
        unpriced=tuple(sorted({name for reading in readings for name in reading.unpriced})),
    )


def read_usage(reported: Mapping[str, Any], rules: UsageRules) -> UsageReading:
    """Take a report apart. Nothing in it raises: what is no count is refused by itself.

    Classes never add up to more than the totals that they are part of.
    """
    counts = _Counts(reported)
    get = counts.by_name.get
    found = UsageReading(refused=counts.refused, unpriced=_unpriced(reported))
    prompt, completion, total = get("prompt"), get("completion"), get("total")
    if prompt is None and completion is None:
        return msgspec.structs.replace(found, unsplit_tokens=total or 0)
    usage = _classify(counts, rules)
    return msgspec.structs.replace(
        found,
        usage=usage,
        trusted_input=usage.prompt_tokens > 0 or (rules.trust_zero and prompt is not None),
        trusted_output=usage.completion_tokens > 0 or (rules.trust_zero and completion is not None),
        says_zero_output=completion == usage.completion_tokens == 0,
    )


class _Counts:
    """The counts of one report by the table's words; of one that is named twice the largest."""

    def __init__(self, reported: Mapping[str, Any]) -> None:
        self.by_name: dict[str, int] = {}
        self.refused = 0
        self._has_reasoning_detail = False
        for place, members in _objects(reported):
            names = _TABLE[place]
            for name, value in members.items():
                if name in names and value is not None:
                    self._add(names[name], value)
                    self._has_reasoning_detail |= bool(place) and names[name] == "reasoning"

    def _add(self, name: str, value: Any) -> None:
        count = read_count(value)
        if count is None:
            self.refused += 1
        else:
            self.by_name[name] = max(count, self.by_name.get(name, 0))

    @property
    def has_bounded_reasoning(self) -> bool:
        """Whether reasoning is a detail of a completion that a total bounds: a part of it."""
        return self._has_reasoning_detail and "total" in self.by_name

    @property
    def writes(self) -> tuple[int, int]:
        """All tokens written to a cache, and those of them that stay for an hour."""
        get = self.by_name.get
        hour = get("cache_write_1h", 0)
        return max(get("cache_write", 0), get("cache_write_5m", 0) + hour), hour


def _objects(reported: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The places of the table that a report has."""
    yield "", reported
    for name, value in reported.items():
        if isinstance(value, dict) and name in _TABLE:
            yield name, value
            inner = value.get(_CREATION)
            if isinstance(inner, dict) and f"{name}.{_CREATION}" in _TABLE:
                yield f"{name}.{_CREATION}", inner


def read_count(value: Any) -> int | None:
    """A number of tokens, a fraction rounded up; None for what is no count, such as -1 or NaN."""
    number = _number(value)
    if number is None or not 0 <= number <= COUNT_MAX:
        return None
    return int(number.to_integral_value(ROUND_CEILING))


def _number(value: Any) -> Decimal | None:
    """A finite number, also where it is written as text."""
    if type(value) is int:
        return Decimal(value)
    if type(value) is float:
        return Decimal(value) if math.isfinite(value) else None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return Decimal(value)
    return None


def _classify(counts: _Counts, rules: UsageRules) -> Usage:
    get = counts.by_name.get
    prompt, completion, total = get("prompt", 0), get("completion"), get("total", 0)
    reads, (writes, hour) = get("cache_read", 0), counts.writes
    if not prompt:
        # The prompt is never empty: what the total leaves is the prompt, and not reasoning. It has
        # the caches in it, also where they are beside a prompt that was cached whole (Bedrock).
        prompt = max(0, total - (completion or 0))
        if prompt:
            rules = msgspec.structs.replace(rules, cache=CacheTokens.INSIDE)
    rest = max(0, total - prompt - (completion or 0))
    beside = _beside(counts, rules, prompt, rest)
    rest = max(0, rest - beside.cache_tokens - beside.reasoning_tokens)
    inputs = {
        "cache_read": reads,
        "cache_write_1h": hour,
        "cache_write": writes - hour,
        "input_audio": get("input_audio", 0),
        "input_image": get("input_image", 0),
    }
    classes: dict[str, Any] = _split("input", prompt + beside.cache_tokens, inputs)
    if completion is None:
        classes |= _outputs(counts, rest, 0, beside.reasoning_tokens)
    else:
        classes |= _outputs(counts, completion, rest, beside.reasoning_tokens)
    return Usage(**classes)


class _Beside(msgspec.Struct, frozen=True):
    """Tokens that are counted beside the prompt and beside the completion."""

    cache_tokens: int
    reasoning_tokens: int


def _outputs(counts: _Counts, written: int, hidden: int, beside: int) -> dict[str, int]:
    """What was written, reasoning that stands in the total alone, and reasoning beside both."""
    get = counts.by_name.get
    reasoning = get("reasoning", 0)
    whole = written + hidden
    if not beside and reasoning > whole and not counts.has_bounded_reasoning:
        if (reasoning - whole) * 100 > NOISE_PERCENT * whole:
            beside = reasoning
        else:
            whole = reasoning
    parts = {
        "reasoning": beside + hidden if beside else max(hidden, reasoning),
        "output_audio": get("output_audio", 0),
        "output_image": get("output_image", 0),
    }
    return _split("output", whole + beside, parts)


def _beside(counts: _Counts, rules: UsageRules, prompt: int, rest: int) -> _Beside:
    """What is counted beside; `rest` is what the total has beyond prompt and completion."""
    reads, (writes, _) = counts.by_name.get("cache_read", 0), counts.writes
    cache, reasoning = reads + writes, counts.by_name.get("reasoning", 0)
    if rest and rules.reasoning is not ReasoningTokens.IN_TOTAL:
        # The total tells, where some of the counts add up to exactly what it has more.
        options = [
            _Beside(part, thought)
            for thought in (0, reasoning)
            for part in (cache, reads, writes, 0)
            if part + thought == rest
        ]
        if options:
            return min(options, key=lambda told: _surprise(told, rules, cache, reasoning))
    is_beside = cache > prompt or rules.cache is CacheTokens.BESIDE
    return _Beside(
        cache if is_beside else 0,
        reasoning if rules.reasoning is ReasoningTokens.BESIDE else 0,
    )


def _surprise(told: _Beside, rules: UsageRules, cache: int, reasoning: int) -> int:
    """How many of the rules an explanation breaks; of several the first is taken: the cache."""
    return sum(
        (
            rules.cache is CacheTokens.INSIDE and told.cache_tokens > 0,
            rules.cache is CacheTokens.BESIDE and told.cache_tokens < cache,
            rules.reasoning is ReasoningTokens.INSIDE and told.reasoning_tokens > 0,
            rules.reasoning is ReasoningTokens.BESIDE and told.reasoning_tokens < reasoning,
        )
    )


def _split(rest: str, whole: int, parts: Mapping[str, int]) -> dict[str, int]:
    """Give each part what is left of the whole, in order; the remainder is the plain class."""
    counts = {}
    for name, asked in parts.items():
        if asked:
            counts[name] = min(asked, whole)
            whole -= counts[name]
    counts[rest] = whole
    return counts


def _unpriced(reported: Mapping[str, Any]) -> tuple[str, ...]:
    """Units that were used and that no meter counts, such as searches."""
    found = []
    for place in _UNPRICED_PLACES:
        members = reported.get(place) if place else reported
        if isinstance(members, dict):
            found += [name for name in members.keys() & _UNPRICED if read_count(members[name])]
    return tuple(sorted(found))
