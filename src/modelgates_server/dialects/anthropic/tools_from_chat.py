"""Writes the tools of a chat request, and its choice among them, in the form of Messages."""

from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.anthropic.effort import ClaudeModel
from modelgates_server.dialects.anthropic.omissions import Omissions
from modelgates_server.dialects.json_object import JsonObject, misfit, says_nothing

_NULL = msgspec.Raw(b"null")
_ANY_OBJECT = {"type": "object", "properties": {}}

_members = msgspec.json.Decoder(JsonObject)
_objects = msgspec.json.Decoder(list[JsonObject])


def tools_of(wire: JsonObject, claude: ClaudeModel, omissions: Omissions) -> dict[str, Any]:
    """`tools` and `tool_choice`; empty without tools. Raises `InvalidInput` by name."""
    raw = bytes(wire.get("tools", _NULL))
    if says_nothing(raw):
        return {}
    try:
        tools = [_tool(t, n, claude, omissions) for n, t in enumerate(_objects.decode(raw))]
    except msgspec.DecodeError as error:
        raise misfit(error, "tools", raw) from None
    body: dict[str, Any] = {"tools": tools}
    choice = _choice(bytes(wire.get("tool_choice", _NULL)), claude)
    if bytes(wire.get("parallel_tool_calls", _NULL)) == b"false":
        choice = {"type": "auto"} if choice is None else choice
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    if choice is not None:
        body["tool_choice"] = choice
    return body


def _tool(
    tool: JsonObject, number: int, claude: ClaudeModel, omissions: Omissions
) -> dict[str, Any]:
    if bytes(tool.get("type", _NULL)) != b'"function"' or "function" not in tool:
        raise InvalidInput(
            f"`tools[{number}]` is not a function. This model takes only tools of type `function`."
        )
    function = _members.decode(tool["function"])
    if "name" not in function:
        raise InvalidInput(f"`tools[{number}].function.name` is missing.")
    schema = function.get("parameters", _NULL)
    written: dict[str, Any] = {"name": function["name"]}
    if bytes(function.get("description", _NULL)) != b"null":
        written["description"] = function["description"]
    written["input_schema"] = _ANY_OBJECT if bytes(schema) in (b"null", b"{}") else schema
    if bytes(function.get("strict", _NULL)) == b"true":
        if claude.formats:
            written["strict"] = True
        else:
            omissions.add("tools.strict")
    if not says_nothing(bytes(tool.get("cache_control", _NULL))):
        written["cache_control"] = tool["cache_control"]
    return written


def _choice(raw: bytes, claude: ClaudeModel) -> dict[str, Any] | None:
    if raw == b"null":
        return None
    choice: dict[str, Any]
    if raw in (b'"auto"', b'"none"'):
        return {"type": msgspec.json.decode(raw)}
    if raw == b'"required"':
        choice = {"type": "any"}
    else:
        try:
            members = _members.decode(raw)
            name = _members.decode(members["function"])["name"]
        except (msgspec.DecodeError, KeyError):
            raise InvalidInput(
                "`tool_choice` must be `auto`, `none`, `required` or a function by name for this "
                "model."
            ) from None
        choice = {"type": "tool", "name": name}
    if not claude.forces_tools:
        raise InvalidInput(
            "`tool_choice` demands a call of a tool, which this model rejects. Use `auto`, and ask "
            "for the call in the prompt."
        )
    return choice
