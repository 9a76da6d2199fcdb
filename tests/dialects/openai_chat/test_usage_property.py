from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.core.pricing.prices import charge_for, dollars
from modelgates_server.core.pricing.usage import (
    COUNT_MAX,
    MEDIA_INPUTS,
    MEDIA_OUTPUTS,
    CacheTokens,
    Meter,
    ReasoningTokens,
    Usage,
    UsageRules,
)
from modelgates_server.dialects.openai_chat.usage import merge_reports, read_count, read_usage
from tests.core import calls

NO_RULES = UsageRules()
INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
TOP = ("",)
# Providers' names and places for counts, written down independently of the reader.
NAMES: dict[str, list[tuple[str, str]]] = {
    "prompt": [("", "prompt_tokens"), ("", "input_tokens"), ("", "inputTokens")],
    "completion": [("", "completion_tokens"), ("", "output_tokens"), ("", "outputTokens")],
    "total": [("", "total_tokens"), ("", "totalTokens")],
    "cache_read": [
        *((place, "cached_tokens") for place in (*TOP, *INPUT_DETAILS, "prompt_token_details")),
        *((place, "cache_read_input_tokens") for place in (*TOP, *INPUT_DETAILS)),
        ("", "prompt_cache_hit_tokens"),
        ("", "num_cached_tokens"),
        ("", "cacheReadInputTokens"),
    ],
    "cache_write": [
        *((place, "cache_write_tokens") for place in (*TOP, *INPUT_DETAILS)),
        *((place, "cache_creation_input_tokens") for place in (*TOP, *INPUT_DETAILS)),
        ("", "cacheWriteInputTokens"),
        ("prompt_tokens_details", "cached_creation_tokens"),
    ],
    "cache_write_1h": [
        *(
            (f"{place}.cache_creation".strip("."), "ephemeral_1h_input_tokens")
            for place in (*TOP, *INPUT_DETAILS)
        ),
        (
            "prompt_tokens_details.cache_creation_token_details",  # LiteLLM
            "ephemeral_1h_input_tokens",
        ),
        ("", "claude_cache_creation_1_h_tokens"),
    ],
    "input_audio": [(place, "audio_tokens") for place in INPUT_DETAILS],
    "input_image": [(place, "image_tokens") for place in INPUT_DETAILS],
    "reasoning": [(place, "reasoning_tokens") for place in (*TOP, *OUTPUT_DETAILS)],
    "output_audio": [(place, "audio_tokens") for place in OUTPUT_DETAILS],
    "output_image": [(place, "image_tokens") for place in OUTPUT_DETAILS],
}
RATES = {
    "input": "0.000003",
    "cache_read": "0.0000003",
    "cache_write": "0.00000375",
    "cache_write_1h": "0.000006",
    "input_audio": "0.00004",
    "input_image": "0.000005",
    "output": "0.000015",
    "reasoning": "0.000012",
    "output_audio": "0.00008",
    "output_image": "0.00003",
}
PRICE = calls.flat(**RATES)


class ReportedUsage(NamedTuple):
    """The true usage, a report of it, and the rules that apply to the provider."""

    used: Usage
    report: dict[str, Any]
    rules: UsageRules


def put(report: dict[str, Any], place: str, name: str, value: object) -> None:
    members = report
    for step in filter(None, place.split(".")):
        members = members.setdefault(step, {})
    members[name] = value


def written(draw: st.DrawFn, count: int) -> object:
    """A count in a form that JSON may have: an integer, a whole float, or a string of digits."""
    return draw(st.sampled_from([count, count, count, float(count), str(count)]))


amounts = st.integers(0, 3) | st.integers(0, 100_000)


@st.composite
def reported_usages(draw: st.DrawFn) -> ReportedUsage:
    """Any usage, reported under any names, in any places, with any relation that providers use."""
    counts: dict[str, Any] = {name: draw(amounts) for name in RATES}
    used = Usage(**{**counts, "input": draw(st.integers(1, 100_000))})
    cache = draw(st.sampled_from(CacheTokens))
    thought = draw(st.sampled_from(ReasoningTokens))
    writes = used.cache_write + used.cache_write_1h
    cached = used.cache_read + writes
    prompt = used.prompt_tokens - cached * (cache is CacheTokens.BESIDE)
    completion = used.completion_tokens - used.reasoning * (thought is not ReasoningTokens.INSIDE)
    total = draw(st.sampled_from(["none", "all"]))
    if thought is ReasoningTokens.IN_TOTAL:
        total = "all"
    elif cache is CacheTokens.BESIDE or thought is ReasoningTokens.BESIDE:
        total = draw(st.sampled_from(["none", "all", "sum"]))
    counts = {
        "prompt": prompt,
        "completion": completion,
        "cache_read": used.cache_read,
        "cache_write": writes,
        "cache_write_1h": used.cache_write_1h,
        **{str(meter): getattr(used, meter) for meter in (*MEDIA_INPUTS, *MEDIA_OUTPUTS)},
    }
    if thought is not ReasoningTokens.IN_TOTAL:
        counts["reasoning"] = used.reasoning
    if total != "none":
        everything = used.prompt_tokens + used.completion_tokens
        counts["total"] = everything if total == "all" else prompt + completion
    report: dict[str, Any] = {}
    for name, count in counts.items():
        if count or name in ("prompt", "completion", "total") or draw(st.booleans()):
            place, spelling = draw(st.sampled_from(NAMES[name]))
            put(report, place, spelling, written(draw, count))
    return ReportedUsage(used, report, UsageRules(cache=cache, reasoning=thought))


@pytest.mark.slow
@given(reported_usages())
@settings(max_examples=500)
def test_report_under_any_names_places_and_relations_is_read_exactly(case: ReportedUsage) -> None:
    reading = read_usage(case.report, case.rules)
    assert reading.usage == case.used
    assert reading.refused == 0
    charge = charge_for(PRICE, case.used, 0, ENTRY_MAX_PICO)
    by_hand = sum((Fraction(RATES[name]) * getattr(case.used, name) for name in RATES), Fraction())
    assert Fraction(dollars(charge.amount_pico)) == by_hand


def is_unambiguous(case: ReportedUsage) -> bool:
    """Whether only one explanation fits the rest of the total beyond prompt and completion."""
    used = case.used
    writes = used.cache_write + used.cache_write_1h
    media = (getattr(used, meter) for meter in MEDIA_INPUTS)
    parts = (used.cache_read, writes, used.reasoning, *media)
    sizes = range(len(parts) + 1)
    sums = {sum(chosen) for size in sizes for chosen in combinations(parts, size)}
    return len(sums) == 1 << len(parts)


@pytest.mark.slow
@given(reported_usages())
# With more classes, two of their sums are equal more often.
@settings(max_examples=500, suppress_health_check=[HealthCheck.filter_too_much])
def test_total_determines_the_relation_when_no_rules_are_known(case: ReportedUsage) -> None:
    assume(case.rules.reasoning is not ReasoningTokens.IN_TOTAL and is_unambiguous(case))
    reported = read_usage(case.report, NO_RULES).usage
    assert reported is not None
    everything = case.used.prompt_tokens + case.used.completion_tokens
    if everything in (
        read_count(case.report.get(name)) for name in ("total_tokens", "totalTokens")
    ):
        assert reported == case.used


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["audio_tokens", "cached_tokens"]), st.integers(), max_size=2),
)
SPELLINGS = sorted({place for rows in NAMES.values() for place in rows})


@st.composite
def junk(draw: st.DrawFn) -> dict[str, Any]:
    """A report that no honest provider would send, under names that providers use."""
    report: dict[str, Any] = {}
    for place, name in draw(st.lists(st.sampled_from(SPELLINGS), max_size=8)):
        if all(isinstance(report.get(step, {}), dict) for step in place.split(".")):
            put(report, place, name, draw(st.integers(0, COUNT_MAX) | ANYTHING))
    return report


@given(junk(), st.sampled_from([None, *CacheTokens]), st.sampled_from([None, *ReasoningTokens]))
@example({"prompt_tokens": 1, "total_tokens": COUNT_MAX}, None, None)
@example({"completion_tokens": 0, "reasoning_tokens": COUNT_MAX}, None, None)
@example({"prompt_tokens": float("nan"), "total_tokens": float("inf")}, None, None)
def test_junk_report_never_yields_a_negative_or_absurd_count(
    report: dict[str, Any], cache: CacheTokens | None, reasoning: ReasoningTokens | None
) -> None:
    reading = read_usage(report, UsageRules(cache=cache, reasoning=reasoning))
    if reading.usage is not None:
        for _, quantity in reading.usage.quantities():
            assert type(quantity) is int
            assert 0 <= quantity <= 5 * COUNT_MAX
    assert read_usage(merge_reports(report, report), NO_RULES) == read_usage(report, NO_RULES)


@given(
    st.lists(reported_usages().map(lambda case: case.report), min_size=1, max_size=3), st.randoms()
)
def test_order_of_reports_does_not_matter(reports: list[dict[str, Any]], dice: Any) -> None:
    shuffled = list(reports)
    dice.shuffle(shuffled)
    once: dict[str, Any] = {}
    again: dict[str, Any] = {}
    for report in reports:
        once = merge_reports(once, report)
    for report in shuffled:
        again = merge_reports(again, report)
    assert read_usage(once, NO_RULES) == read_usage(again, NO_RULES)


def test_rates_cover_every_class_of_tokens() -> None:
    assert set(RATES) == {meter.value for meter in Meter} - {"request"}
    assert all(Decimal(rate) > 0 for rate in RATES.values())
