"""Reads the system prompt and the messages: counts what is not text, and rejects what has no price.

Blocks stay as they were sent. Only what decides about tokens is read.
"""

from collections.abc import Callable, Iterator

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import OTHER, TEXT
from modelgates_server.dialects.anthropic.pictures import picture_tokens
from modelgates_server.dialects.json_object import (
    Grammar,
    JsonObject,
    misfit,
    read_object,
    read_objects,
    says_nothing,
)

_NULL = msgspec.Raw(b"null")
_MESSAGES_MAX = 100_000
_KINDS_MAX = 100
_DEPTH_MAX = 3
"""A message may hold the result of a tool, which may hold a document, which holds blocks."""

ROLES = (b'"user"', b'"assistant"', b'"system"')

_OF_SERVER_TOOLS = frozenset(
    (
        *("server_tool_use", "web_search_tool_result", "web_fetch_tool_result"),
        *("code_execution_tool_result", "bash_code_execution_tool_result"),
        *("text_editor_code_execution_tool_result", "tool_search_tool_result"),
        *("advisor_tool_result", "mcp_tool_use", "mcp_tool_result", "mcp_tool_listing"),
        *("container_upload", "compaction", "fallback"),
    )
)
"""Blocks of tools that the provider ran. Without the tool, a provider rejects them."""

_TEXTUAL = frozenset(("text", "thinking", "redacted_thinking", "tool_removal"))
_WITH_CONTENT = ("tool_result", "image", "document")
"""Blocks whose readers read `source` and `content`."""

_MESSAGE = Grammar(("role", "content"))
_BLOCK = Grammar(
    (
        *("type", "text", "source", "content", "cache_control", "citations", "tool_use_id", "id"),
        *("name", "input", "tool_name", "tool", "thinking", "signature", "data", "is_error"),
        *("title", "context"),
    )
)
_SOURCE = Grammar(("type", "media_type", "data", "url", "file_id", "content"))
_CITATIONS = Grammar(("enabled",))
_REFERENCE = Grammar(("type", "name", "tool_name", "definition"))

_text = msgspec.json.Decoder(str)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_objects = msgspec.json.Decoder(list[JsonObject])

Content = tuple[str, bytes]
"""The path and the JSON of a content."""


class Contents(msgspec.Struct):
    """The contents of the messages apart from text.

    `media_bytes` is at most the bytes of images whose tokens are known, and `media_tokens` the
    most that these take. If `has_files`, other parts may fill the context. `calls` are the inputs
    of earlier tool calls, and `references` the names of tools whose definitions are repeated.
    `inner` are the contents of the blocks that were read last.
    """

    media: int = 0
    media_bytes: int = 0
    media_tokens: int = 0
    has_files: bool = False
    caches: bool = False
    parts: dict[str, str] = {}
    calls: list[bytes] = []
    references: list[str] = []
    inner: list[Content] = []

    def add(self, kind: str, modality: str) -> None:
        """Add a part that is not text; raises `InvalidInput` for too many types."""
        self.media += 1
        self.parts.setdefault(kind, modality)
        if len(self.parts) > _KINDS_MAX:
            raise InvalidInput(f"`messages` has more than {_KINDS_MAX} types of blocks. Use fewer.")


def read_messages(raw: bytes, found: Contents) -> int:
    """Read the messages and add what they contain; returns how many there are."""
    try:
        messages = read_objects(raw, "messages", _MESSAGE)
    except msgspec.DecodeError as error:
        raise misfit(error, "messages", raw) from None
    if not 1 <= len(messages) <= _MESSAGES_MAX:
        raise InvalidInput(
            f"`messages` has {len(messages):,} messages. Send 1 to {_MESSAGES_MAX:,}."
        )
    contents = list[Content]()
    for number, message in enumerate(messages):
        if bytes(message.get("role", _NULL)) not in ROLES:
            raise InvalidInput(
                f"`messages[{number}].role` must be `user`, `assistant` or `system`, not "
                f"`{bytes(message.get('role', _NULL)).decode()[:80]}`."
            )
        if "content" not in message:
            raise InvalidInput(f"`messages[{number}].content` is missing.")
        contents.append((f"messages[{number}].content", bytes(message["content"])))
    read_contents(contents, found)
    return len(messages)


def read_contents(contents: list[Content], found: Contents) -> None:
    """Read texts and lists of blocks, and then the contents of these blocks."""
    for _ in range(_DEPTH_MAX):
        found.inner = []
        for path, block in _blocks(contents):
            _read_block(block, path, found)
        contents = found.inner
        if not contents:
            return
    raise InvalidInput(f"`{contents[0][0]}` is nested too deeply.")


def _blocks(contents: list[Content]) -> Iterator[tuple[str, JsonObject]]:
    """The path and the members of each block: thousands are decoded in one step."""
    lists = [(path, raw) for path, raw in contents if not raw.startswith(b'"')]
    for path, raw in lists:
        if not raw.startswith(b"["):
            raise InvalidInput(f"`{path}` must be a string or a list of blocks.")
    together = b",".join(raw[1:-1] for _, raw in lists if not raw[1:-1].isspace() and raw != b"[]")
    try:
        blocks = iter(read_objects(b"[%b]" % together, "a block of a message", _BLOCK))
    except msgspec.DecodeError:
        raise _misfit_of(lists) from None
    for path, raw in lists:
        for number in range(len(_raws.decode(raw))):
            yield f"{path}[{number}]", next(blocks)


def _misfit_of(lists: list[Content]) -> InvalidInput:
    """The error for the first block that is not an object."""
    for path, raw in lists:
        try:
            _objects.decode(raw)
        except msgspec.DecodeError as error:
            return misfit(error, path, raw)
    raise AssertionError("one of the lists has another value")


def _read_block(block: JsonObject, path: str, found: Contents) -> None:
    kind = _type_of(block, path)
    if "cache_control" in block and not says_nothing(bytes(block["cache_control"])):
        found.caches = True
    if kind in _OF_SERVER_TOOLS:
        raise InvalidInput(
            f"`{path}` is a block of type `{kind}`, which belongs to a tool that the provider "
            "runs. This server has no price for such tools. Remove the block."
        )
    reader = _READERS.get(kind)
    if reader is not None:
        reader(block, path, found)
    elif kind not in _TEXTUAL:
        found.has_files = True
        found.add(f"{kind:.60}", OTHER)
        return
    if kind not in _WITH_CONTENT:
        _read_odd(block, kind, path, found)


def _type_of(block: JsonObject, path: str) -> str:
    raw = bytes(block.get("type", _NULL))
    if raw == b'"text"':
        return "text"
    if "type" not in block:
        raise InvalidInput(f"`{path}.type` is missing.")
    try:
        return _text.decode(raw)
    except msgspec.DecodeError as error:
        raise misfit(error, f"{path}.type", raw) from None


def _read_odd(block: JsonObject, kind: str, path: str, found: Contents) -> None:
    """Read what other servers may read: an image in a block that must not have one."""
    if bytes(block.get("content", _NULL)).startswith(b"["):
        found.inner.append((f"{path}.content", bytes(block["content"])))
    if bytes(block.get("source", _NULL)).startswith(b"{"):
        found.has_files = True
        found.add(f"{kind:.60} with a source", OTHER)


def _read_image(block: JsonObject, path: str, found: Contents) -> None:
    found.add("image", "image")
    source = _source(block, path)
    data = bytes(source.get("data", _NULL))
    tokens = None
    if bytes(source.get("type", _NULL)) == b'"base64"' and data.startswith(b'"'):
        tokens = picture_tokens(data)
    if tokens is None:
        found.has_files = True
    else:
        found.media_tokens += tokens
        found.media_bytes += len(data)


def _read_document(block: JsonObject, path: str, found: Contents) -> None:
    source = _source(block, path)
    kind = bytes(source.get("type", _NULL))
    if kind == b'"text"':
        found.parts.setdefault("document of text", TEXT)
    elif kind == b'"content"':
        found.inner.append((f"{path}.source.content", bytes(source.get("content", _NULL))))
    else:
        found.has_files = True
        found.add("document", "file")
    _read_citations(block, path, found)


def _read_result(block: JsonObject, path: str, found: Contents) -> None:
    content = bytes(block.get("content", _NULL))
    if content != b"null":
        found.inner.append((f"{path}.content", content))


def _read_call(block: JsonObject, path: str, found: Contents) -> None:
    del path
    found.calls.append(bytes(block.get("input", b"")))


def _source(block: JsonObject, path: str) -> JsonObject:
    if "source" not in block:
        raise InvalidInput(f"`{path}.source` is missing.")
    return _object(bytes(block["source"]), f"{path}.source", _SOURCE)


def _object(raw: bytes, path: str, grammar: Grammar) -> JsonObject:
    try:
        return read_object(raw, path, grammar)
    except msgspec.DecodeError as error:
        raise misfit(error, path, raw) from None


def _read_citations(block: JsonObject, path: str, found: Contents) -> None:
    """With citations, the provider numbers each sentence: there may be more numbers than text."""
    raw = bytes(block.get("citations", _NULL))
    if raw.startswith(b"{"):
        citations = read_object(raw, f"{path}.citations", _CITATIONS)
        found.has_files |= bytes(citations.get("enabled", b"true")) != b"false"


def _read_reference(block: JsonObject, path: str, found: Contents) -> None:
    """Note the name of the tool whose definition the provider repeats here."""
    raw = bytes(block.get("tool_name", _NULL))
    if "tool" in block:
        tool = _object(bytes(block["tool"]), f"{path}.tool", _REFERENCE)
        if bytes(tool.get("type", _NULL)) != b'"tool_reference"':
            raise InvalidInput(
                f"`{path}.tool` must refer to a tool in `tools`, with the type `tool_reference`."
            )
        raw = bytes(tool.get("name", tool.get("tool_name", _NULL)))
    if raw.startswith(b'"'):
        found.references.append(_text.decode(raw))


_READERS: dict[str, Callable[[JsonObject, str, Contents], None]] = {
    "image": _read_image,
    "document": _read_document,
    "search_result": _read_citations,
    "tool_result": _read_result,
    "tool_use": _read_call,
    "tool_reference": _read_reference,
    "tool_addition": _read_reference,
}
