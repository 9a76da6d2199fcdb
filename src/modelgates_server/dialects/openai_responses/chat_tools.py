"""Writes tools and `tool_choice` of a Responses request for chat completions."""

from collections.abc import Iterable
from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import JsonObject, misfit
from modelgates_server.dialects.openai_responses.tools import (
    CUSTOM,
    FUNCTION,
    NAMESPACE,
    TOOL_SEARCH,
    ClientTool,
    ToolNames,
    text_of,
)

_NULL = msgspec.Raw(b"null")
_NO_PARAMETERS = {"type": "object", "properties": {}}
_ONE_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The input of the tool, as text."}},
    "required": ["input"],
    "additionalProperties": False,
}
_SYNTAX = {"lark": "Lark", "regex": "regular expression"}
_WORDS = ("none", "auto", "required")


class _CustomFormat(msgspec.Struct):
    """The format of a custom tool's input."""

    type: str = "text"
    syntax: str = ""
    definition: str = ""


class _ChosenTool(msgspec.Struct):
    type: str
    name: str | None = None
    namespace: str | None = None
    mode: str = "auto"
    tools: list["_ChosenTool"] = []


_format = msgspec.json.Decoder(_CustomFormat | None)
_choice = msgspec.json.Decoder(str | _ChosenTool | None)


def chat_tools(tools: Iterable[ClientTool], names: ToolNames) -> list[dict[str, Any]]:
    """The tools as functions, under their names in chat completions."""
    return [{"type": FUNCTION, FUNCTION: _function(tool, names)} for tool in tools]


def _function(tool: ClientTool, names: ToolNames) -> dict[str, Any]:
    if tool.kind == TOOL_SEARCH:
        written: dict[str, Any] = {"name": names.search}
    else:
        written = {"name": names.to_chat(tool.namespace, tool.name)}
    if description := _description(tool):
        written["description"] = description
    if tool.kind == CUSTOM:
        return {**written, "parameters": _ONE_TEXT}
    parameters = tool.definition.get("parameters", _NULL)
    written["parameters"] = _NO_PARAMETERS if bytes(parameters) == b"null" else parameters
    strict = tool.definition.get("strict", _NULL)
    if bytes(strict) != b"null":
        written["strict"] = strict
    return written


def _description(tool: ClientTool) -> str:
    """The description, after that of the namespace; a custom tool's grammar belongs to it."""
    texts = [tool.about or "", text_of(tool.definition, "description") or ""]
    if tool.kind == CUSTOM:
        texts.append(_grammar(tool))
    return "\n\n".join(text for text in texts if text)


def _grammar(tool: ClientTool) -> str:
    raw = bytes(tool.definition.get("format", _NULL))
    try:
        form = _format.decode(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, f"the format of tool {tool.name}", raw, _CustomFormat) from None
    if form is None or not form.definition:
        return ""
    syntax = _SYNTAX.get(form.syntax, form.syntax)
    return f"`input` must match this {syntax} grammar:\n{form.definition}"


def write_choice(
    wire: JsonObject, tools: list[ClientTool], names: ToolNames
) -> tuple[list[ClientTool], str | dict[str, Any] | None]:
    """The tools that may be called, and `tool_choice`; None if none is to be sent.

    Chat completions have no list of allowed tools at most providers, so the others are left out.
    """
    raw = bytes(wire.get("tool_choice", _NULL))
    try:
        choice = _choice.decode(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, "tool_choice", raw, str | _ChosenTool | None) from None
    if isinstance(choice, _ChosenTool) and choice.type == "allowed_tools":
        tools = [tool for tool in tools if _is_allowed(tool, choice.tools)]
        choice = choice.mode
    if isinstance(choice, str) and choice not in _WORDS:
        known = ", ".join(f"`{word}`" for word in _WORDS)
        raise InvalidInput(f"`tool_choice` must be one of {known}, or an object.")
    if not tools:
        _refuse_demand(choice)
        return [], None
    if isinstance(choice, _ChosenTool):
        return tools, {"type": FUNCTION, FUNCTION: {"name": _named(choice, names)}}
    return tools, choice


def _refuse_demand(choice: str | _ChosenTool | None) -> None:
    """Raises `InvalidInput` if a choice demands a tool where there is none."""
    if choice not in (None, "none", "auto"):
        raise InvalidInput("`tool_choice` demands a tool, but `tools` has none. Send the tool.")


def _named(choice: _ChosenTool, names: ToolNames) -> str:
    if choice.type == TOOL_SEARCH and names.search:
        return names.search
    if not choice.name:
        raise InvalidInput("`tool_choice.name` is missing.")
    return names.to_chat(choice.namespace, choice.name)


def _is_allowed(tool: ClientTool, allowed: list[_ChosenTool]) -> bool:
    return any(
        (each.type == TOOL_SEARCH and tool.kind == TOOL_SEARCH)
        or (each.type == NAMESPACE and each.name == tool.namespace)
        or (each.name == tool.name and each.namespace in (None, tool.namespace))
        for each in allowed
    )
