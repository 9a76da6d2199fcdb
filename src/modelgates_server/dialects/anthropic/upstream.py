"""Writes a request for a provider that speaks Messages.

Everything is sent byte for byte except the model, the output limit, the service tier and what the
gateway has taken out: thinking blocks are signed together with all that precedes them.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Endpoint
from modelgates_server.core.pricing.service_tiers import STANDARD
from modelgates_server.dialects.anthropic.effort import BUDGET_MIN, is_claude
from modelgates_server.dialects.anthropic.members import GATEWAY
from modelgates_server.dialects.anthropic.unsigned import without_unsigned
from modelgates_server.dialects.json_object import JsonObject

_STANDARD_TIER = "standard_only"

_members = msgspec.json.Decoder(JsonObject)


def upstream_body(
    request: InferenceRequest,
    endpoint: Endpoint,
    *,
    cap_tokens: int | None,
    service_tier: str | None,
    refused: frozenset[str] = frozenset(),
) -> bytes:
    """The body for the provider; a given cap or service tier replaces the client's.

    `refused` changes nothing: the gateway adds no parameter that a provider could reject.
    """
    del refused
    members: dict[str, Any] = {n: raw for n, raw in request.wire.items() if n not in GATEWAY}
    members["model"] = endpoint.upstream_model
    if is_claude(endpoint.upstream_model):
        members["messages"] = msgspec.Raw(without_unsigned(bytes(request.wire["messages"])))
    if cap_tokens is not None:
        members["max_tokens"] = cap_tokens
        _fit_budget(members, cap_tokens)
    if service_tier is not None:
        # All names of the standard tier mean the same; this API knows only one of them.
        is_standard = service_tier in STANDARD
        members["service_tier"] = _STANDARD_TIER if is_standard else service_tier
    return msgspec.json.encode(members)


def upstream_headers(request: InferenceRequest) -> Mapping[str, str]:
    """The version and the betas of the client."""
    return request.headers


def _fit_budget(members: dict[str, Any], cap_tokens: int) -> None:
    """Lower the budget for thinking below the limit that the gateway chose, or turn it off.

    The provider rejects a budget that is not below the limit.
    """
    raw = bytes(members.get("thinking", b"null"))
    thinking = _members.decode(raw) if raw.startswith(b"{") else {}
    budget = bytes(thinking.get("budget_tokens", b""))
    if not budget.isdigit() or int(budget) < cap_tokens:
        return
    if cap_tokens > BUDGET_MIN:
        members["thinking"] = {**thinking, "budget_tokens": cap_tokens - 1}
    else:
        members["thinking"] = {"type": "disabled"}
