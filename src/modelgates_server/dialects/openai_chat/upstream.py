"""Writes a request for a provider: under its names, and without what it would reject.

Everything that no table here mentions is sent byte for byte.
"""

from typing import Any

import msgspec

from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api, Endpoint
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.provider_profiles import (
    BY_NAME,
    OPTIONAL,
    Budget,
    Profile,
)
from modelgates_server.dialects.openai_chat.reasoning import (
    Reasoning,
    answer_cap,
    own_budget,
    read_reasoning,
    reasoning_parameters,
)
from modelgates_server.dialects.openai_chat.request import (
    CAPS,
    MAX_TOKENS,
    ROUTING,
    stream_options,
)

_NOT_FORWARDED = frozenset((*ROUTING, *OPTIONAL, "reasoning", "include_reasoning"))
_PRIVACY = ("data_collection", "zdr")
_NOTHING: frozenset[str] = frozenset()

_members = msgspec.json.Decoder(JsonObject)


def upstream_body(
    request: InferenceRequest,
    endpoint: Endpoint,
    *,
    cap_tokens: int | None,
    service_tier: str | None = None,
    refused: frozenset[str] = _NOTHING,
) -> bytes:
    """The body for the provider: its name for the model, and the cap under the name that it reads.

    A given `cap_tokens` or `service_tier` replaces the client's. `refused` are names of parameters
    that this endpoint has rejected. If the gateway chose one, it is left out or renamed, unless
    that would lift a limit. Raises `InvalidInput` for a limit that the provider cannot be sent.
    """
    wire, profile = request.wire, BY_NAME[endpoint.profile]
    members: dict[str, Any] = {n: raw for n, raw in wire.items() if n not in _NOT_FORWARDED}
    members["model"] = endpoint.upstream_model
    for name, raw in _optional(wire, profile).items():
        members.setdefault(name, raw)  # the client may have sent the provider's own name as well
    cap_tokens = request.cap_tokens if cap_tokens is None else cap_tokens
    _write_stream_options(members, request, endpoint, refused)
    if request.api is Api.CHAT or profile.is_openrouter:
        added = _reasoning(request, endpoint, cap_tokens, refused)
        cap_tokens = answer_cap(added, cap_tokens)
        members.update(added)
    if request.has_output:
        _write_cap(members, request, endpoint, cap_tokens, refused)
    if service_tier is not None:
        members["service_tier"] = service_tier
        if "service_tier" in refused:
            del members["service_tier"]
    return msgspec.json.encode(members)


def refuse_unsendable(request: InferenceRequest, endpoint: Endpoint) -> None:
    """Raises `InvalidInput` for a limit of the request that the provider has no parameter for."""
    if request.api is Api.CHAT:
        _reasoning(request, endpoint, request.cap_tokens, _NOTHING)


def _optional(wire: JsonObject, profile: Profile) -> dict[str, Any]:
    return {
        profile.renames.get(name, name): raw
        for name, raw in wire.items()
        if name in profile.passes and not _is_openrouters_flag(name, bytes(raw), profile)
    }


def _is_openrouters_flag(name: str, raw: bytes, profile: Profile) -> bool:
    """Whether this is OpenRouter's boolean, which vLLM reads as an object of the same name."""
    is_flag = name == "structured_outputs" and raw in (b"true", b"false")
    return is_flag and not profile.is_openrouter


def _reasoning(
    request: InferenceRequest,
    endpoint: Endpoint,
    cap_tokens: int | None,
    refused: frozenset[str],
) -> dict[str, Any]:
    wire, profile = request.wire, BY_NAME[endpoint.profile]
    if profile.is_openrouter:
        return _openrouters(wire)
    reasoning = read_reasoning(wire) if "reasoning" in wire else Reasoning()
    if not (reasoning.is_on or reasoning.is_off):
        is_apart = profile.budget is Budget.THINKING_BUDGET and endpoint.cap_parameter == MAX_TOKENS
        return own_budget(wire, cap_tokens) if is_apart else {}
    added = reasoning_parameters(reasoning, profile, wire, cap_tokens)
    if not refused.isdisjoint(added) and not reasoning.is_limiting:
        # A model without reasoning, which OpenRouter would call without these parameters too.
        if "thinking_budget" in added:
            return {}  # reasoning without its budget would not be covered by the hold
        added = {name: value for name, value in added.items() if name not in refused}
    return added


def _openrouters(wire: JsonObject) -> dict[str, Any]:
    """The parameters for OpenRouter itself. Of `provider` it needs only what protects privacy."""
    sent: dict[str, Any] = {n: wire[n] for n in ("reasoning", "include_reasoning") if n in wire}
    preferences = bytes(wire.get("provider", b"null"))
    if preferences != b"null":
        given = _members.decode(preferences)
        if privacy := {name: given[name] for name in _PRIVACY if name in given}:
            sent["provider"] = privacy
    return sent


def _write_cap(
    members: dict[str, Any],
    request: InferenceRequest,
    endpoint: Endpoint,
    cap_tokens: int | None,
    refused: frozenset[str],
) -> None:
    """Send the output limit under one name: some providers reject two, Mistral even a null.

    Ollama ignores the name that it does not know, so its output would not end at the limit.
    """
    name = _cap_name(request, endpoint, refused)
    for each in CAPS:
        if each != name:
            members.pop(each, None)
    if cap_tokens is not None:
        members[name] = cap_tokens


def _cap_name(request: InferenceRequest, endpoint: Endpoint, refused: frozenset[str]) -> str:
    """`completions` has only `max_tokens`. A limit that was rejected is renamed, never removed."""
    if request.api is Api.COMPLETIONS:
        return MAX_TOKENS
    own = [name for name in CAPS if _is_sent(name, request.wire)]
    is_kept = endpoint.keeps_cap_name and len(own) == 1
    name = own[0] if is_kept else endpoint.cap_parameter.value
    other = CAPS[1 - CAPS.index(name)]
    return other if name in refused and other not in refused else name


def _write_stream_options(
    members: dict[str, Any], request: InferenceRequest, endpoint: Endpoint, refused: frozenset[str]
) -> None:
    """Request the usage of every stream: without its usage chunk it can only be estimated."""
    is_refused = "stream_options" in refused and not _is_sent("stream_options", request.wire)
    if is_refused or not endpoint.stream_options:
        members.pop("stream_options", None)
    elif request.stream:
        members["stream_options"] = {**stream_options(request.wire), "include_usage": True}


def _is_sent(name: str, wire: JsonObject) -> bool:
    return bytes(wire.get(name, b"null")) != b"null"
