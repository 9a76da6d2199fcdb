"""The tools of a request under the names that they have in chat completions, and back.

Chat completions know only functions with one name. A tool of a namespace becomes
`namespace__name`, a custom tool a function with one text. The names follow from the request alone,
so the response is translated back without any state.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from modelgates_server.dialects.json_object import JsonObject

FUNCTION, CUSTOM, TOOL_SEARCH, NAMESPACE = "function", "custom", "tool_search", "namespace"
CARRIERS = ("additional_tools", "tool_search_output")
"""The types of items that bring tools."""

NAME_MAX_CHARS = 64
_DIGEST_CHARS = 8
_BETWEEN = "__"
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_NULL = msgspec.Raw(b"null")

_objects = msgspec.json.Decoder(list[JsonObject])
_kind = msgspec.json.Decoder(object)


class ClientTool(msgspec.Struct, frozen=True):
    """One tool: its kind, its namespace, its name, and its definition as it was sent.

    `about` is the description of its namespace, for the first tool in it.
    """

    kind: str
    namespace: str | None
    name: str
    definition: JsonObject
    about: str | None = None


class ToolNames:
    """The names of a request's tools in chat completions."""

    def __init__(self, tools: Iterable[ClientTool]) -> None:
        self._to_client: dict[str, tuple[str, str | None, str]] = {}
        self._to_chat: dict[tuple[str | None, str], str] = {}
        self.search: str | None = None
        # Tools without a namespace keep their names, whatever order they have.
        for tool in sorted(tools, key=lambda tool: tool.namespace is not None):
            self._add(tool)

    def to_chat(self, namespace: str | None, name: str) -> str:
        """The name of a tool in chat completions, also of one that the request does not list."""
        return self._to_chat.get((namespace, name)) or _fit(namespace, name, self._to_client)

    def to_client(self, chat_name: str) -> tuple[str, str | None, str]:
        """The kind (`function`, `custom` or `tool_search`), namespace and name of a tool.

        A name that the request does not list is that of a function.
        """
        return self._to_client.get(chat_name, (FUNCTION, None, chat_name))

    def _add(self, tool: ClientTool) -> None:
        if tool.kind == TOOL_SEARCH:
            if self.search is None:
                self.search = _fit(None, TOOL_SEARCH, self._to_client)
                self._to_client[self.search] = (TOOL_SEARCH, None, TOOL_SEARCH)
            return
        key = (tool.namespace, tool.name)
        if key not in self._to_chat:
            self._to_chat[key] = _fit(*key, self._to_client)
        self._to_client[self._to_chat[key]] = (tool.kind, *key)


def tool_names(wire: Mapping[str, msgspec.Raw]) -> ToolNames:
    """The names of the tools in a client's request."""
    return ToolNames(tools_of(wire))


def tools_of(wire: Mapping[str, msgspec.Raw]) -> list[ClientTool]:
    """All tools of a request, from `tools` and from the items that bring some.

    Of two with one name, the later replaces the earlier: items repeat tools in every turn.
    """
    found: dict[tuple[bool, str | None, str], ClientTool] = {}
    for definition in _definitions(wire):
        for tool in _flat(definition):
            found[tool.kind == TOOL_SEARCH, tool.namespace, tool.name] = tool
    return list(found.values())


def _definitions(wire: Mapping[str, msgspec.Raw]) -> Iterator[JsonObject]:
    yield from _listed(wire.get("tools", _NULL))
    raw = wire.get("input", _NULL)
    if any(name.encode() in bytes(raw) for name in CARRIERS) or b"\\u00" in bytes(raw):
        for item in _listed(raw):
            if "tools" in item and text_of(item, "type") in CARRIERS:
                yield from _listed(item["tools"])


def _flat(definition: JsonObject) -> Iterator[ClientTool]:
    kind = text_of(definition, "type")
    name = text_of(definition, "name")
    if kind == TOOL_SEARCH:
        yield ClientTool(TOOL_SEARCH, None, TOOL_SEARCH, definition)
    elif kind in (FUNCTION, CUSTOM) and name:
        yield ClientTool(kind, None, name, definition)
    elif kind == NAMESPACE and name:
        about = text_of(definition, "description")
        for inner in _listed(definition.get("tools", _NULL)):
            inner_kind, inner_name = text_of(inner, "type"), text_of(inner, "name")
            if inner_kind in (FUNCTION, CUSTOM) and inner_name:
                yield ClientTool(inner_kind, name, inner_name, inner, about)
                about = None


def text_of(members: JsonObject, name: str) -> str | None:
    """A field that is a text; None for anything else."""
    raw = bytes(members.get(name, _NULL))
    value = _kind.decode(raw) if raw.startswith(b'"') else None
    return value if isinstance(value, str) else None


def _listed(raw: msgspec.Raw) -> list[JsonObject]:
    return _objects.decode(raw) if bytes(raw).startswith(b"[") else []


def _fit(namespace: str | None, name: str, taken: Mapping[str, object]) -> str:
    """A name of at most 64 characters that is not taken.

    Where the plain one does not fit, the end is a digest of the whole name, so that it depends on
    nothing but the name.
    """
    whole = name if namespace is None else f"{namespace}{_BETWEEN}{name}"
    fit = _UNFIT.sub("_", whole)
    if fit == whole and len(fit) <= NAME_MAX_CHARS and fit not in taken:
        return fit
    # A zero byte is in no JSON name of a tool, so two tools never share a digest's input.
    digest = hashlib.sha256(f"{namespace or ''}\0{name}".encode()).hexdigest()
    fit = f"{fit[: NAME_MAX_CHARS - _DIGEST_CHARS - 1]}_{digest[:_DIGEST_CHARS]}"
    return fit if fit not in taken else digest[:NAME_MAX_CHARS]
