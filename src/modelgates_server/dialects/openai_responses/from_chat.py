"""Writes a request of chat completions for a provider of the Responses API, by `rules.py`."""

from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.dialects.json_object import JsonObject, cut, misfit, says_nothing
from modelgates_server.dialects.openai_chat.provider_profiles import BY_NAME
from modelgates_server.dialects.openai_chat.reasoning import read_reasoning, reasoning_parameters
from modelgates_server.dialects.openai_responses.request import CAP
from modelgates_server.dialects.openai_responses.response_items import ResponseItems
from modelgates_server.dialects.openai_responses.response_tools import (
    response_choice,
    response_tools,
)
from modelgates_server.dialects.openai_responses.rules import (
    PARAMETERS_FROM_CHAT,
    Action,
    chosen,
    reject,
)
from modelgates_server.dialects.openai_responses.to_chat import LOGPROBS
from modelgates_server.dialects.translation import TranslatedBody

_NULL = msgspec.Raw(b"null")
_EFFORT = "reasoning_effort"
_DEFAULTS = {
    "n": (b"1",),
    "best_of": (b"1",),
    "presence_penalty": (b"0", b"0.0"),
    "frequency_penalty": (b"0", b"0.0"),
    "repetition_penalty": (b"1", b"1.0"),
    "top_k": (b"0", b"-1"),
    "min_p": (b"0", b"0.0"),
    "top_a": (b"0", b"0.0"),
}
"""Values that change nothing."""

_TEXT_ONLY = ["text"]


class _Schema(msgspec.Struct):
    name: str = "output"
    description: str | None = None
    schema: msgspec.Raw = _NULL
    strict: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


_format = msgspec.json.Decoder(_ResponseFormat)
_texts = msgspec.json.Decoder(list[str])


def from_chat(request: InferenceRequest, model: Model) -> TranslatedBody:
    """The request in the Responses API, and what a rule left out.

    Raises `InvalidInput` that names what has no counterpart.
    """
    del model  # every endpoint of the dialect takes the same form
    wire = {name: raw for name, raw in request.wire.items() if _says_something(name, bytes(raw))}
    _refuse(wire)
    items = ResponseItems()
    body: dict[str, Any] = {
        "model": request.models[0],
        "input": items.write(bytes(wire["messages"])),
        **{name: wire[name] for name in chosen(wire, PARAMETERS_FROM_CHAT, Action.PASSED)},
        "store": False,
    }
    if "tools" in wire:
        body["tools"] = response_tools(bytes(wire["tools"]))
    if (choice := response_choice(bytes(wire.get("tool_choice", _NULL)))) is not None:
        body["tool_choice"] = choice
    if request.cap_tokens is not None:
        body[CAP] = request.cap_tokens
    body.update(_reasoning(wire, request.cap_tokens))
    body.update(_text(wire))
    body.update(_logprobs(wire))
    dropped = [cut(name) for name in chosen(wire, PARAMETERS_FROM_CHAT, Action.DROPPED)]
    omitted = tuple(dict.fromkeys([*dropped, *items.omitted]))
    return TranslatedBody(msgspec.json.encode(body), omitted)


def _says_something(name: str, raw: bytes) -> bool:
    if name == "modalities" and raw.startswith(b"[") and _texts.decode(raw) == _TEXT_ONLY:
        return False
    is_switch = PARAMETERS_FROM_CHAT.get(name) and raw == b"false"
    return (
        raw != b"null" and (bool(is_switch) or not says_nothing(raw)) and not _is_default(name, raw)
    )


def _is_default(name: str, raw: bytes) -> bool:
    return raw in _DEFAULTS.get(name, ())


def _refuse(wire: JsonObject) -> None:
    for name in chosen(wire, PARAMETERS_FROM_CHAT, Action.REJECTED):
        raise reject(name, PARAMETERS_FROM_CHAT[name].note)


def _reasoning(wire: JsonObject, cap_tokens: int | None) -> dict[str, Any]:
    """The effort; a number of tokens becomes the highest effort whose share is within it."""
    given = read_reasoning(wire)
    written: dict[str, Any] = {}
    if given.is_on or given.is_off:
        written["effort"] = reasoning_parameters(given, BY_NAME["openai"], wire, cap_tokens)[
            _EFFORT
        ]
    elif _EFFORT in wire:
        written["effort"] = wire[_EFFORT]
    if given.summary is not None:
        written["summary"] = given.summary
    return {"reasoning": written} if written else {}


def _text(wire: JsonObject) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if "response_format" in wire:
        written["format"] = _written_format(bytes(wire["response_format"]))
    if "verbosity" in wire:
        written["verbosity"] = wire["verbosity"]
    return {"text": written} if written else {}


def _written_format(raw: bytes) -> dict[str, Any]:
    try:
        given = _format.decode(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, "response_format", raw, _ResponseFormat) from None
    if given.type in ("text", "json_object"):
        return {"type": given.type}
    if given.type != "json_schema" or given.json_schema is None:
        raise InvalidInput(
            f"`response_format.type` is not supported: `{cut(given.type)}`. Use `text`, "
            "`json_object`, or `json_schema` with a `json_schema`."
        )
    schema = given.json_schema
    fields = {
        "name": schema.name,
        "description": schema.description,
        "schema": schema.schema,
        "strict": schema.strict,
    }
    return {"type": given.type, **{n: value for n, value in fields.items() if value is not None}}


def _logprobs(wire: JsonObject) -> dict[str, Any]:
    if bytes(wire.get("logprobs", _NULL)) != b"true":
        return {}
    top = {"top_logprobs": wire["top_logprobs"]} if "top_logprobs" in wire else {}
    return {"include": [LOGPROBS], **top}
