from collections.abc import Mapping
from typing import Any

import pytest

from modelgates_server.core.pricing.usage import (
    COUNT_MAX,
    CacheTokens,
    ReasoningTokens,
    Usage,
    UsageRules,
)
from modelgates_server.dialects.openai_chat.usage import (
    add_choices,
    merge_reports,
    read_count,
    read_usage,
)

NO_RULES = UsageRules()


def read(rules: UsageRules = NO_RULES, /, **reported: Any) -> Usage:
    usage = read_usage(reported, rules).usage
    assert usage is not None
    return usage


def test_count_is_a_finite_number_rounded_up() -> None:
    same: list[Any] = [5, 5.0, 4.2, "5", "5.0", "4.1"]
    assert [read_count(value) for value in same] == [5] * len(same)
    assert (read_count(0), read_count(COUNT_MAX)) == (0, COUNT_MAX)


def test_invalid_numbers_are_not_counts() -> None:
    negative: list[Any] = [-1, -0.5, "-5"]
    endless: list[Any] = [float("nan"), float("inf"), "NaN", 1e300]
    absurd: list[Any] = [COUNT_MAX + 1, 10**400, "9" * 400, "1e3"]
    junk: list[Any] = ["", True, [3], {}, None]
    for value in (*negative, *endless, *absurd, *junk):
        assert read_count(value) is None, value


@pytest.mark.parametrize("bad", [-1, 10**12, float("nan"), True, "x", [], {"a": 1}])
def test_only_the_invalid_field_is_refused(bad: object) -> None:
    reading = read_usage(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": bad,
            "prompt_tokens_details": {"cached_tokens": bad, "cache_write_tokens": 3},
        },
        NO_RULES,
    )
    assert reading.usage == Usage(input=7, cache_write=3, output=5)
    assert reading.refused == 2


@pytest.mark.parametrize("report", [{}, dict.fromkeys(["prompt_tokens", "total_tokens"])])
def test_report_without_counts_has_no_usage(report: dict[str, Any]) -> None:
    assert read_usage(report, NO_RULES).usage is None


def test_total_alone_is_not_split() -> None:
    reading = read_usage({"total_tokens": 8}, NO_RULES)
    assert (reading.usage, reading.unsplit_tokens) == (None, 8)


def test_zero_is_trusted_only_when_the_provider_is() -> None:
    report = {"prompt_tokens": 0, "completion_tokens": 0}
    reading = read_usage(report, NO_RULES)
    assert (reading.trusted_input, reading.trusted_output) == (False, False)
    trusting = UsageRules(trust_zero=True)
    reading = read_usage(report, trusting)
    assert (reading.trusted_input, reading.trusted_output) == (True, True)
    reading = read_usage({"prompt_tokens": 5}, trusting)
    assert (reading.trusted_input, reading.trusted_output) == (True, False)


def test_count_under_several_names_counts_once_with_its_largest_value() -> None:
    usage = read(
        prompt_tokens=100,
        input_tokens=0,
        completion_tokens=5,
        prompt_tokens_details={"cached_tokens": 0},
        cached_tokens=80,
        prompt_cache_hit_tokens=90,
    )
    assert usage == Usage(input=10, cache_read=90, output=5)


def test_cache_larger_than_the_prompt_is_separate_from_it() -> None:
    usage = read(prompt_tokens=10, prompt_tokens_details={"cached_tokens": 50, "audio_tokens": 4})
    assert usage == Usage(input=6, cache_read=50, input_audio=4)


def test_part_is_never_larger_than_its_whole() -> None:
    usage = read(prompt_tokens=10, prompt_tokens_details={"audio_tokens": 50, "image_tokens": 50})
    assert usage == Usage(input_audio=10)


def test_cached_audio_counts_once_as_cached() -> None:
    usage = read(prompt_tokens=10, prompt_tokens_details={"cached_tokens": 6, "audio_tokens": 8})
    assert usage == Usage(cache_read=6, input_audio=4)


@pytest.mark.parametrize(
    ("extra", "used"),
    [
        (0, Usage(input=40, cache_read=50, cache_write=10, output=20, reasoning=5)),
        (60, Usage(input=100, cache_read=50, cache_write=10, output=20, reasoning=5)),
        (50, Usage(input=90, cache_read=50, cache_write=10, output=20, reasoning=5)),
        (10, Usage(input=50, cache_read=50, cache_write=10, output=20, reasoning=5)),
        (5, Usage(input=40, cache_read=50, cache_write=10, output=25, reasoning=5)),
        (65, Usage(input=100, cache_read=50, cache_write=10, output=25, reasoning=5)),
        (93, Usage(input=40, cache_read=50, cache_write=10, output=25, reasoning=93)),
    ],
)
def test_total_shows_which_counts_are_separate_and_the_rest_is_reasoning(
    extra: int, used: Usage
) -> None:
    usage = read(
        prompt_tokens=100,
        completion_tokens=25,
        total_tokens=125 + extra,
        prompt_tokens_details={"cached_tokens": 50, "cache_write_tokens": 10},
        completion_tokens_details={"reasoning_tokens": 5},
    )
    assert usage == used


def test_remainder_equal_to_the_audio_is_audio_separate_from_the_prompt() -> None:
    # https://github.com/pydantic/genai-prices/issues/591, a recorded response of Mistral.
    usage = read(
        prompt_tokens=11,
        completion_tokens=15,
        total_tokens=401,
        prompt_audio_seconds=5,
        prompt_tokens_details={"audio_tokens": 375, "cached_tokens": 9},
    )
    assert usage == Usage(input=2, cache_read=9, input_audio=375, output=15)


def test_explanation_with_more_reasoning_than_completion_is_not_used() -> None:
    usage = read(
        prompt_tokens=2000,
        completion_tokens=50,
        total_tokens=3074,
        prompt_tokens_details={"cached_tokens": 1024},
        completion_tokens_details={"reasoning_tokens": 1024},
    )
    assert usage == Usage(input=976, cache_read=1024, output=50, reasoning=1024)


def test_known_rules_of_a_host_apply_to_top_level_counts_only() -> None:
    known = UsageRules(known_cache=CacheTokens.BESIDE, known_reasoning=ReasoningTokens.BESIDE)
    top = {"cache_read_input_tokens": 50, "reasoning_tokens": 5}
    beside = Usage(input=100, cache_read=50, output=25, reasoning=5)
    assert read(known, prompt_tokens=100, completion_tokens=25, **top) == beside
    usage = read(
        known,
        prompt_tokens=100,
        completion_tokens=25,
        prompt_tokens_details={"cached_tokens": 50},
        completion_tokens_details={"reasoning_tokens": 5},
    )
    assert usage == Usage(input=50, cache_read=50, output=20, reasoning=5)


def test_remainder_equal_to_the_cache_is_reasoning_when_the_provider_hides_it() -> None:
    report: Mapping[str, Any] = {
        "prompt_tokens": 100,
        "completion_tokens": 25,
        "total_tokens": 175,
        "prompt_tokens_details": {"cached_tokens": 50},
    }
    assert read(**report) == Usage(input=100, cache_read=50, output=25)
    hides = UsageRules(reasoning=ReasoningTokens.IN_TOTAL)
    assert read(hides, **report) == Usage(input=50, cache_read=50, output=25, reasoning=50)


def test_setting_decides_when_arithmetic_cannot() -> None:
    report: Mapping[str, Any] = {
        "prompt_tokens": 100,
        "completion_tokens": 25,
        "cache_read_input_tokens": 50,
        "reasoning_tokens": 5,
    }
    inside = Usage(input=50, cache_read=50, output=20, reasoning=5)
    assert read(**report) == inside
    beside = UsageRules(cache=CacheTokens.BESIDE, reasoning=ReasoningTokens.BESIDE)
    assert read(beside, **report) == Usage(input=100, cache_read=50, output=25, reasoning=5)
    set_inside = UsageRules(cache=CacheTokens.INSIDE, reasoning=ReasoningTokens.INSIDE)
    assert read(set_inside, **report) == inside


def test_missing_prompt_is_the_rest_of_the_total() -> None:
    assert read(completion_tokens=15, total_tokens=35) == Usage(input=20, output=15)
    zero = read(prompt_tokens=0, completion_tokens=15, total_tokens=35)
    assert zero == Usage(input=20, output=15)


def test_missing_completion_is_the_rest_of_the_total() -> None:
    usage = read(
        prompt_tokens=9, total_tokens=105, completion_tokens_details={"reasoning_tokens": 90}
    )
    assert usage == Usage(input=9, output=6, reasoning=90)


@pytest.mark.parametrize("place", ["top", "details"])
def test_reasoning_larger_than_the_completion_is_separate_from_it(place: str) -> None:
    thought = {"reasoning_tokens": 40}
    more: dict[str, Any] = thought if place == "top" else {"completion_tokens_details": thought}
    counts = {"prompt_tokens": 9, "completion_tokens": 3}
    assert read(**counts, **more) == Usage(input=9, output=3, reasoning=40)
    bounded = Usage(input=9, reasoning=3)
    outside = Usage(input=9, output=3, reasoning=40)
    usage = read(**counts, total_tokens=12, **more)
    assert usage == (outside if place == "top" else bounded)


def test_reasoning_a_percent_above_its_completion_is_counted_once() -> None:
    usage = read(prompt_tokens=9, completion_tokens=6000, reasoning_tokens=6001)
    assert usage == Usage(input=9, reasoning=6001)


def test_total_below_its_parts_is_ignored() -> None:
    assert read(prompt_tokens=10, completion_tokens=5, total_tokens=3) == Usage(input=10, output=5)


def test_cache_writes_of_an_hour_are_split_from_the_others() -> None:
    usage = read(
        prompt_tokens=1000,
        cache_creation_input_tokens=500,
        cache_creation={"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 200},
    )
    assert usage == Usage(input=500, cache_write=300, cache_write_1h=200)
    unsplit = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    usage = read(prompt_tokens=1000, cache_creation_input_tokens=500, cache_creation=unsplit)
    assert usage == Usage(input=500, cache_write=500)


def merged(*reports: dict[str, Any]) -> Usage:
    whole: dict[str, Any] = {}
    for report in reports:
        whole = merge_reports(whole, report)
    usage = read_usage(whole, NO_RULES).usage
    assert usage is not None
    return usage


FULL = {
    "prompt_tokens": 20,
    "completion_tokens": 5,
    "total_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 8},
}
ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}


@pytest.mark.parametrize(
    "later",
    [
        ZERO,
        {},
        {"prompt_tokens_details": None},
        {"prompt_tokens_details": []},
        {"prompt_tokens": -1, "completion_tokens": "x", "total_tokens": 10**12},
        {"completion_tokens": 3},
    ],
)
def test_later_report_of_less_is_ignored(later: dict[str, Any]) -> None:
    used = Usage(input=12, cache_read=8, output=5)
    assert merged(FULL, later) == used
    assert merged(later, FULL) == used
    assert merged(ZERO, FULL, later) == used


def test_partial_reports_are_merged() -> None:
    assert merged({"prompt_tokens": 2000, "completion_tokens": 1}, {"completion_tokens": 15}) == (
        Usage(input=2000, output=15)
    )


def test_reports_of_choices_are_added_and_the_prompt_counts_once() -> None:
    readings = [
        read_usage({"prompt_tokens": 20, "completion_tokens": completion}, NO_RULES)
        for completion in (5, 7)
    ]
    assert add_choices(readings).usage == Usage(input=20, output=12)


@pytest.mark.parametrize(
    "report",
    [
        {"server_tool_use_details": {"tool_calls_executed": 1}},
        {"num_search_queries": 74},
        {"citation_tokens": 7299},
        {"server_tool_use": {"web_search_requests": 1}},
    ],
)
def test_units_that_no_meter_counts_are_named(report: dict[str, Any]) -> None:
    reading = read_usage({"prompt_tokens": 1, **report}, NO_RULES)
    assert len(reading.unpriced) == 1
    assert read_usage({"prompt_tokens": 1, "num_search_queries": 0}, NO_RULES).unpriced == ()
