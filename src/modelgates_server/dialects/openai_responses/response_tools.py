"""Writes tools and `tool_choice` of chat completions for the Responses API."""

from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import misfit

_NULL = msgspec.Raw(b"null")
_NO_PARAMETERS = {"type": "object", "properties": {}}


class _Grammar(msgspec.Struct):
    definition: str = ""
    syntax: str = ""


class _GrammarFormat(msgspec.Struct):
    type: str = "text"
    grammar: _Grammar | None = None


class _Callable(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = _NULL
    strict: bool | None = None
    format: _GrammarFormat | None = None


class _Tool(msgspec.Struct):
    type: str
    function: _Callable | None = None
    custom: _Callable | None = None


class _Allowed(msgspec.Struct):
    mode: str = "auto"
    tools: list[_Tool] = []


class _ChatChoice(msgspec.Struct):
    type: str
    function: _Callable | None = None
    custom: _Callable | None = None
    allowed_tools: _Allowed | None = None


_tools = msgspec.json.Decoder(list[_Tool])
_choice = msgspec.json.Decoder(str | _ChatChoice | None)


def response_tools(raw: bytes) -> list[dict[str, Any]]:
    """The tools, without the object that chat completions put around each."""
    try:
        tools = _tools.decode(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, "tools", raw, list[_Tool]) from None
    return [_written(tool, f"tools[{number}]") for number, tool in enumerate(tools)]


def _written(tool: _Tool, path: str) -> dict[str, Any]:
    given = _callable(tool, path)
    written: dict[str, Any] = {"type": tool.type, "name": given.name}
    if given.description is not None:
        written["description"] = given.description
    if tool.type == "custom":
        if given.format is not None:
            written["format"] = _format(given.format)
        return written
    has_none = bytes(given.parameters) == b"null"
    written["parameters"] = _NO_PARAMETERS if has_none else given.parameters
    # If it is left out, this API tries to be strict, and chat completions do not.
    written["strict"] = bool(given.strict)
    return written


def _format(given: _GrammarFormat) -> dict[str, Any]:
    if given.grammar is None:
        return {"type": given.type}
    grammar = given.grammar
    return {"type": given.type, "syntax": grammar.syntax, "definition": grammar.definition}


def _callable(tool: _Tool | _ChatChoice, path: str) -> _Callable:
    given = tool.custom if tool.type == "custom" else tool.function
    if given is None:
        raise InvalidInput(
            f"`{path}.{'custom' if tool.type == 'custom' else 'function'}` is missing."
        )
    return given


def response_choice(raw: bytes) -> str | dict[str, Any] | None:
    """The choice of a tool; None if the client left it out."""
    try:
        choice = _choice.decode(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, "tool_choice", raw, str | _ChatChoice | None) from None
    if choice is None or isinstance(choice, str):
        return choice
    if choice.type != "allowed_tools" or choice.allowed_tools is None:
        return _named(choice, "tool_choice")
    allowed = choice.allowed_tools
    tools = [
        _named(tool, f"tool_choice.allowed_tools.tools[{number}]")
        for number, tool in enumerate(allowed.tools)
    ]
    return {"type": choice.type, "mode": allowed.mode, "tools": tools}


def _named(tool: _Tool | _ChatChoice, path: str) -> dict[str, Any]:
    return {"type": tool.type, "name": _callable(tool, path).name}
