"""Translates a request of chat completions into a Messages request for an endpoint of a model.

The rules are in `rules.FROM_CHAT`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.core.pricing.service_tiers import AUTO, STANDARD
from modelgates_server.dialects.anthropic.effort import ClaudeModel, claude_model
from modelgates_server.dialects.anthropic.messages_from_chat import Conversation
from modelgates_server.dialects.anthropic.omissions import Omissions
from modelgates_server.dialects.anthropic.rules import FROM_CHAT, by_member
from modelgates_server.dialects.anthropic.thinking_from_chat import thinking_of
from modelgates_server.dialects.anthropic.tools_from_chat import tools_of
from modelgates_server.dialects.json_object import JsonObject, misfit
from modelgates_server.dialects.translation import TranslatedBody

_RULES = by_member(FROM_CHAT)
_NULL = msgspec.Raw(b"null")
_SAME = ("model", "provider", "session_id", "trace", "stream", "cache_control")
_SAMPLING = ("temperature", "top_p", "top_k")

_NEUTRAL: Mapping[str, tuple[bytes, ...]] = {
    "n": (b"1",),
    "top_logprobs": (b"0",),
    "modalities": (b'["text"]',),
    "presence_penalty": (b"0", b"0.0"),
    "frequency_penalty": (b"0", b"0.0"),
    "repetition_penalty": (b"1", b"1.0"),
}
"""Values that ask for nothing."""

_NOT_NOTED = frozenset(
    ("models", "route", "plugins", "transforms", "usage", "debug", "stream_options", "store")
)
"""Dropped, but not worth a note: the gateway obeys them, or they say what applies anyway."""

_members = msgspec.json.Decoder(JsonObject)
_stops = msgspec.json.Decoder(str | list[str])


def from_chat(request: InferenceRequest, model: Model) -> TranslatedBody:
    """The request in the form of Messages; raises `InvalidInput` that names the parameter.

    It has no output limit if the client sets none: the gateway sets one that the credits cover.
    """
    wire, omissions = request.wire, Omissions()
    claude = claude_model(model.endpoint.upstream_model)
    omissions.apply(_RULES, {n: raw for n, raw in wire.items() if not _is_neutral(n, bytes(raw))})
    body: dict[str, Any] = {name: wire[name] for name in _SAME if name in wire}
    if request.cap_tokens is not None:
        body["max_tokens"] = request.cap_tokens
    try:
        body |= _translated(request, model, claude, omissions)
    except msgspec.DecodeError as error:
        raise misfit(error) from None
    return TranslatedBody(msgspec.json.encode(body), omissions.names)


def _translated(
    request: InferenceRequest, model: Model, claude: ClaudeModel, omissions: Omissions
) -> dict[str, Any]:
    wire = request.wire
    conversation = Conversation(claude, omissions)
    _add_messages(conversation, bytes(wire.get("messages", _NULL)))
    body = conversation.body | tools_of(wire, claude, omissions)
    cap_tokens = request.cap_tokens or model.default_output_tokens or model.output_tokens
    thinking = thinking_of(wire, claude, cap_tokens, omissions)
    if conversation.continues_without_thinking and _has_budget(thinking):
        thinking = {}
        omissions.add("reasoning")
    body |= thinking
    body |= _sampling(wire, claude, omissions, is_thinking=_is_on(thinking))
    body |= _short(wire)
    if form := _format(wire, claude):
        body["output_config"] = {**body.get("output_config", {}), "format": form}
    return body


def _is_neutral(name: str, raw: bytes) -> bool:
    return name in _NOT_NOTED or raw in _NEUTRAL.get(name, ())


def _is_on(thinking: dict[str, Any]) -> bool:
    given = thinking.get("thinking")
    return isinstance(given, dict) and given["type"] != "disabled"


def _has_budget(thinking: dict[str, Any]) -> bool:
    given = thinking.get("thinking")
    return isinstance(given, dict) and given["type"] == "enabled"


def _add_messages(conversation: Conversation, raw: bytes) -> None:
    try:
        for number, message in enumerate(msgspec.json.decode(raw, type=list[JsonObject])):
            conversation.add(message, f"messages[{number}]")
        conversation.end()
    except msgspec.DecodeError as error:
        raise misfit(error, "messages", raw) from None


def _sampling(
    wire: JsonObject, claude: ClaudeModel, omissions: Omissions, *, is_thinking: bool
) -> dict[str, Any]:
    """Sampling for a model that takes it: not next to thinking, and one parameter of two."""
    given = {n: wire[n] for n in _SAMPLING if bytes(wire.get(n, _NULL)) != b"null"}
    temperature = given.get("temperature")
    if temperature is not None and msgspec.json.decode(temperature, type=float) > 1:
        raise InvalidInput(
            f"`temperature` is {bytes(temperature).decode():.20}, but this model takes at most 1. "
            "Lower it."
        )
    if not claude.samples or is_thinking:
        dropped = list(given)
    else:
        dropped = ["top_p"] if {"temperature", "top_p"} <= given.keys() else []
    for name in dropped:
        omissions.add(name)
        del given[name]
    return given


def _short(wire: JsonObject) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if (raw := bytes(wire.get("stop", _NULL))) != b"null":
        body |= _stop(raw)
    if (user := msgspec.json.decode(wire.get("user", _NULL), type=str | None)) is not None:
        body["metadata"] = {"user_id": user}
    tier = msgspec.json.decode(wire.get("service_tier", _NULL), type=str | None)
    if tier in STANDARD:
        body["service_tier"] = "standard_only"
    elif tier == AUTO:
        body["service_tier"] = AUTO
    elif tier is not None:
        raise InvalidInput(
            f"`service_tier` is `{tier:.80}`, which this model's provider does not have. Send "
            "`auto` or `default`."
        )
    return body


def _stop(raw: bytes) -> dict[str, Any]:
    try:
        given = _stops.decode(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, "stop", raw, str | list[str]) from None
    stops = [given] if isinstance(given, str) else given
    if any(not stop.strip() for stop in stops):
        raise InvalidInput("`stop` has a text of white space, which this model does not take.")
    return {"stop_sequences": stops} if stops else {}


def _format(wire: JsonObject, claude: ClaudeModel) -> dict[str, Any]:
    raw = bytes(wire.get("response_format", _NULL))
    if raw == b"null":
        return {}
    try:
        form = _members.decode(raw)
        kind = msgspec.json.decode(form.get("type", b'""'), type=str)
        if kind == "text":
            return {}
        if kind != "json_schema" or not claude.formats:
            raise InvalidInput(
                f"`response_format` of type `{kind:.80}` has no counterpart for this model. "
                + (
                    "Use the type `json_schema`."
                    if claude.formats
                    else "Describe it in the prompt."
                )
            )
        schema = _members.decode(form.get("json_schema", b"{}"))
    except msgspec.DecodeError as error:
        raise misfit(error, "response_format", raw) from None
    if "schema" not in schema:
        raise InvalidInput("`response_format.json_schema.schema` is missing.")
    return {"type": "json_schema", "schema": schema["schema"]}
