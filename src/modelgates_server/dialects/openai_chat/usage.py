"""Reads the `usage` that a provider reports, under any provider's names, into disjoint classes.

One table defines what is read: names x places. Counts relate in different ways: cached tokens are
part of the prompt or separate from it; reasoning is part of the completion, separate from it, or
only part of the total. Arithmetic decides where it can, then the rules known for the provider.
Otherwise OpenAI's way applies: all are part of the prompt or completion.

Sources: OpenAI counts cached and audio tokens in `prompt_tokens`, and reasoning in
`completion_tokens`. Anthropic and Bedrock count cache reads and writes separately from
`input_tokens`. xAI counts reasoning in the total and not in the completion, Gemini's compatible
endpoint only in the total, and Perplexity in neither. tests/core/pricing/golden_prices.json has an
example of each.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from itertools import combinations
from typing import Any

import msgspec

from modelgates_server.core.pricing.usage import (
    COUNT_MAX,
    MEDIA_INPUTS,
    MEDIA_OUTPUTS,
    OUTPUTS,
    CacheTokens,
    ReasoningTokens,
    Usage,
    UsageReading,
    UsageRules,
)
from modelgates_server.dialects.openai_chat.usage_names import PLACES, UNPRICED, UNPRICED_PLACES

NOISE_PERCENT = 1
"""Reasoning that exceeds its completion by at most this much is still part of it (Kimi K3)."""

_DIGITS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_MERGE_DEPTH = 3


def merge_reports(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Two reports of one response as one, with the larger of two counts and the newer other value.

    A later zero or missing count does not replace an earlier one: some servers end a stream with
    zeros.
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
    """Whether a field's newer value wins: the larger count does, and a count beats junk."""
    if type(new) is int and type(old) is int and 0 <= old <= COUNT_MAX:
        return old < new <= COUNT_MAX
    if new is None or (isinstance(old, dict) and not isinstance(new, dict)):
        return False
    if read_count(old) is None:
        return True
    return read_count(new) is not None and _number(new) > _number(old)  # type: ignore[operator]


def add_choices(readings: Sequence[UsageReading]) -> UsageReading:
    """One reading for all choices of a response: outputs are added, the prompt counts once."""
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
    """Split a report into classes. Never raises: an invalid count is only counted as refused.

    Classes never add up to more than the total that they are part of.
    """
    counts = _Counts(reported)
    get = counts.by_name.get
    reading = UsageReading(refused=counts.refused, unpriced=_unpriced(reported))
    prompt, completion, total = get("prompt"), get("completion"), get("total")
    if prompt is None and completion is None:
        return msgspec.structs.replace(reading, unsplit_tokens=total or 0)
    usage = _classify(counts, rules)
    return msgspec.structs.replace(
        reading,
        usage=usage,
        trusted_input=usage.prompt_tokens > 0 or (rules.trust_zero and prompt is not None),
        trusted_output=usage.completion_tokens > 0 or (rules.trust_zero and completion is not None),
        says_zero_output=completion == usage.completion_tokens == 0,
    )


class _Counts:
    """The counts of one report by the table's names; the largest if a count has several names."""

    def __init__(self, reported: Mapping[str, Any]) -> None:
        self.by_name: dict[str, int] = {}
        self.refused = 0
        self._at_top: set[str] = set()
        for path, members in _objects(reported):
            names = PLACES[path]
            for name, value in members.items():
                if name in names and value is not None:
                    self._add(names[name], value, at_top=path == "")

    def _add(self, name: str, value: Any, *, at_top: bool) -> None:
        count = read_count(value)
        if count is None:
            self.refused += 1
            return
        self.by_name[name] = max(count, self.by_name.get(name, 0))
        if at_top and count:
            self._at_top.add(name)

    @property
    def has_bounded_reasoning(self) -> bool:
        """Whether reasoning is a detail of a completion that a total limits, and so part of it."""
        return "reasoning" not in self._at_top and "total" in self.by_name

    @property
    def reads(self) -> int:
        """Tokens read from a cache."""
        return self.by_name.get("cache_read", 0)

    @property
    def writes(self) -> tuple[int, int]:
        """All tokens written to a cache, and how many of them are kept for an hour."""
        get = self.by_name.get
        hour = get("cache_write_1h", 0)
        return max(get("cache_write", 0), get("cache_write_5m", 0) + hour), hour

    @property
    def media(self) -> dict[str, int]:
        """Input tokens of audio, images and other media."""
        return {str(meter): self.by_name.get(meter, 0) for meter in MEDIA_INPUTS}

    def relations(self, rules: UsageRules) -> tuple[CacheTokens | None, ReasoningTokens | None]:
        """The rules that apply to this report."""
        cache, reasoning = rules.cache, rules.reasoning
        if cache is None and self._at_top & {"cache_read", "cache_write"}:
            cache = rules.known_cache
        is_hidden = rules.known_reasoning is ReasoningTokens.IN_TOTAL
        if reasoning is None and (is_hidden or "reasoning" in self._at_top):
            reasoning = rules.known_reasoning
        return cache, reasoning


def _objects(members: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a report that the table names as places, starting with the report itself."""
    yield path, members
    for name, value in members.items():
        inner = f"{path}.{name}" if path else name
        if isinstance(value, dict) and inner in PLACES:
            yield from _objects(value, inner)


def read_count(value: Any) -> int | None:
    """A number of tokens, with fractions rounded up; None for an invalid count (-1, NaN)."""
    if type(value) is int:
        return value if 0 <= value <= COUNT_MAX else None
    number = _number(value)
    if number is None or not 0 <= number <= COUNT_MAX:
        return None
    return int(number.to_integral_value(ROUND_CEILING))


def _number(value: Any) -> Decimal | None:
    """A finite number, even if it is written as text."""
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
    writes, hour = counts.writes
    if not prompt:
        # The prompt is never empty, so the rest of the total is the prompt and not reasoning. It
        # includes the caches, even those of a fully cached prompt, which Bedrock counts separately.
        prompt = max(0, total - (completion or 0))
        if prompt:
            rules = msgspec.structs.replace(rules, cache=CacheTokens.INSIDE)
    rest = max(0, total - prompt - (completion or 0))
    beside = _beside(counts, rules, prompt, rest)
    rest = max(0, rest - beside.input_tokens - beside.reasoning_tokens)
    inputs = {
        "cache_read": counts.reads,
        "cache_write_1h": hour,
        "cache_write": writes - hour,
        **counts.media,
    }
    classes: dict[str, Any] = _split("input", prompt + beside.input_tokens, inputs)
    if completion is None:
        classes |= _outputs(counts, rest, 0, beside.reasoning_tokens)
    else:
        classes |= _outputs(counts, completion, rest, beside.reasoning_tokens)
    return Usage(**classes)


class _Beside(msgspec.Struct, frozen=True):
    """Tokens counted separately from the prompt, and reasoning separate from the completion."""

    cache_tokens: int
    reasoning_tokens: int
    media_tokens: int = 0

    @property
    def input_tokens(self) -> int:
        """All tokens that are separate from the prompt."""
        return self.cache_tokens + self.media_tokens

    @property
    def tokens(self) -> int:
        """All tokens that are separate from either."""
        return self.input_tokens + self.reasoning_tokens


def _outputs(counts: _Counts, written: int, hidden: int, beside: int) -> dict[str, int]:
    """Output classes from the completion, reasoning only in the total, and separate reasoning."""
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
        **{str(meter): get(meter, 0) for meter in MEDIA_OUTPUTS},
    }
    return _split("output", whole + beside, parts)


def _beside(counts: _Counts, rules: UsageRules, prompt: int, rest: int) -> _Beside:
    """Find the separate counts; `rest` is the total minus prompt and completion."""
    cache_rule, reasoning_rule = counts.relations(rules)
    cache = counts.reads + counts.writes[0]
    reasoning = counts.by_name.get("reasoning", 0)
    if rest and reasoning_rule is not ReasoningTokens.IN_TOTAL:
        options = [each for each in _explanations(counts, reasoning) if each.tokens == rest]
        if options:

            def surprise(option: _Beside) -> int:
                """The number of arguments against an explanation; the first lowest one wins."""
                is_inside = option.reasoning_tokens < reasoning
                return sum(
                    (
                        cache_rule is CacheTokens.INSIDE and option.cache_tokens > 0,
                        cache_rule is CacheTokens.BESIDE and option.cache_tokens < cache,
                        reasoning_rule is ReasoningTokens.INSIDE and not is_inside,
                        reasoning_rule is ReasoningTokens.BESIDE and is_inside,
                        is_inside and reasoning > counts.by_name.get("completion", reasoning),
                    )
                )

            return min(options, key=surprise)
    is_beside = cache > prompt or cache_rule is CacheTokens.BESIDE
    return _Beside(
        cache if is_beside else 0,
        reasoning if reasoning_rule is ReasoningTokens.BESIDE else 0,
    )


def _explanations(counts: _Counts, reasoning: int) -> Iterator[_Beside]:
    """All ways in which counts may be separate from prompt and completion, the cache first."""
    reads, (writes, _), media_counts = counts.reads, counts.writes, counts.media.values()
    sizes = range(len(media_counts) + 1)
    media_sums = [sum(some) for size in sizes for some in combinations(media_counts, size)]
    for thought in (0, reasoning):
        for media in media_sums:
            for cache in (reads + writes, reads, writes, 0):
                yield _Beside(cache, thought, media)


def _split(rest: str, whole: int, parts: Mapping[str, int]) -> dict[str, int]:
    """Limit each part to what is left of the whole, in order; the remainder is the plain class."""
    counts = {}
    for name, count in parts.items():
        if count:
            counts[name] = min(count, whole)
            whole -= counts[name]
    counts[rest] = whole
    return counts


def _unpriced(reported: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of used units that no meter counts, such as searches."""
    names = []
    for path in UNPRICED_PLACES:
        members = reported.get(path) if path else reported
        if isinstance(members, dict):
            names += [name for name in members.keys() & UNPRICED if read_count(members[name])]
    return tuple(sorted(names))
