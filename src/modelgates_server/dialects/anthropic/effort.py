"""Effort and budgets for thinking: how one is read as the other, and what each Claude model takes.

There is no official equivalence. The shares are OpenRouter's published rule:
https://openrouter.ai/docs/use-cases/reasoning-tokens
"""

import re
from collections.abc import Mapping

import msgspec

BUDGET_MIN = 1024
"""Anthropic rejects smaller budgets."""

_BUDGET_MAX = 128_000
SHARES: Mapping[str, int] = {
    "minimal": 10,
    "low": 20,
    "medium": 50,
    "high": 80,
    "xhigh": 95,
    "max": 95,
}
"""Percent of the output limit that an effort stands for."""

LEVELS = ("low", "medium", "high", "xhigh", "max")
"""Anthropic's levels of effort, in ascending order."""

_ANTHROPIC = {"minimal": "low"}


class ClaudeModel(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that models accept whose name matches `pattern`.

    `thinking` are the types of `thinking`, `efforts` the levels of `output_config.effort`, in
    ascending order. `samples` says whether it takes `temperature`, `top_p` and `top_k`,
    `forces_tools` whether `tool_choice` may demand a call, `formats` whether it takes
    `output_config.format`, and `hears_system` whether a system message may come later.
    """

    pattern: str
    thinking: tuple[str, ...] = ("adaptive",)
    efforts: tuple[str, ...] = LEVELS
    samples: bool = False
    forces_tools: bool = False
    formats: bool = True
    hears_system: bool = True


_BUDGET = ("enabled", "disabled")
_BOTH = ("adaptive", "enabled", "disabled")

MODELS: tuple[ClaudeModel, ...] = (
    ClaudeModel(
        pattern=r"claude-(instant|2|3)|claude-(opus|sonnet|haiku)-3",
        thinking=_BUDGET,
        efforts=(),
        samples=True,
        forces_tools=True,
        formats=False,
        hears_system=False,
    ),
    ClaudeModel(
        pattern=r"(opus|sonnet)-4(-[01](?!\d)|\.[01]|-20|$|@|:)",
        thinking=_BUDGET,
        efforts=(),
        samples=True,
        forces_tools=True,
        formats=False,
        hears_system=False,
    ),
    ClaudeModel(
        pattern=r"(haiku|sonnet)-4[-.]5",
        thinking=_BUDGET,
        efforts=(),
        samples=True,
        forces_tools=True,
        hears_system=False,
    ),
    ClaudeModel(
        pattern=r"opus-4[-.]5",
        thinking=_BUDGET,
        efforts=("low", "medium", "high"),
        samples=True,
        forces_tools=True,
        hears_system=False,
    ),
    ClaudeModel(
        pattern=r"(opus|sonnet)-4[-.]6",
        thinking=_BOTH,
        efforts=("low", "medium", "high", "max"),
        samples=True,
        forces_tools=True,
        hears_system=False,
    ),
    ClaudeModel(pattern=r"opus-4[-.][78]", thinking=("adaptive", "disabled"), forces_tools=True),
    ClaudeModel(pattern=r"sonnet-5[-.]5", thinking=("adaptive", "between_tools")),
    ClaudeModel(pattern=r"(opus-5[-.]5|fable-5[-.]1)"),
    ClaudeModel(
        pattern=r"(opus|sonnet|fable|mythos|haiku)-5",
        thinking=("adaptive", "disabled"),
        forces_tools=True,
    ),
    ClaudeModel(
        pattern=r"",
        thinking=_BUDGET,
        efforts=(),
        samples=True,
        forces_tools=True,
        hears_system=False,
    ),
)
"""The first match counts. The last entry is for other makers' models, which follow the oldest form.

A newer Claude that no entry names is read as the newest one.
"""

_NEWEST = ClaudeModel(pattern=r"claude")
_COMPILED = tuple((re.compile(each.pattern), each) for each in MODELS)


def is_claude(upstream_model: str) -> bool:
    """Whether a provider's model is Anthropic's: other makers offer this API, too."""
    return "claude" in upstream_model.lower()


def claude_model(upstream_model: str) -> ClaudeModel:
    """The parameters that a provider's model accepts, by its name."""
    if not is_claude(upstream_model):
        return MODELS[-1]
    name = upstream_model.lower()
    known = (model for pattern, model in _COMPILED if pattern.pattern and pattern.search(name))
    return next(known, _NEWEST)


def budget_of(effort: str, cap_tokens: int) -> int | None:
    """The tokens for thinking at an effort; None if there is no room for any."""
    budget = max(min(cap_tokens * SHARES[effort] // 100, _BUDGET_MAX), BUDGET_MIN)
    return budget if budget < cap_tokens else None


def effort_of(budget_tokens: int, cap_tokens: int) -> str:
    """The effort whose share of the output limit is the nearest to a budget; the lower of two."""
    share = 100 * budget_tokens / max(cap_tokens, 1)
    return min(SHARES, key=lambda effort: (abs(SHARES[effort] - share), SHARES[effort]))


def level_of(effort: str, accepted: tuple[str, ...]) -> str | None:
    """The highest accepted level that is not above an effort, or the lowest; None if none is."""
    if not accepted:
        return None
    wanted = LEVELS.index(_ANTHROPIC.get(effort, effort))
    below = [level for level in accepted if LEVELS.index(level) <= wanted]
    return below[-1] if below else accepted[0]
