"""Reads OpenRouter's `reasoning`, and writes it in the words of a provider.

`reasoning` divides the output between thinking and response; it never raises the output limit.
Reasons: docs/decisions/0029-request-parameters-per-provider.md.
"""

from typing import Annotated, Any, Literal

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import OUTPUT_MAX_TOKENS
from modelgates_server.dialects.json_object import (
    Grammar,
    JsonObject,
    misfit,
    read_object,
    says_nothing,
)
from modelgates_server.dialects.openai_chat.provider_profiles import Budget, Profile, Switch

_SHARES = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 95, "max": 98}
"""Percent of the output limit that an effort stands for: those of OpenRouter, and `max`."""

_USUAL_OUTPUT = 32_768
"""Base of these shares where no output limit is sent."""

_BUDGET_MIN = 1024
"""Anthropic rejects smaller budgets, and one that is not below the output limit."""

_EFFORT = "reasoning_effort"
_NATIVE = ("thinking", "enable_thinking", "thinking_budget", "extra_body")
"""Other providers' parameters for reasoning. Next to `reasoning`, one of the two would be lost."""

_TEMPLATE = ("enable_thinking", "thinking")
_FREE = Grammar(())


class Reasoning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameter `reasoning`. `summary` belongs to another API and has no effect."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=0, le=OUTPUT_MAX_TOKENS)] | None = None
    enabled: bool | None = None
    exclude: bool | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None

    @property
    def is_off(self) -> bool:
        """Whether the client turns reasoning off."""
        return self.enabled is False or self.effort == "none" or self.max_tokens == 0

    @property
    def is_on(self) -> bool:
        """Whether the client turns reasoning on."""
        is_asked = self.enabled or self.effort is not None or self.max_tokens is not None
        return bool(is_asked) and not self.is_off

    @property
    def is_limiting(self) -> bool:
        """Whether the client wants less reasoning than usual, which must not be dropped."""
        return self.is_off or self.max_tokens is not None or self.effort in ("minimal", "low")


_NAMES = Reasoning.__struct_fields__
_GRAMMAR = Grammar(_NAMES)
_reasoning = msgspec.json.Decoder(Reasoning)
_boolean = msgspec.json.Decoder(bool | None)
_tokens = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0, le=OUTPUT_MAX_TOKENS)] | None)


def read_reasoning(members: JsonObject) -> Reasoning:
    """Read `reasoning` and the older `include_reasoning`; raises `InvalidInput` by name."""
    try:
        includes = _boolean.decode(members.get("include_reasoning", b"null"))
    except msgspec.DecodeError as error:
        raw = bytes(members["include_reasoning"])
        raise misfit(error, "include_reasoning", raw, shape=bool | None) from None
    given = bytes(members.get("reasoning", b"null"))
    reasoning = Reasoning() if says_nothing(given) else _read(given)
    if reasoning.exclude is None and includes is False:
        reasoning = msgspec.structs.replace(reasoning, exclude=True)
    if reasoning.effort is not None and reasoning.max_tokens is not None:
        raise InvalidInput("`reasoning` has both `effort` and `max_tokens`. Send only one of them.")
    if reasoning.is_on or reasoning.is_off:
        _refuse_contradictions(reasoning, members)
    return reasoning


def _read(given: bytes) -> Reasoning:
    try:
        for name in read_object(given, "reasoning", _GRAMMAR):
            if name not in _NAMES:
                known = ", ".join(f"`{each}`" for each in _NAMES)
                raise InvalidInput(f"Unknown field `reasoning.{name:.80}`. Known fields: {known}.")
        return _reasoning.decode(given)
    except msgspec.DecodeError as error:
        raise misfit(error, "reasoning", given, shape=Reasoning) from None


def _refuse_contradictions(reasoning: Reasoning, members: JsonObject) -> None:
    effort = bytes(members.get(_EFFORT, b"null"))
    if not says_nothing(effort) and effort != msgspec.json.encode(reasoning.effort):
        raise InvalidInput(
            f"`reasoning` and `{_EFFORT}` contradict each other. Send only one of them."
        )
    template = _object(members, "chat_template_kwargs")
    native = [name for name in _NATIVE if not says_nothing(bytes(members.get(name, b"null")))]
    native += [f"chat_template_kwargs.{name}" for name in _TEMPLATE if name in template]
    if native:
        raise InvalidInput(
            f"`reasoning` and `{native[0]}` contradict each other. Send only one of them."
        )


def _object(members: JsonObject, name: str) -> JsonObject:
    raw = bytes(members.get(name, b"null"))
    return read_object(raw, name, _FREE) if raw.startswith(b"{") else {}


def reasoning_parameters(
    reasoning: Reasoning, profile: Profile, members: JsonObject, cap_tokens: int | None
) -> dict[str, Any]:
    """The provider's parameters for reasoning; raises `InvalidInput` if it cannot be turned off.

    `cap_tokens` is the output limit that is sent, if any.
    """
    if reasoning.is_off:
        return _turned_off(profile, members)
    if not reasoning.is_on:
        return {}
    budget = _budget(reasoning, profile, cap_tokens)
    if profile.budget is not None and cap_tokens is not None and cap_tokens <= budget:
        return {}  # no room for both reasoning and a response
    if profile.budget is Budget.THINKING:
        return {"thinking": {"type": "enabled", "budget_tokens": budget}}
    if profile.budget is Budget.GOOGLE and (reasoning.effort is None):
        config = {"include_thoughts": not reasoning.exclude}
        limit = {} if reasoning.max_tokens is None else {"thinking_budget": budget}
        return {"extra_body": {"google": {"thinking_config": {**config, **limit}}}}
    written = {} if profile.switch is None else _switched(profile.switch, members, is_on=True)
    if profile.budget is Budget.THINKING_BUDGET:
        written["thinking_budget"] = budget
    is_plain = reasoning.effort is None and reasoning.max_tokens is None
    if profile.efforts and not (is_plain and profile.switch):
        written[_EFFORT] = _nearest(_effort(reasoning, cap_tokens), profile.efforts)
    return written


def own_budget(members: JsonObject, cap_tokens: int | None) -> dict[str, Any]:
    """The `thinking_budget` next to a client's own `enable_thinking`, which has no limit without.

    It leaves room for a response, as that of `reasoning` does. Raises `InvalidInput` for values
    that a provider might read differently.
    """
    try:
        is_on = _boolean.decode(members.get("enable_thinking", b"null"))
        tokens = _tokens.decode(members.get("thinking_budget", b"null"))
    except msgspec.ValidationError:
        raise InvalidInput(
            "`enable_thinking` must be `true` or `false`, and `thinking_budget` a number of tokens."
        ) from None
    if cap_tokens is None or is_on is False or (is_on is None and tokens is None):
        return {}
    usual = cap_tokens * _SHARES["medium"] // 100
    return {"thinking_budget": min(usual if tokens is None else tokens, cap_tokens - 1)}


def answer_cap(parameters: dict[str, Any], cap_tokens: int | None) -> int | None:
    """The output limit to send next to these parameters, so that both fit into `cap_tokens`.

    Providers with `thinking_budget` do not count reasoning towards the limit.
    """
    budget = parameters.get("thinking_budget")
    return cap_tokens if cap_tokens is None or budget is None else cap_tokens - budget


def _turned_off(profile: Profile, members: JsonObject) -> dict[str, Any]:
    written = {} if profile.switch is None else _switched(profile.switch, members, is_on=False)
    if "none" in profile.efforts:
        written[_EFFORT] = "none"
    if not written:
        raise InvalidInput(
            f"`reasoning` cannot be turned off: {profile.title} has no parameter for it. Leave "
            "`reasoning` out, or choose another model."
        )
    return written


def _switched(switch: Switch, members: JsonObject, *, is_on: bool) -> dict[str, Any]:
    match switch:
        case Switch.THINKING:
            return {"thinking": {"type": "enabled" if is_on else "disabled"}}
        case Switch.ENABLE_THINKING:
            return {"enable_thinking": is_on}
        case Switch.REASONING:
            return {"reasoning": {"enabled": is_on}}
        case Switch.TEMPLATE:
            own = _object(members, "chat_template_kwargs")
            return {"chat_template_kwargs": {**own, **dict.fromkeys(_TEMPLATE, is_on)}}


def _budget(reasoning: Reasoning, profile: Profile, cap_tokens: int | None) -> int:
    """The tokens for reasoning: the client's limit, or the share of its effort."""
    cap = cap_tokens or _USUAL_OUTPUT
    tokens = reasoning.max_tokens or cap * _SHARES[reasoning.effort or "medium"] // 100
    least = _BUDGET_MIN if profile.budget is Budget.THINKING else 1
    return max(least, min(tokens, cap - 1))


def _effort(reasoning: Reasoning, cap_tokens: int | None) -> str:
    """The client's effort, or the highest one whose share of the output is within its limit."""
    if reasoning.max_tokens is None:
        return reasoning.effort or "medium"
    cap = cap_tokens or _USUAL_OUTPUT
    within = [e for e, share in _SHARES.items() if cap * share <= 100 * reasoning.max_tokens]
    return within[-1] if within else "minimal"


def _nearest(effort: str, accepted: tuple[str, ...]) -> str:
    """The highest accepted effort that is not above the given one, or the lowest above it."""
    order = tuple(_SHARES)
    active = [each for each in accepted if each != "none"]
    below = [each for each in active if order.index(each) <= order.index(effort)]
    return below[-1] if below else active[0]
