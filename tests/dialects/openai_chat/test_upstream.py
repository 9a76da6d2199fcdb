"""The body for each provider: its names, its reasoning, and nothing that it rejects."""

import json
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api, CapParameter, Endpoint
from modelgates_server.dialects.openai_chat.provider_profiles import OPTIONAL, PROFILES
from modelgates_server.dialects.openai_chat.upstream import refuse_unsendable, upstream_body
from tests.dialects.openai_chat import chat

OLD, NEW = "max_tokens", "max_completion_tokens"
CAP = 10_000
EXTRAS: dict[str, Any] = dict.fromkeys(OPTIONAL, 1) | {
    "user": "u",
    "session_id": "s",
    "structured_outputs": True,
    "trace": {"id": "t"},
}


def endpoint(profile: str, **members: Any) -> Endpoint:
    return Endpoint(id="a:m", provider="a", upstream_model="m", profile=profile, **members)


def sent(
    profile: str = "compatible",
    *,
    api: Api = Api.CHAT,
    cap_tokens: int | None = None,
    refused: frozenset[str] = frozenset(),
    at: dict[str, Any] | None = None,
    **members: Any,
) -> dict[str, Any]:
    request = chat.request(api, **members)
    to = endpoint(profile, **(at or {}))
    body = upstream_body(request, to, cap_tokens=cap_tokens, refused=refused)
    read: dict[str, Any] = json.loads(body)
    return {n: v for n, v in read.items() if n not in ("model", "messages", "input", "prompt")}


def reasoned(profile: str, wish: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The provider's parameters for a wish for reasoning, next to a limit of 10,000 tokens."""
    return sent(profile, reasoning=wish, cap_tokens=CAP, **members)


@pytest.mark.parametrize(
    ("members", "cap_tokens", "limits"),
    [
        ({OLD: 9}, None, {OLD: 9}),
        ({NEW: 9}, None, {NEW: 9}),
        ({NEW: 9}, 5, {NEW: 5}),
        ({NEW: 9, OLD: None}, None, {NEW: 9}),
        ({}, 5, {OLD: 5}),
        ({OLD: 3, NEW: 9}, None, {OLD: 9}),
        ({}, None, {}),
    ],
)
def test_own_name_of_the_limit_is_kept_when_no_name_is_configured(
    members: dict[str, Any], cap_tokens: int | None, limits: dict[str, int]
) -> None:
    at = {"keeps_cap_name": True, "cap_parameter": CapParameter.MAX_TOKENS}
    assert sent(at=at, cap_tokens=cap_tokens, **members) == limits
    renamed = {NEW if name == OLD else OLD: value for name, value in limits.items()}
    [name] = limits or [OLD]
    assert sent(at=at, cap_tokens=cap_tokens, refused=frozenset({name}), **members) == renamed
    both = frozenset({OLD, NEW})
    assert sent(at=at, cap_tokens=cap_tokens, refused=both, **members) == limits


def test_stream_options_are_not_sent_to_a_provider_without_them() -> None:
    at = {"stream_options": False}
    assert "stream_options" not in sent(at=at, stream=True)
    assert "stream_options" not in sent(at=at, stream=True, stream_options={"include_usage": True})
    refused = frozenset({"stream_options"})
    nothings: list[dict[str, Any]] = [{}, {"stream_options": None}]
    for options in nothings:
        assert "stream_options" not in sent(refused=refused, stream=True, **options)
    own = sent(refused=refused, stream=True, stream_options={"a": 1})
    assert own["stream_options"] == {"a": 1, "include_usage": True}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_optional_parameters_are_sent_only_where_they_are_accepted(profile: Any) -> None:
    accepted = {profile.renames.get(name, name) for name in profile.passes}
    if not profile.is_openrouter:
        accepted -= {"structured_outputs"}  # the boolean is OpenRouter's
    assert sent(profile.name, **EXTRAS).keys() == accepted
    for api in (Api.COMPLETIONS, Api.EMBEDDINGS):
        assert sent(profile.name, api=api, **EXTRAS).keys() == accepted


def test_structured_outputs_of_vllm_are_sent() -> None:
    assert sent(structured_outputs={"regex": "a"}) == {"structured_outputs": {"regex": "a"}}


def test_openrouter_gets_its_own_parameters_but_no_other_model_or_provider() -> None:
    wish = {"effort": "high", "exclude": True, "summary": "auto"}
    got = sent(
        "openrouter",
        reasoning=wish,
        include_reasoning=True,
        models=["a/b"],
        route="fallback",
        usage={"include": True},
        provider={"only": ["a"], "sort": "price", "zdr": True, "data_collection": "deny"},
        max_tokens=5,
    )
    assert got == {
        "reasoning": wish,
        "include_reasoning": True,
        "provider": {"zdr": True, "data_collection": "deny"},
        "max_tokens": 5,
    }
    embedded = sent("openrouter", api=Api.EMBEDDINGS, provider={"zdr": True})
    assert embedded == {"provider": {"zdr": True}}


def test_own_name_of_the_provider_wins_over_a_renamed_parameter() -> None:
    assert sent("mistral", seed=1) == {"random_seed": 1}
    assert sent("mistral", seed=1, random_seed=2) == {"random_seed": 2}


TEMPLATE_ON = {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}}
TEMPLATE_OFF = {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}
ON = {"thinking": {"type": "enabled"}}
OFF = {"thinking": {"type": "disabled"}}
HIGH = {"effort": "high"}
GOOGLE = {"include_thoughts": True}


@pytest.mark.parametrize(
    ("profile", "wish", "written"),
    [
        ("openai", HIGH, {"reasoning_effort": "high"}),
        ("openai", {"effort": "max"}, {"reasoning_effort": "xhigh"}),
        ("openai", {"enabled": True}, {"reasoning_effort": "medium"}),
        ("openai", {"enabled": False}, {"reasoning_effort": "none"}),
        ("openai", {"max_tokens": 5000}, {"reasoning_effort": "medium"}),
        ("openai", {"max_tokens": 4999}, {"reasoning_effort": "low"}),
        ("openai", {"max_tokens": 1}, {"reasoning_effort": "minimal"}),
        ("openai", {"max_tokens": 0}, {"reasoning_effort": "none"}),
        ("xai", {"effort": "minimal"}, {"reasoning_effort": "low"}),
        ("groq", {"effort": "xhigh"}, {"reasoning_effort": "high"}),
        ("mistral", {"effort": "low"}, {"reasoning_effort": "high"}),
        ("deepseek", {"effort": "medium"}, {**ON, "reasoning_effort": "low"}),
        ("deepseek", {"effort": "none"}, OFF),
        ("deepseek", {"enabled": True}, ON),
        ("zai", HIGH, ON),
        ("moonshot", {"enabled": False}, OFF),
        ("volcengine", HIGH, {**ON, "reasoning_effort": "high"}),
        ("dashscope", {"enabled": False}, {"enable_thinking": False}),
        ("gemini", HIGH, {"reasoning_effort": "high"}),
        ("gemini", {"effort": "none"}, {"reasoning_effort": "none"}),
        ("gemini", {"enabled": True}, {"extra_body": {"google": {"thinking_config": GOOGLE}}}),
        (
            "gemini",
            {"max_tokens": 2000},
            {"extra_body": {"google": {"thinking_config": {**GOOGLE, "thinking_budget": 2000}}}},
        ),
        ("anthropic", HIGH, {"thinking": {"type": "enabled", "budget_tokens": 8000}}),
        ("anthropic", {"max_tokens": 9}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("anthropic", {"enabled": False}, OFF),
        ("together", HIGH, {"reasoning": {"enabled": True}, "reasoning_effort": "high"}),
        ("together", {"enabled": False}, {"reasoning": {"enabled": False}}),
        ("fireworks", {"max_tokens": 2000}, {"reasoning_effort": "low"}),
        ("ollama", {"enabled": False}, {"reasoning_effort": "none"}),
        ("compatible", {"enabled": True}, TEMPLATE_ON),
        ("compatible", HIGH, {**TEMPLATE_ON, "reasoning_effort": "high"}),
        ("compatible", {"enabled": False}, {**TEMPLATE_OFF, "reasoning_effort": "none"}),
        ("compatible", {"exclude": True}, {}),
        ("compatible", {}, {}),
    ],
)
def test_reasoning_is_written_in_the_words_of_the_provider(
    profile: str, wish: dict[str, Any], written: dict[str, Any]
) -> None:
    assert reasoned(profile, wish) == {**written, OLD: CAP}


@pytest.mark.parametrize("profile", ["dashscope", "siliconflow"])
@pytest.mark.parametrize("wish", [HIGH, {"enabled": True}, {"max_tokens": 10**6}])
@pytest.mark.parametrize("cap_tokens", [1, 2, 7, CAP])
def test_budget_and_limit_together_stay_within_the_hold(
    profile: str, wish: dict[str, Any], cap_tokens: int
) -> None:
    got = sent(profile, reasoning=wish, cap_tokens=cap_tokens)
    assert got[OLD] >= 1
    assert got[OLD] + got.get("thinking_budget", 0) == cap_tokens
    assert bool(got.get("enable_thinking")) == (cap_tokens > 1)


@pytest.mark.parametrize("cap_tokens", [1, 1024, 1025, None])
def test_budget_of_anthropic_is_below_the_limit(cap_tokens: int | None) -> None:
    got = sent("anthropic", reasoning={"effort": "low"}, cap_tokens=cap_tokens)
    has_room = cap_tokens is None or cap_tokens > 1024
    assert ("thinking" in got) is has_room
    if cap_tokens is not None and has_room:
        assert 1024 <= got["thinking"]["budget_tokens"] < cap_tokens


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@pytest.mark.parametrize("wish", [{"enabled": False}, {"effort": "none"}, {"max_tokens": 0}])
def test_reasoning_is_turned_off_or_the_request_is_rejected(
    profile: Any, wish: dict[str, Any]
) -> None:
    request, to = chat.request(reasoning=wish), endpoint(profile.name)
    if profile.is_openrouter or profile.switch or "none" in profile.efforts:
        refuse_unsendable(request, to)
        assert len(reasoned(profile.name, wish)) > 1
    else:
        with pytest.raises(InvalidInput, match="`reasoning` cannot be turned off"):
            refuse_unsendable(request, to)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_wish_for_less_reasoning_is_never_dropped(profile: Any) -> None:
    """Even if the provider has rejected everything that could express it."""
    everything = frozenset({"reasoning_effort", "thinking", "enable_thinking", "reasoning"})
    refused = everything | {"chat_template_kwargs", "thinking_budget", "extra_body"}
    for wish in ({"effort": "low"}, {"max_tokens": 1500}):
        assert reasoned(profile.name, wish, refused=refused) == reasoned(profile.name, wish)
    if not profile.is_openrouter:
        assert reasoned(profile.name, HIGH, refused=refused) == {OLD: CAP}


def test_reasoning_is_not_turned_on_without_its_budget() -> None:
    """Alibaba does not count it towards the limit, so the hold would not cover it."""
    refused = frozenset({"thinking_budget"})
    assert reasoned("dashscope", HIGH, refused=refused) == {OLD: CAP}


def test_template_arguments_of_the_client_are_kept() -> None:
    got = reasoned("compatible", {"enabled": False}, chat_template_kwargs={"x": 1.50})
    assert got["chat_template_kwargs"] == {"x": 1.5, "enable_thinking": False, "thinking": False}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"reasoning": {"effort": "huge"}}, 'reasoning.effort.*`xhigh` or `null`, not `"huge"`'),
        ({"reasoning": {"effort": "low", "max_tokens": 5}}, "both `effort` and `max_tokens`"),
        ({"reasoning": {"budget": 5}}, "Unknown field `reasoning.budget`"),
        ({"reasoning": {"maxTokens": 5}}, "Use `max_tokens` instead of `maxTokens`"),
        ({"reasoning": "high"}, 'must be an object, not `"high"`'),
        ({"reasoning": {"max_tokens": -1}}, "an integer from 0 to .*, not `-1`"),
        ({"include_reasoning": "no"}, "`true`, `false` or `null`, not"),
        ({"reasoning": HIGH, "reasoning_effort": "low"}, "`reasoning_effort` contradict"),
        ({"reasoning": HIGH, "thinking": {"type": "enabled"}}, "`thinking` contradict"),
        ({"reasoning": HIGH, "enable_thinking": True}, "`enable_thinking` contradict"),
        (
            {"reasoning": HIGH, "chat_template_kwargs": {"enable_thinking": False}},
            "`chat_template_kwargs.enable_thinking` contradict",
        ),
    ],
)
def test_reasoning_that_contradicts_itself_is_rejected_by_name(
    members: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        chat.request(**members)


def test_own_parameters_for_reasoning_are_sent_unchanged() -> None:
    own: dict[str, Any] = {
        "reasoning_effort": "high",
        "thinking": {"type": "enabled"},
        "enable_thinking": True,
    }
    for profile in PROFILES:
        assert sent(profile.name, **own) == own


@pytest.mark.parametrize("profile", ["dashscope", "siliconflow"])
@pytest.mark.parametrize(
    ("own", "budget"),
    [
        ({"enable_thinking": True}, CAP // 2),
        ({"enable_thinking": True, "thinking_budget": 100}, 100),
        ({"enable_thinking": True, "thinking_budget": 90_000}, CAP - 1),
        ({"thinking_budget": 100}, 100),
        ({"enable_thinking": False}, 0),
        ({}, 0),
    ],
)
def test_own_reasoning_is_within_the_limit_when_the_provider_counts_it_apart(
    profile: str, own: dict[str, Any], budget: int
) -> None:
    for got in (sent(profile, cap_tokens=CAP, **own), sent(profile, max_tokens=CAP, **own)):
        assert (got.get("thinking_budget", 0), got[OLD]) == (budget, CAP - budget)
        assert got.get("enable_thinking") == own.get("enable_thinking")
    at = {"cap_parameter": CapParameter.MAX_COMPLETION_TOKENS}
    assert sent(profile, cap_tokens=CAP, at=at, **own) == {**own, NEW: CAP}


@pytest.mark.parametrize("own", [{"enable_thinking": "true"}, {"thinking_budget": "9"}])
def test_own_reasoning_that_is_not_of_its_type_is_rejected(own: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="`enable_thinking` must be"):
        refuse_unsendable(chat.request(**own), endpoint("dashscope"))
    with pytest.raises(InvalidInput, match="Use `enable_thinking` instead of `enableThinking`"):
        chat.request(enableThinking=True)


def test_effort_next_to_equal_reasoning_is_sent() -> None:
    assert sent(reasoning=HIGH, reasoning_effort="high")["reasoning_effort"] == "high"


@pytest.mark.parametrize(
    ("members", "excludes"),
    [
        ({}, False),
        ({"reasoning": {"exclude": True}}, True),
        ({"include_reasoning": False}, True),
        ({"include_reasoning": True}, False),
        ({"include_reasoning": False, "reasoning": {"exclude": False}}, False),
    ],
)
def test_excluded_reasoning_is_known_from_the_request(
    members: dict[str, Any], excludes: bool
) -> None:
    assert chat.request(**members).excludes_reasoning is excludes


def test_preference_that_concerns_no_privacy_is_not_sent_to_openrouter() -> None:
    assert "provider" not in sent("openrouter", provider={"sort": "price"})


def test_reasoning_that_asks_for_nothing_adds_no_parameter() -> None:
    assert "reasoning_effort" not in reasoned("openai", {"exclude": True})
