"""Writes a client's Responses request as one of chat completions. `rules.py` says what is what."""

from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.dialects.json_object import JsonObject, cut, misfit
from modelgates_server.dialects.openai_responses.chat_messages import ChatMessages
from modelgates_server.dialects.openai_responses.chat_tools import chat_tools, write_choice
from modelgates_server.dialects.openai_responses.items import typed_items
from modelgates_server.dialects.openai_responses.request import CAP
from modelgates_server.dialects.openai_responses.returned_reasoning import form_for
from modelgates_server.dialects.openai_responses.rules import PARAMETERS_TO_CHAT, Action, chosen
from modelgates_server.dialects.openai_responses.tools import ToolNames, tools_of
from modelgates_server.dialects.openai_responses.upstream import ENCRYPTED
from modelgates_server.dialects.translation import TranslatedBody

LOGPROBS = "message.output_text.logprobs"
_NULL = msgspec.Raw(b"null")
_SERVED_INCLUDES = (ENCRYPTED, LOGPROBS)


class _TextFormat(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = _NULL
    strict: bool | None = None


class _TextConfig(msgspec.Struct):
    format: _TextFormat | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None
    exclude: bool | None = None


_text_config = msgspec.json.Decoder(_TextConfig)
_reasoning = msgspec.json.Decoder(_Reasoning)
_texts = msgspec.json.Decoder(list[str] | None)
_text = msgspec.json.Decoder(str | None)


def to_chat(request: InferenceRequest, model: Model | None = None) -> TranslatedBody:
    """The request of chat completions for an endpoint of `model`, and what a rule left out.

    Raises `InvalidInput` that names what has no counterpart.
    """
    wire = {name: raw for name, raw in request.wire.items() if bytes(raw) != b"null"}
    tools = tools_of(wire)
    names = ToolNames(tools)
    instructions = _text.decode(wire.get("instructions", _NULL))
    writer = ChatMessages(names, instructions, form_for(model))
    body: dict[str, Any] = {
        "model": request.models[0],
        "messages": writer.write(typed_items(wire)),
        **{name: wire[name] for name in chosen(wire, PARAMETERS_TO_CHAT, Action.PASSED)},
    }
    if not body["messages"]:
        raise InvalidInput("`input` has no message. Send at least one.")
    _write_tools(body, wire, tools, names)
    _write_settings(body, request)
    omitted = [*writer.omitted, *_write_included(body, wire)]
    return TranslatedBody(
        msgspec.json.encode(body), tuple(dict.fromkeys([*_dropped(wire), *omitted]))
    )


def _dropped(wire: JsonObject) -> list[str]:
    dropped = chosen(wire, PARAMETERS_TO_CHAT, Action.DROPPED)
    return [cut(n) for n in dropped if not (n == "truncation" and bytes(wire[n]) == b'"disabled"')]


def _write_tools(
    body: dict[str, Any], wire: JsonObject, tools: list[Any], names: ToolNames
) -> None:
    allowed, choice = write_choice(wire, tools, names)
    if not allowed:
        return
    body["tools"] = chat_tools(allowed, names)
    if choice is not None:
        body["tool_choice"] = choice
    if bytes(wire.get("parallel_tool_calls", _NULL)) == b"false":
        body["parallel_tool_calls"] = False


def _write_settings(body: dict[str, Any], request: InferenceRequest) -> None:
    wire = request.wire
    if request.cap_tokens is not None:
        # The older name is the one that a server of unknown make obeys.
        body["max_tokens"] = msgspec.Raw(bytes(wire[CAP]))
    known = {"user": request.user, "session_id": request.session_id}
    body.update({name: value for name, value in known.items() if value is not None})
    if bytes(raw := wire.get("reasoning", _NULL)) != b"null":
        _write_reasoning(body, bytes(raw))
    if bytes(raw := wire.get("text", _NULL)) != b"null":
        _write_text(body, bytes(raw))


def _write_reasoning(body: dict[str, Any], raw: bytes) -> None:
    try:
        given = _reasoning.decode(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, "reasoning", raw, _Reasoning) from None
    fields = {
        "effort": given.effort,
        "summary": given.summary or given.generate_summary,
        "max_tokens": given.max_tokens,
        "enabled": given.enabled,
        "exclude": given.exclude,
    }
    if written := {name: value for name, value in fields.items() if value is not None}:
        body["reasoning"] = written


def _write_text(body: dict[str, Any], raw: bytes) -> None:
    try:
        given = _text_config.decode(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, "text", raw, _TextConfig) from None
    if given.verbosity is not None:
        body["verbosity"] = given.verbosity
    form = given.format
    if form is None or form.type == "text":
        return
    if form.type == "json_object":
        body["response_format"] = {"type": form.type}
    elif form.type == "json_schema":
        fields = {"name": form.name or "output", "schema": form.schema, "strict": form.strict}
        fields |= {"description": form.description}
        schema = {n: v for n, v in fields.items() if v is not None}
        body["response_format"] = {"type": form.type, form.type: schema}
    else:
        raise InvalidInput(
            f"`text.format.type` is not supported: `{cut(form.type)}`. Use `text`, `json_object` "
            "or `json_schema`."
        )


def _write_included(body: dict[str, Any], wire: JsonObject) -> list[str]:
    """Write what `include` requests; returns the names of what has no counterpart."""
    included = _texts.decode(wire.get("include", _NULL)) or []
    top = wire.get("top_logprobs", _NULL)
    if LOGPROBS in included or bytes(top) not in (b"null", b"0"):
        body["logprobs"] = True
        if bytes(top) != b"null":
            body["top_logprobs"] = top
    return [f"include.{cut(name)}" for name in included if name not in _SERVED_INCLUDES]
