"""Which request parameters a provider is sent, and what is doubtful about that."""

import re
from collections.abc import Iterator
from typing import Any

from modelgates_server.bootstrap.configuration_file import ProviderTable
from modelgates_server.bootstrap.configuration_providers import host_and_port
from modelgates_server.core.pricing.catalog import CapParameter, Model
from modelgates_server.dialects.openai_chat.provider_profiles import (
    COMPATIBLE,
    Budget,
    Profile,
    profile_of,
)

CHAT, ANTHROPIC = "openai-chat", "anthropic"
"""The dialect with all APIs of OpenAI, and the one whose provider reads keys from `x-api-key`."""

_REASONING_MODEL = re.compile(r"(.*/)?(o[1-9]|gpt-?[5-9])([^0-9].*)?", re.ASCII)
"""OpenAI's models that reject `max_tokens`: o1, o3-mini, gpt-5 and so on."""


def request_rules(table: ProviderTable) -> dict[str, Any]:
    """Returns the fields of `Endpoint` that concern request parameters."""
    profile = _profile(table)
    is_automatic = table.cap_parameter is None
    return {
        "profile": profile.name,
        "cap_parameter": table.cap_parameter or profile.cap or CapParameter.MAX_TOKENS,
        "keeps_cap_name": is_automatic and profile.cap is None,
        "stream_options": table.stream_options,
        "dialects": table.dialect,
    }


def doubtful_requests(path: str, table: ProviderTable) -> Iterator[str]:
    """Returns warnings about the request parameters that a provider is sent."""
    if CHAT not in table.dialect:
        return
    profile, cap = _profile(table), table.cap_parameter
    if not table.stream_options:
        yield (
            f"`{path}.stream_options` is false: streams of this provider are charged by an "
            "estimate, unless it reports their usage unasked."
        )
    if profile is COMPATIBLE and cap is None:
        yield (
            f"`{path}` is not a known host, so the output limit keeps the name that the client "
            "uses, and is `max_tokens` if the client sets none. A server that ignores one of the "
            "names exceeds the limit, and a strict one may reject parameters of OpenRouter's "
            "clients. Set `cap_parameter` to the name that the server reads: `max_tokens` or "
            "`max_completion_tokens`."
        )
    # Newer models of providers with `thinking_budget` read both names: only the newer one limits
    # reasoning.
    is_wrong = cap is CapParameter.MAX_COMPLETION_TOKENS and profile.cap is CapParameter.MAX_TOKENS
    if is_wrong and profile.budget is not Budget.THINKING_BUDGET:
        yield (
            f"`{path}.cap_parameter` is `{cap}`, but {profile.title} reads `{profile.cap}`. Output "
            "may exceed its limit and its hold. Remove `cap_parameter`."
        )
    if cap is None and profile.budget is Budget.THINKING_BUDGET:
        yield (
            f"`{path}`: `max_tokens` of {profile.title} does not limit reasoning. A model that "
            "reasons unasked may exceed its hold, and you pay the rest. Set `cap_parameter` to "
            "`max_completion_tokens` if your models read it, otherwise to `max_tokens`."
        )


def doubtful_cap(model: Model, table: ProviderTable) -> Iterator[str]:
    """Returns warnings about the output limit of a model, each without its subject, the model."""
    speaks_chat = CHAT in table.dialect
    is_openai = speaks_chat and _profile(table).name in ("openai", "azure", COMPATIBLE.name)
    is_reasoning = _REASONING_MODEL.fullmatch(model.endpoint.upstream_model) is not None
    if is_openai and is_reasoning and table.cap_parameter is CapParameter.MAX_TOKENS:
        yield (
            "is probably a reasoning model of OpenAI, which rejects the `cap_parameter` of "
            f"`{model.endpoint.provider}`, `max_tokens`. Remove the field, or set it to "
            "`max_completion_tokens`."
        )


def _profile(table: ProviderTable) -> Profile:
    return profile_of(*host_and_port(table.base_url), table.price_list)
