from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelgates_server.core.usage import (
    COUNT_MAX,
    INPUTS,
    OUTPUTS,
    Usage,
    estimate_usage,
    read_usage,
)

counts = st.integers(0, COUNT_MAX)
# What JSON can hold where a count should stand, absurd numbers among them.
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
)
details = st.one_of(
    anything,
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            (
                "cached_tokens",
                "cache_write_tokens",
                "audio_tokens",
                "image_tokens",
                "reasoning_tokens",
                "text_tokens",
                "accepted_prediction_tokens",
            ),
            st.one_of(counts, anything),
        ),
    ),
)
around_totals = {
    "prompt_tokens_details": details,
    "prompt_token_details": details,
    "completion_tokens_details": details,
    "prompt_cache_hit_tokens": st.one_of(counts, anything),
    "prompt_cache_miss_tokens": st.one_of(counts, anything),
    "cached_tokens": st.one_of(counts, anything),
    "num_cached_tokens": st.one_of(counts, anything),
    "cost": anything,
}
TOTALS = ("prompt_tokens", "completion_tokens", "total_tokens")
reports = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(TOTALS, st.one_of(st.none(), counts)), **around_totals}
)
wild_reports = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(TOTALS, st.one_of(counts, anything)), **around_totals}
)


def read(**reported: Any) -> Usage:
    usage = read_usage(reported)
    assert usage is not None
    return usage


@given(reports)
@example({"prompt_tokens": 1, "total_tokens": COUNT_MAX})
@example({"completion_tokens": 0, "completion_tokens_details": {"reasoning_tokens": COUNT_MAX}})
def test_classes_add_up_to_the_totals_whatever_is_reported(report: dict[str, Any]) -> None:
    totals = [report.get(name) for name in TOTALS]
    usage = read_usage(report)
    if usage is None:
        assert totals == [None, None, None]
        return
    prompt, completion, total = (value or 0 for value in totals)
    assert sum(getattr(usage, meter) for meter in INPUTS) == prompt == usage.prompt_tokens
    written = sum(getattr(usage, meter) for meter in OUTPUTS)
    assert written == usage.completion_tokens >= completion
    if totals[2] is not None:
        assert written == max(completion, total - prompt)
    else:
        assert written in (completion, completion + usage.reasoning)


@given(wild_reports)
def test_no_report_makes_a_negative_or_absurd_count_or_breaks_the_reader(
    report: dict[str, Any],
) -> None:
    usage = read_usage(report)
    if usage is not None:
        assert all(0 <= quantity <= 2 * COUNT_MAX for _, quantity in usage.quantities())
        assert all(type(quantity) is int for _, quantity in usage.quantities())


@pytest.mark.parametrize("name", TOTALS)
@pytest.mark.parametrize("bad", [-1, COUNT_MAX + 1, 10**400, 1.0, 0.5, True, "12", [3], {}])
def test_a_total_that_is_no_count_is_not_believed(name: str, bad: object) -> None:
    report = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert read_usage(report) is not None
    assert read_usage({**report, name: bad}) is None


@pytest.mark.parametrize("report", [{}, dict.fromkeys(TOTALS), {"cached_tokens": 5}])
def test_a_report_without_totals_is_no_report_of_zero(report: dict[str, Any]) -> None:
    assert read_usage(report) is None


def test_an_explicit_zero_is_believed() -> None:
    assert read(prompt_tokens=0, completion_tokens=0, total_tokens=0) == Usage()


@pytest.mark.parametrize("bad", [-7, 10**12, 3.0, True, "3", None, []])
def test_a_detail_that_is_no_count_leaves_its_tokens_in_the_plain_class(bad: object) -> None:
    usage = read(
        prompt_tokens=10,
        completion_tokens=5,
        prompt_tokens_details={"cached_tokens": bad, "cache_write_tokens": bad},
        completion_tokens_details={"reasoning_tokens": bad},
        cached_tokens=bad,
    )
    assert usage == Usage(input=10, output=5)


@pytest.mark.parametrize("bad", [None, 3, "x", [1], True])
def test_details_that_are_no_object_are_absent(bad: object) -> None:
    usage = read(prompt_tokens=10, completion_tokens=5, prompt_tokens_details=bad)
    assert usage == Usage(input=10, output=5)


@pytest.mark.parametrize(
    "place",
    [
        {"prompt_tokens_details": {"cached_tokens": 8}},
        {"prompt_token_details": {"cached_tokens": 8}},
        {"prompt_cache_hit_tokens": 8},
        {"cached_tokens": 8},
        {"num_cached_tokens": 8},
    ],
)
def test_cached_tokens_are_found_wherever_a_provider_names_them(place: dict[str, Any]) -> None:
    assert read(prompt_tokens=10, completion_tokens=0, **place) == Usage(input=2, cache_read=8)


def test_cached_tokens_that_are_named_twice_count_once_and_at_their_largest() -> None:
    usage = read(
        prompt_tokens=100,
        prompt_tokens_details={"cached_tokens": 0},
        cached_tokens=80,
        prompt_cache_hit_tokens=90,
    )
    assert usage == Usage(input=10, cache_read=90)


def test_more_cached_than_read_gives_nothing_back() -> None:
    usage = read(prompt_tokens=10, prompt_tokens_details={"cached_tokens": 50, "audio_tokens": 50})
    assert usage == Usage(cache_read=10)


def test_cached_audio_counts_once_as_cached() -> None:
    usage = read(prompt_tokens=10, prompt_tokens_details={"cached_tokens": 6, "audio_tokens": 8})
    assert usage == Usage(cache_read=6, input_audio=4)


def test_reasoning_inside_the_completion_is_not_charged_twice() -> None:
    usage = read(
        prompt_tokens=10,
        completion_tokens=50,
        total_tokens=60,
        completion_tokens_details={"reasoning_tokens": 40},
    )
    assert usage == Usage(input=10, output=10, reasoning=40)


def test_reasoning_beside_the_completion_is_not_lost() -> None:
    usage = read(
        prompt_tokens=10,
        completion_tokens=50,
        total_tokens=100,
        completion_tokens_details={"reasoning_tokens": 40},
    )
    assert usage == Usage(input=10, output=50, reasoning=40)


def test_reasoning_that_stands_in_the_total_alone_is_not_lost() -> None:
    assert read(prompt_tokens=9, completion_tokens=3, total_tokens=105) == Usage(
        input=9, output=3, reasoning=93
    )


def test_reasoning_above_the_completion_stands_beside_it_where_no_total_says_otherwise() -> None:
    usage = read(
        prompt_tokens=9,
        completion_tokens=3,
        completion_tokens_details={"reasoning_tokens": 40},
    )
    assert usage == Usage(input=9, output=3, reasoning=40)


def test_a_total_below_its_parts_takes_nothing_away() -> None:
    assert read(prompt_tokens=10, completion_tokens=5, total_tokens=3) == Usage(input=10, output=5)


def test_a_negative_count_cannot_be_built() -> None:
    with pytest.raises(AssertionError):
        Usage(output=-1)


@given(st.integers(0, 10**9), st.integers(0, 1000), st.integers(0, 10**9))
def test_a_local_count_is_marked_and_rounds_up(text: int, messages: int, output: int) -> None:
    usage = estimate_usage(text_bytes=text, messages=messages, output_bytes=output)
    assert usage.estimated
    assert 4 * (usage.input - 4 * messages) - text in range(4)
    assert 4 * usage.output - output in range(4)
