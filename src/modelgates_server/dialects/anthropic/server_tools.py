"""Takes tools that the provider runs out of a request, because their uses have no price here.

Agents offer such tools with every request, so their presence rejects nothing. A request that
demands one is rejected.
"""

import re

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import (
    Grammar,
    JsonObject,
    misfit,
    read_object,
    read_objects,
    says_nothing,
)

_NULL = msgspec.Raw(b"null")
_CUSTOM = (b"null", b'"custom"')
_OF_CLIENT = ("bash_", "text_editor_", "memory_", "computer_")
"""Tools that Anthropic describes and the client runs."""

_TOOLSET = "_toolset_"
_SEARCH, _CODE = "tool_search", "code_execution"
_PRESET_TOKENS = 4000
"""More than any published description of one of these tools."""

_TOOL = Grammar(
    (
        *("type", "name", "description", "input_schema", "strict", "cache_control"),
        *("defer_loading", "eager_input_streaming", "input_examples", "allowed_callers"),
        *("max_uses", "configs"),
    )
)
_CHOICE = Grammar(("type", "name", "disable_parallel_tool_use"))
_CHOICES = ("auto", "any", "tool", "none")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)

_text = msgspec.json.Decoder(str)
_raws = msgspec.json.Decoder(list[msgspec.Raw])


class Tools(msgspec.Struct):
    """The tools that stay. `omitted` names what was taken out.

    `hidden_tokens` is the most that descriptions take which the request does not contain; None if
    they may fill the context. `sizes` are the bytes of each definition, by the name of its tool.
    """

    kept: list[bytes] = []
    omitted: list[str] = []
    hidden_tokens: int | None = 0
    caches: bool = False
    sizes: dict[str, int] = {}


def read_tools(members: JsonObject) -> Tools:
    """Read `tools` and `tool_choice`, and take server tools out of both.

    Raises `InvalidInput` if the request demands a tool that was taken out.
    """
    found = Tools()
    raw = bytes(members.get("tools", _NULL))
    if raw != b"null":
        try:
            _read(read_objects(raw, "tools", _TOOL), _raws.decode(raw), found)
        except msgspec.DecodeError as error:
            raise misfit(error, "tools", raw) from None
    _check_choice(members, found)
    if found.omitted:
        _replace(members, found)
    return found


def _read(tools: list[JsonObject], raws: list[msgspec.Raw], found: Tools) -> None:
    gone = set[str]()
    for number, (tool, raw) in enumerate(zip(tools, raws, strict=True)):
        kind = "" if bytes(tool.get("type", _NULL)) in _CUSTOM else _text.decode(tool["type"])
        if kind and not kind.startswith(_OF_CLIENT) and _TOOLSET not in kind:
            gone.add(kind)
            continue
        if "name" not in tool and _TOOLSET not in kind:
            raise InvalidInput(f"`tools[{number}].name` is missing.")
        found.kept.append(bytes(raw))
        name = _text.decode(tool.get("name", b'""'))
        found.sizes[name] = found.sizes.get(name, 0) + len(bytes(raw))
        found.caches |= not says_nothing(bytes(tool.get("cache_control", _NULL)))
        if _TOOLSET in kind:
            found.hidden_tokens = None
        elif kind and found.hidden_tokens is not None:
            found.hidden_tokens += _PRESET_TOKENS
    found.omitted = [
        f"tools.{kind if _WORD.fullmatch(kind) else 'unknown'}" for kind in sorted(gone)
    ]
    for field, needed in (("defer_loading", _SEARCH), ("allowed_callers", _CODE)):
        if any(kind.startswith(needed) for kind in gone):
            _without(field, found)


def _without(field: str, found: Tools) -> None:
    """Remove a field that only has a meaning next to a tool that was taken out."""
    tools = [msgspec.json.decode(raw, type=JsonObject) for raw in found.kept]
    if any(field in tool for tool in tools):
        for tool in tools:
            tool.pop(field, None)
        found.kept = [msgspec.json.encode(tool) for tool in tools]
        found.omitted.append(f"tools.{field}")


def _check_choice(members: JsonObject, found: Tools) -> None:
    raw = bytes(members.get("tool_choice", _NULL))
    if raw == b"null":
        return
    try:
        choice = read_object(raw, "tool_choice", _CHOICE)
        kind = _text.decode(choice.get("type", b'""'))
        name = _text.decode(choice.get("name", b'""'))
    except msgspec.DecodeError as error:
        raise misfit(error, "tool_choice", raw) from None
    if kind not in _CHOICES:
        raise InvalidInput(
            f"`tool_choice.type` must be `auto`, `any`, `tool` or `none`, not `{kind:.80}`."
        )
    if found.omitted and (
        (kind == "tool" and name not in found.sizes) or (kind == "any" and not found.kept)
    ):
        raise InvalidInput(
            "`tool_choice` demands a tool that the provider runs. Such tools have no price on this "
            "server. Use a tool of your own."
        )


def _replace(members: JsonObject, found: Tools) -> None:
    if found.kept:
        members["tools"] = msgspec.Raw(b"[%b]" % b",".join(found.kept))
    else:
        members.pop("tools")
        members.pop("tool_choice", None)
