import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.dialects.anthropic.effort import (
    LEVELS,
    MODELS,
    SHARES,
    budget_of,
    claude_model,
    effort_of,
    level_of,
)

caps = st.integers(1, 10**6)


@pytest.mark.parametrize(
    ("name", "thinking"),
    [
        ("claude-3-7-sonnet-20250219", "enabled"),
        ("claude-3-haiku-20240307", "enabled"),
        ("claude-opus-4-20250514", "enabled"),
        ("claude-sonnet-4", "enabled"),
        ("claude-opus-4-1-20250805", "enabled"),
        ("anthropic.claude-sonnet-4-20250514-v1:0", "enabled"),
        ("claude-haiku-4-5-20251001", "enabled"),
        ("anthropic/claude-sonnet-4.5", "enabled"),
        ("claude-opus-4-5@20251101", "enabled"),
        ("claude-sonnet-4-6", "adaptive"),
        ("claude-opus-4-8", "adaptive"),
        ("claude-opus-5", "adaptive"),
        ("claude-opus-5-5", "adaptive"),
        ("claude-fable-5-1", "adaptive"),
        ("claude-nova-7", "adaptive"),
        ("glm-5", "enabled"),
        ("kimi-sonnet-4-6", "enabled"),
    ],
)
def test_model_is_known_by_its_name(name: str, thinking: str) -> None:
    assert claude_model(name).thinking[0] == thinking


@pytest.mark.parametrize(
    ("name", "efforts"),
    [
        ("claude-haiku-4-5", ()),
        ("claude-sonnet-4-5", ()),
        ("claude-opus-4-5", ("low", "medium", "high")),
        ("claude-opus-4-6", ("low", "medium", "high", "max")),
        ("claude-opus-5-5", LEVELS),
    ],
)
def test_effort_is_sent_only_to_models_that_have_it(name: str, efforts: tuple[str, ...]) -> None:
    assert claude_model(name).efforts == efforts


def test_levels_of_every_model_are_in_order() -> None:
    for model in MODELS:
        assert list(model.efforts) == sorted(model.efforts, key=LEVELS.index)


@given(st.sampled_from(list(SHARES)), caps)
def test_budget_is_accepted_and_leaves_room(effort: str, cap_tokens: int) -> None:
    budget = budget_of(effort, cap_tokens)
    assert budget is None or 1024 <= budget < cap_tokens
    assert (budget is None) == (cap_tokens <= 1024)


@given(st.sampled_from(list(SHARES)), st.integers(20_000, 130_000))
def test_effort_survives_as_a_budget(effort: str, cap_tokens: int) -> None:
    budget = budget_of(effort, cap_tokens)
    assert budget is not None
    found = effort_of(budget, cap_tokens)
    assert found == ("xhigh" if effort == "max" else effort)


@given(caps, st.integers(0, 10**6), st.integers(0, 10**6))
def test_larger_budget_is_no_lower_effort(cap_tokens: int, first: int, second: int) -> None:
    low, high = sorted((first, second))
    order = list(SHARES)
    assert order.index(effort_of(low, cap_tokens)) <= order.index(effort_of(high, cap_tokens))


@pytest.mark.parametrize(
    ("effort", "accepted", "level"),
    [
        ("minimal", LEVELS, "low"),
        ("xhigh", ("low", "medium", "high", "max"), "high"),
        ("max", ("low", "medium", "high"), "high"),
        ("low", ("medium", "high"), "medium"),
        ("low", (), None),
    ],
)
def test_effort_is_lowered_to_a_level_of_the_model(
    effort: str, accepted: tuple[str, ...], level: str | None
) -> None:
    assert level_of(effort, accepted) == level
