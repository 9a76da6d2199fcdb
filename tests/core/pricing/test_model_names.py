"""Suggestions in the message about an unknown model."""

import time

import pytest

from modelgates_server.core.pricing.model_names import advice, near

IDS = [
    "openai/gpt-4o",
    "openai/gpt-4o-mini",
    "azure/gpt-4o-mini",
    "anthropic/claude-sonnet-4",
    "meta-llama/llama-3.1-8b-instruct",
    "acme/large:free",
]
PROVIDERS = "chooses among the providers of a model, and a model here has one."
ROUTER = (
    "This server does not choose models. Name one, or several in `models`: "
    "`GET /api/v1/models` lists them."
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/gpt-4o-mni", "openai/gpt-4o-mini"),
        ("gpt-4o", "openai/gpt-4o"),
        ("OpenAI/GPT-4o", "openai/gpt-4o"),
        ("claude-sonnet-4", "anthropic/claude-sonnet-4"),
        ("anthropic/claude-4-sonnet", "anthropic/claude-sonnet-4"),
        ("openrouter/openai/gpt-4o", "openai/gpt-4o"),
        ("llama-3.1-8b", "meta-llama/llama-3.1-8b-instruct"),
        ("acme/large", "acme/large:free"),
    ],
)
def test_nearest_model_is_suggested_with_and_without_author(name: str, expected: str) -> None:
    assert near(name, IDS)[0] == expected
    assert advice(name, IDS).startswith(f"Did you mean `{expected}`")


def test_models_of_all_authors_with_the_name_are_suggested() -> None:
    found = near("gpt-4o-mini", IDS)
    assert found == ["openai/gpt-4o-mini", "azure/gpt-4o-mini", "openai/gpt-4o"]
    question = "Did you mean `openai/gpt-4o-mini`, `azure/gpt-4o-mini` or `openai/gpt-4o`?"
    assert advice("gpt-4o-mini", IDS) == question


@pytest.mark.parametrize("name", ["", "x", "qwerty/uiop", "/", ":", "ß", "z" * 10_000])
def test_nothing_is_suggested_when_nothing_is_near(name: str) -> None:
    assert advice(name, IDS) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/gpt-4o:nitro", f"`:nitro` {PROVIDERS} Use `openai/gpt-4o`."),
        ("openai/gpt-4o:floor", f"`:floor` {PROVIDERS} Use `openai/gpt-4o`."),
        ("openai/gpt-4o:exacto", f"`:exacto` {PROVIDERS} Use `openai/gpt-4o`."),
        (
            "openai/gpt-4o:online",
            "`:online` adds a web search, which this server does not offer. Use `openai/gpt-4o`.",
        ),
        (
            "openai/gpt-4o:free",
            "`:free` is a variant that this model does not have here. Use `openai/gpt-4o`.",
        ),
        ("zzz/yyy:thinking", "`:thinking` is a variant that this model does not have here."),
        ("openrouter/auto", ROUTER),
        ("openrouter/free", ROUTER),
        ("@preset/mine", "This server has no presets. Name a model, and"),
        ("openai/gpt-4o@preset/mine", "This server has no presets. Name a model, and"),
    ],
)
def test_name_of_openrouter_gets_what_to_use_instead(name: str, expected: str) -> None:
    assert advice(name, IDS).startswith(expected)


def test_advice_among_many_models_is_quick() -> None:
    many = [f"author-{number % 50}/model-{number}-instruct" for number in range(2000)]
    started_s = time.process_time()
    assert advice("author-7/modl-" + "x" * 5000, many) is not None
    assert time.process_time() - started_s < 1
