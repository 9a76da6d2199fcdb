"""Translates a Messages request into one of chat completions. The rules are in `rules.TO_CHAT`."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.dialects.anthropic.chat_target import target_of
from modelgates_server.dialects.anthropic.effort import LEVELS
from modelgates_server.dialects.anthropic.messages_to_chat import chat_messages
from modelgates_server.dialects.anthropic.omissions import Omissions
from modelgates_server.dialects.anthropic.rules import (
    CONFIG_TO_CHAT,
    TO_CHAT,
    TOOLS_TO_CHAT,
    by_member,
)
from modelgates_server.dialects.json_object import JsonObject, misfit
from modelgates_server.dialects.translation import TranslatedBody

_RULES, _TOOL_RULES = by_member(TO_CHAT), by_member(TOOLS_TO_CHAT)
_CONFIG_RULES = by_member(CONFIG_TO_CHAT)
_NULL = msgspec.Raw(b"null")
_CUSTOM = (b"null", b'"custom"')
_SAME = (
    *("model", "provider", "session_id", "trace", "stream"),
    *("temperature", "top_p", "top_k"),
)
_Shape = TypeVar("_Shape", bound=msgspec.Struct)
_USER_MAX_CHARS = 64
"""OpenAI rejects longer ids. Claude Code's are longer, so a digest of the same length is sent."""

_CLEARING = "clear_thinking_20251015"

_members = msgspec.json.Decoder(JsonObject)
_objects = msgspec.json.Decoder(list[JsonObject])


def to_chat(request: InferenceRequest, model: Model | None = None) -> TranslatedBody:
    """The request in the form of chat completions, for an endpoint of `model` if it is known.

    Raises `InvalidInput` that names the parameter without a counterpart.
    """
    wire, omissions = request.wire, Omissions()
    omissions.apply(_RULES, {n: raw for n, raw in wire.items() if n not in _NOT_NOTED})
    target = target_of(model)
    body: dict[str, Any] = {name: wire[name] for name in _SAME if name in wire}
    for name, translate in _TRANSLATED.items():
        raw = bytes(wire.get(name, _NULL))
        if raw == b"null":
            continue
        try:
            body.update(translate(raw, omissions))
        except msgspec.DecodeError as error:
            raise misfit(error, name, raw) from None
    try:
        body.update(_reasoning(wire, omissions))
        body["messages"] = chat_messages(wire, target, omissions)
    except msgspec.DecodeError as error:
        raise misfit(error, "messages") from None
    return TranslatedBody(msgspec.json.encode(body), omissions.names)


_NOT_NOTED = frozenset(
    ("models", "route", "plugins", "transforms", "usage", "debug", "speed", "inference_geo")
)
"""Dropped, but not worth a note: the gateway obeys them, or they say what applies anyway."""


def no_cache_to_fill() -> InvalidInput:
    """The error for an output limit of 0 that would not be sent to Anthropic."""
    return InvalidInput(
        "`max_tokens` is 0, which fills Anthropic's cache. This model's provider has none to "
        "fill. Send at least 1."
    )


def _max_tokens(raw: bytes, _: Omissions) -> dict[str, Any]:
    if raw == b"0":
        raise no_cache_to_fill()
    return {"max_tokens": msgspec.Raw(raw)}


def _stop(raw: bytes, _: Omissions) -> dict[str, Any]:
    return {"stop": msgspec.Raw(raw)} if raw != b"[]" else {}


def _user(raw: bytes, omissions: Omissions) -> dict[str, Any]:
    metadata = _members.decode(raw)
    for name in metadata:
        if name != "user_id":
            omissions.add(f"metadata.{name:.80}")
    user = msgspec.json.decode(metadata.get("user_id", b"null"), type=str | None)
    if user and len(user) > _USER_MAX_CHARS:
        user = hashlib.sha256(user.encode()).hexdigest()
    return {"user": user} if user else {}


def _service_tier(raw: bytes, _: Omissions) -> dict[str, Any]:
    tier = msgspec.json.decode(raw, type=str)
    return (
        {} if tier == "auto" else {"service_tier": "default" if tier == "standard_only" else tier}
    )


def _context_management(raw: bytes, _: Omissions) -> dict[str, Any]:
    edits = _objects.decode(_members.decode(raw).get("edits", b"[]"))
    for edit in edits:
        kind = msgspec.json.decode(edit["type"], type=str)
        if kind != _CLEARING:
            raise InvalidInput(
                f"`context_management.edits` has the type `{kind:.80}`, which this model's "
                "provider does not have. Leave it out."
            )
    return {}


def _tools(raw: bytes, omissions: Omissions) -> dict[str, Any]:
    tools = [_tool(tool, n, omissions) for n, tool in enumerate(_objects.decode(raw))]
    return {"tools": tools} if tools else {}


def _tool(tool: JsonObject, number: int, omissions: Omissions) -> dict[str, Any]:
    if bytes(tool.get("type", _NULL)) not in _CUSTOM:
        kind = bytes(tool["type"]).decode()
        raise InvalidInput(
            f"`tools[{number}]` is of type {kind:.80}, which only Claude knows. Describe the tool "
            "with an `input_schema`, or choose another model."
        )
    omissions.apply(_TOOL_RULES, {n: r for n, r in tool.items() if n != "type"}, "tools.")
    function: dict[str, Any] = {"name": tool["name"]}
    for name, counterpart in (
        ("description", "description"),
        ("input_schema", "parameters"),
        ("strict", "strict"),
    ):
        if bytes(tool.get(name, _NULL)) != b"null":
            function[counterpart] = tool[name]
    return {"type": "function", "function": function}


def _tool_choice(raw: bytes, _: Omissions) -> dict[str, Any]:
    choice = msgspec.json.decode(raw)
    body: dict[str, Any] = {}
    if choice.get("disable_parallel_tool_use"):
        body["parallel_tool_calls"] = False
    match choice["type"]:
        case "any":
            body["tool_choice"] = "required"
        case "tool":
            function = {"name": choice.get("name", "")}
            body["tool_choice"] = {"type": "function", "function": function}
        case kind:
            body["tool_choice"] = kind
    return body


def _output_config(raw: bytes, omissions: Omissions) -> dict[str, Any]:
    config = _members.decode(raw)
    omissions.apply(_CONFIG_RULES, config, "output_config.")
    form = bytes(config.get("format", _NULL))
    if form == b"null":
        return {}
    members = _members.decode(form)
    if bytes(members.get("type", _NULL)) != b'"json_schema"' or "schema" not in members:
        raise InvalidInput(
            "`output_config.format` must have the type `json_schema`, and a `schema`."
        )
    schema = {"name": "output", "schema": members["schema"], "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


_TRANSLATED: dict[str, Callable[[bytes, Omissions], dict[str, Any]]] = {
    "max_tokens": _max_tokens,
    "stop_sequences": _stop,
    "metadata": _user,
    "service_tier": _service_tier,
    "context_management": _context_management,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "output_config": _output_config,
}


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Config(msgspec.Struct):
    effort: str | None = None


_TYPES = ("enabled", "disabled", "adaptive", "between_tools")


def _reasoning(wire: JsonObject, omissions: Omissions) -> dict[str, Any]:
    """OpenRouter's `reasoning`, which chat completions writes in the words of each provider."""
    thinking = _decoded(wire, "thinking", _Thinking)
    config = _decoded(wire, "output_config", _Config)
    effort = config.effort if config is not None else None
    if effort is not None and effort not in LEVELS:
        raise InvalidInput(
            f"`output_config.effort` must be one of {', '.join(f'`{x}`' for x in LEVELS)}, "
            f"not `{effort:.80}`."
        )
    if thinking is None:
        return {"reasoning": {"effort": effort}} if effort else {}
    if thinking.type not in _TYPES:
        raise InvalidInput(
            f"`thinking.type` must be one of {', '.join(f'`{x}`' for x in _TYPES)}, "
            f"not `{thinking.type:.80}`."
        )
    if effort and thinking.type in ("enabled", "disabled"):
        omissions.add("output_config.effort")
    if thinking.type == "disabled":
        return {"reasoning": {"enabled": False}}
    reasoning: dict[str, Any] = {"effort": effort} if effort else {"enabled": True}
    if thinking.type == "enabled" and thinking.budget_tokens is not None:
        reasoning = {"max_tokens": thinking.budget_tokens}
    if thinking.display == "omitted":
        reasoning["exclude"] = True
    return {"reasoning": reasoning}


def _decoded(wire: JsonObject, name: str, shape: type[_Shape]) -> _Shape | None:
    raw = bytes(wire.get(name, _NULL))
    try:
        return msgspec.json.decode(raw, type=shape | None)
    except msgspec.DecodeError as error:
        raise misfit(error, name, raw, shape) from None
