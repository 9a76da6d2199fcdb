"""Takes tools out of a request that the provider would run itself and charge for.

Agents send some with every request (Codex sends `web_search`), so their presence is no error. They
have no price, so they are taken out before anything else reads the request, and named in `omitted`.
A request that can only be served with one of them is rejected.
"""

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import (
    Grammar,
    JsonObject,
    cut,
    misfit,
    read_object,
    read_objects,
    says_nothing,
)
from modelgates_server.dialects.openai_responses.rules import TOOLS, Action

_NULL = msgspec.Raw(b"null")
_TOOL = Grammar(
    (
        *("type", "name", "description", "parameters", "strict", "format", "tools"),
        *("execution", "defer_loading", "function", "custom"),
    )
)
_CHOICE = Grammar(("type", "name", "namespace", "mode", "tools", "server_label"))
_CARRIERS = ("additional_tools", "tool_search_output")
_SEARCH = "tool_search"
_ADVICE = "Use tools of type `function` or `custom`."

_text = msgspec.json.Decoder(str)


class _Taken:
    """The types that were taken out, and whether any tool is left."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.is_any_left = False

    @property
    def omitted(self) -> tuple[str, ...]:
        return tuple(f"tools.{kind}" for kind in dict.fromkeys(self.kinds))


def take_out(
    members: JsonObject, items: list[JsonObject], kinds: list[str]
) -> tuple[tuple[str, ...], bool]:
    """Take these tools out of `members` and its `items`, which are of `input`, of these `kinds`.

    Returns what was left out, and whether any tool remains. Raises `InvalidInput` if a tool is
    demanded that cannot be served, and for one that is malformed.
    """
    taken = _Taken()
    lists = _lists(members, items, kinds)
    kept = [_kept(bytes(holder["tools"]), path, taken) for holder, path in lists]
    if _SEARCH in taken.kinds:
        # Without the search, deferred tools could never be used.
        kept = [[_undeferred(tool) for tool in tools] for tools in kept]
    if taken.kinds:
        for (holder, _), tools in zip(lists, kept, strict=True):
            holder["tools"] = msgspec.Raw(msgspec.json.encode(tools))
        if any(holder is not members for holder, _ in lists):
            members["input"] = msgspec.Raw(msgspec.json.encode(items))
    _check_choice(members, taken)
    # An empty namespace is sent too, and the provider renders it.
    return taken.omitted, any(kept)


def _lists(
    members: JsonObject, items: list[JsonObject], kinds: list[str]
) -> list[tuple[JsonObject, str]]:
    """The objects with a list of tools, each with its path."""
    found = [(members, "tools")] if _has_tools(members) else []
    for number, (item, kind) in enumerate(zip(items, kinds, strict=True)):
        if kind in _CARRIERS and _has_tools(item):
            found.append((item, f"input[{number}].tools"))
    return found


def _has_tools(holder: JsonObject) -> bool:
    return "tools" in holder and bytes(holder["tools"]) != b"null"


def _kept(raw: bytes, path: str, taken: _Taken) -> list[JsonObject]:
    try:
        tools = read_objects(raw, path, _TOOL)
    except msgspec.DecodeError as error:
        raise misfit(error, path, raw) from None
    kept = []
    for number, tool in enumerate(tools):
        where = f"{path}[{number}]"
        kind = _text_of(tool, "type")
        if kind is None:
            raise InvalidInput(f"`{where}.type` must be the type of a tool. {_ADVICE}")
        if not _is_kept(kind, tool):
            taken.kinds.append(cut(kind))
            continue
        if kind != _SEARCH and not _text_of(tool, "name"):
            raise InvalidInput(f"`{where}.name` is missing.")
        if kind == "namespace" and _has_tools(tool):
            before = len(taken.kinds)
            inner = _kept(bytes(tool["tools"]), f"{where}.tools", taken)
            if len(taken.kinds) > before:
                tool["tools"] = msgspec.Raw(msgspec.json.encode(inner))
        else:
            taken.is_any_left = True
        kept.append(tool)
    return kept


def _is_kept(kind: str, tool: JsonObject) -> bool:
    if kind == _SEARCH:
        return _text_of(tool, "execution") == "client"
    return kind in TOOLS and TOOLS[kind].action is Action.TRANSLATED


def _undeferred(tool: JsonObject) -> JsonObject:
    tool = {name: raw for name, raw in tool.items() if name != "defer_loading"}
    if _text_of(tool, "type") == "namespace" and _has_tools(tool):
        inner = read_objects(bytes(tool["tools"]), "tools", _TOOL)
        tool["tools"] = msgspec.Raw(msgspec.json.encode([_undeferred(each) for each in inner]))
    return tool


def _check_choice(members: JsonObject, taken: _Taken) -> None:
    raw = bytes(members.get("tool_choice", _NULL))
    if raw == b'"required"' and taken.kinds and not taken.is_any_left:
        raise InvalidInput(
            "`tool_choice` is `required`, but no tool can be used: tools of type "
            f"{_listed(taken.kinds)} have no price on this server. {_ADVICE}"
        )
    if not raw.startswith(b"{"):
        return
    choice = read_object(raw, "tool_choice", _CHOICE)
    kind = _text_of(choice, "type")
    if kind == "allowed_tools":
        _check_allowed(members, choice)
    elif kind is None or not _is_chosen(kind, taken):
        raise InvalidInput(
            f"`tool_choice` demands a tool of type {_listed([kind or 'null'])}, which has no price "
            f"on this server. {_ADVICE}"
        )


def _is_chosen(kind: str, taken: _Taken) -> bool:
    if kind == _SEARCH:
        return _SEARCH not in taken.kinds
    return kind in TOOLS and TOOLS[kind].action is Action.TRANSLATED


def _check_allowed(members: JsonObject, choice: JsonObject) -> None:
    path = "tool_choice.tools"
    raw = bytes(choice.get("tools", _NULL))
    try:
        tools = [] if says_nothing(raw) else read_objects(raw, path, _CHOICE)
    except msgspec.DecodeError as error:
        raise misfit(error, path, raw) from None
    kept = [tool for tool in tools if (_text_of(tool, "type") or "function") in _CALLABLE]
    if len(kept) == len(tools):
        return
    if not kept and _text_of(choice, "mode") == "required":
        raise InvalidInput(
            f"`tool_choice` demands tools that have no price on this server. {_ADVICE}"
        )
    choice["tools"] = msgspec.Raw(msgspec.json.encode(kept))
    members["tool_choice"] = msgspec.Raw(msgspec.json.encode(choice) if kept else b'"none"')


_CALLABLE = frozenset(kind for kind, rule in TOOLS.items() if rule.action is Action.TRANSLATED)


def _text_of(holder: JsonObject, name: str) -> str | None:
    raw = bytes(holder.get(name, _NULL))
    try:
        return _text.decode(raw) if raw.startswith(b'"') else None
    except msgspec.DecodeError as error:
        raise misfit(error, name, raw) from None


def _listed(kinds: list[str]) -> str:
    return ", ".join(f"`{cut(kind)}`" for kind in dict.fromkeys(kinds))
