"""How providers report usage: names, places, relations, and parts of a stream.

Each function writes a report of the true usage and returns what a reader has to find in it. The
sources are the API references of the providers that the functions are named after.
"""

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from modelgates_server.core.pricing.usage import CacheTokens, ReasoningTokens, Usage, UsageRules
from tests.overrun.model import Spent

Report = dict[str, Any]


class Counted(NamedTuple):
    """A report, the usage that it means, and the rules known for its provider."""

    report: Report
    usage: Usage
    rules: UsageRules


def classes(spent: Spent, rng: Random) -> Usage:
    """The usage by class: text may be cached, output may be reasoning or audio."""
    cached, fresh = _cut(spent.text, rng)
    written, text = _cut(fresh, rng)
    hour, short = _cut(written, rng)
    thought, rest = _cut(sum(spent.written), rng)
    spoken, text_output = _cut(rest, rng)
    return Usage(
        input=text,
        cache_read=cached,
        cache_write=short,
        cache_write_1h=hour,
        input_audio=spent.audio,
        input_image=spent.images,
        output=text_output,
        reasoning=thought,
        output_audio=spoken,
    )


def _cut(whole: int, rng: Random) -> tuple[int, int]:
    part = rng.choice((0, 0, whole, rng.randint(0, whole)))
    return part, whole - part


def openai(usage: Usage) -> Counted:
    """All classes are part of the totals; caches have a single time to live."""
    usage = _merged(usage, cache_write=("cache_write_1h",))
    report = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
            "audio_tokens": usage.input_audio,
            "image_tokens": usage.input_image,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.output_audio,
        },
    }
    return Counted(report, usage, UsageRules())


def responses(usage: Usage) -> Counted:
    """OpenAI's newer names, which gateways forward."""
    report, usage, rules = openai(usage)
    renamed = {
        name.replace("prompt", "input").replace("completion", "output"): value
        for name, value in report.items()
    }
    return Counted(renamed, usage, rules)


def anthropic(usage: Usage) -> Counted:
    """Caches are separate from the prompt; there is no total and no detail of the output."""
    usage = _merged(
        usage, input=("input_audio", "input_image"), output=("reasoning", "output_audio")
    )
    report = {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
    }
    return Counted(report, usage, UsageRules(cache=CacheTokens.BESIDE))


def bedrock(usage: Usage) -> Counted:
    """Caches are separate from the prompt, and part of the total."""
    usage = _merged(anthropic(usage).usage, cache_write=("cache_write_1h",))
    report = {
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalTokens": usage.prompt_tokens + usage.completion_tokens,
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": usage.cache_write,
    }
    return Counted(report, usage, UsageRules(cache=CacheTokens.BESIDE))


def deepseek(usage: Usage) -> Counted:
    """Cached and uncached tokens add up to the prompt."""
    usage = _reads_cached_text(usage)
    report = {
        **_totals(usage),
        "prompt_cache_hit_tokens": usage.cache_read,
        "prompt_cache_miss_tokens": usage.input,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    return Counted(report, usage, UsageRules(cache=CacheTokens.INSIDE))


def moonshot(usage: Usage) -> Counted:
    """Cached tokens are a top-level count; so is reasoning at SGLang, part of the completion."""
    usage = _reads_cached_text(usage)
    report = {
        **_totals(usage),
        "cached_tokens": usage.cache_read,
        "reasoning_tokens": usage.reasoning,
    }
    return Counted(report, usage, UsageRules(reasoning=ReasoningTokens.INSIDE))


def xai(usage: Usage) -> Counted:
    """Reasoning is separate from the completion, and part of the total."""
    usage = _reads_cached_text(usage)
    report = {
        **_totals(usage),
        "completion_tokens": usage.completion_tokens - usage.reasoning,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    rules = UsageRules(cache=CacheTokens.INSIDE, reasoning=ReasoningTokens.BESIDE)
    return Counted(report, usage, rules)


def gemini(usage: Usage) -> Counted:
    """Reasoning is only part of the total."""
    usage = _reads_cached_text(usage)
    report = {
        **_totals(usage),
        "completion_tokens": usage.completion_tokens - usage.reasoning,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
    }
    rules = UsageRules(cache=CacheTokens.INSIDE, reasoning=ReasoningTokens.IN_TOTAL)
    return Counted(report, usage, rules)


def perplexity(usage: Usage) -> Counted:
    """Reasoning is a top-level count, separate from all totals."""
    usage = _merged(_reads_cached_text(usage), input=("cache_read",))
    report = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt_tokens + usage.output,
        "reasoning_tokens": usage.reasoning,
    }
    return Counted(report, usage, UsageRules(reasoning=ReasoningTokens.BESIDE))


def plain(usage: Usage) -> Counted:
    """Ollama and llama.cpp: only the totals."""
    usage = _merged(_reads_cached_text(usage), input=("cache_read",), output=("reasoning",))
    return Counted(_totals(usage), usage, UsageRules())


def embedded(usage: Usage, *, total_alone: bool) -> Counted:
    """OpenAI reports the prompt and the total, Voyage only the total."""
    usage = Usage(input=usage.prompt_tokens)
    report = {"total_tokens": usage.input}
    if not total_alone:
        report["prompt_tokens"] = usage.input
    return Counted(report, usage, UsageRules())


WAYS: tuple[Callable[[Usage], Counted], ...] = (
    openai,
    responses,
    anthropic,
    bedrock,
    deepseek,
    moonshot,
    xai,
    gemini,
    perplexity,
    plain,
)


def _merged(usage: Usage, **into: tuple[str, ...]) -> Usage:
    """The usage with some classes added to others that the report does not distinguish."""
    counts: dict[str, Any] = {str(meter): count for meter, count in usage.quantities()}
    for name, parts in into.items():
        for part in parts:
            counts[name] += counts[part]
            counts[part] = 0
    return Usage(**counts)


def _reads_cached_text(usage: Usage) -> Usage:
    """The usage with only cached text and reasoning as separate classes."""
    inputs = ("cache_write", "cache_write_1h", "input_audio", "input_image")
    return _merged(usage, input=inputs, output=("output_audio",))


def _totals(usage: Usage) -> Report:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
