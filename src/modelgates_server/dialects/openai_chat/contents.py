"""What messages and tools bring to a model: texts, and parts that are not text."""

from collections.abc import Iterable

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import OTHER, TEXT
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.dialects.json_object import (
    Grammar,
    JsonObject,
    misfit,
    read_object,
    read_objects,
    says_nothing,
)

_NULL = b"null"
_TEXT = b'"text"'
_FUNCTION_TYPE = b'"function"'

_ASCII = bytes(range(128))
_HTML = b"<>&'"
_CALLS = ("tool_calls", "function_call")

_OUTPUT_OF = {"audio": Meter.OUTPUT_AUDIO, "image": Meter.OUTPUT_IMAGE}
_TEXTUAL = ("text", "refusal")
_SINGLE = ("image_url", "input_audio", "audio_url")
_LINKED = {"image_url": "image", "audio_url": "audio"}
"""One image or one recording each. Others may be documents of many pages, films, or text."""

_MODALITIES = {
    "image_url": "image",
    "image": "image",
    "images": "image",
    "input_image": "image",
    "input_audio": "audio",
    "audio_url": "audio",
    "audio": "audio",
    "video_url": "video",
    "input_video": "video",
    "video": "video",
    "file": "file",
    "file_url": "file",
    "input_file": "file",
    "document": "file",
    "document_url": "file",
    # Text under other names, which a model that reads only text may know.
    "input_text": TEXT,
    "output_text": TEXT,
    "thinking": TEXT,
    "redacted_thinking": TEXT,
    "reasoning": TEXT,
    "reference": TEXT,
}

RETURNED_PARTS = frozenset({"audio", "images"})
"""What a model drew or spoke in an earlier answer, which comes back to it."""

_MESSAGE = Grammar(("role", "content", "name", "audio", "images", "tool_calls", "tool_call_id"))
_SOURCES = frozenset((*_MODALITIES, "source"))
_ADDITIONAL = frozenset(name for name, modality in _MODALITIES.items() if modality != TEXT) | {
    *("image_embeds", "audio_embeds", "video_embeds", "prompt_embeds"),
    *("image_pil", "min_pixels", "max_pixels"),
}
"""What a part may have in addition to what its type says: vLLM reads it where there is a `uuid`,
and Qwen makes a picture larger for `min_pixels`."""
_PART = Grammar(("type", "text", "refusal", *_SOURCES))
_SOURCE = Grammar(
    (
        *("url", "data", "type", "format", "detail", "id", "media_type", *_MODALITIES),
        *("file_id", "file_data", "filename"),
    )
)
_TOOL = Grammar(("type", "function", "custom", "name", "description", "parameters"))
_FUNCTION = Grammar(("name", "description", "parameters", "strict", "format"))
_CHOICE = Grammar(("type", "function", "custom", "name", "allowed_tools", "mode", "tools"))
_CALLABLE = ("function", "custom")

_URL_HEAD_CHARS = 200
_TYPE_CHARS = 60

_text = msgspec.json.Decoder(str)
_url = msgspec.json.Decoder(str | dict[str, msgspec.Raw])
_raws = msgspec.json.Decoder(list[msgspec.Raw])


KINDS_MAX = 100
"""How many types of parts a request may have."""


class Media(msgspec.Struct):
    """What a request has besides text. How many bytes it takes says nothing about tokens.

    `size` is never above the bytes it takes in the body. `parts` has each type of part with the
    modality that a model must read for it. With `has_files` some may be longer than one picture.
    `calls` are the tools' earlier calls, as they were sent.
    """

    unlike_text: set[Meter]
    parts: dict[str, str]
    size: int = 0
    count: int = 0
    sounds: int = 0
    has_files: bool = False
    calls: list[bytes] = []

    def add(self, kind: str, size: int, modality: str | None = None) -> None:
        """One more of a type, of at least so many bytes; raises where there are too many types."""
        if kind not in self.parts:
            if len(self.parts) == KINDS_MAX:
                raise InvalidInput(f"there are more than {KINDS_MAX} types of parts in messages")
            self.parts[kind] = modality or _MODALITIES.get(kind, OTHER)
            self.has_files = self.has_files or kind not in _SINGLE
            if self.parts[kind] == "audio":
                self.unlike_text.add(Meter.INPUT_AUDIO)
        self.size += size
        self.count += 1
        self.sounds += self.parts[kind] == "audio"


def new_media(modalities: list[str] | None) -> Media:
    """None yet; `modalities` is what the answer shall be."""
    return Media({_OUTPUT_OF[name] for name in modalities or () if name in _OUTPUT_OF}, {})


def read_messages(raw: bytes, media: Media) -> int:
    """Read a list of messages and add their media; returns how many there are."""
    messages = read_objects(raw, "messages", _MESSAGE)
    contents: list[bytes] = []
    sources: list[bytes] = []
    for message in messages:
        content = bytes(message["content"]) if "content" in message else _NULL
        if content.startswith(b"["):
            contents.append(content)
        elif not content.startswith(b'"') and content != _NULL:
            raise InvalidInput("the content of a message must be a text or a list of parts")
        media.calls += [bytes(message[name]) for name in _CALLS if name in message]
        if "audio" in message or "images" in message:
            _read_earlier(message, media, sources)
    try:
        _read_parts(contents, media, sources)
    except (KeyError, msgspec.DecodeError):
        raise InvalidInput("a part of a message's content must be an object with a type") from None
    read_objects(_listed(sources), "a part of a message", _SOURCE)
    return len(messages)


def escape_bytes(members: JsonObject, media: Media) -> int:
    """How much longer tools and calls get at most, if a template writes their JSON HTML-safe.

    Ollama and TGI write `<` in them as six characters, and others all that is not ASCII: at most
    three bytes for one.
    """
    tools = [bytes(members[name]) for name in ("tools", "functions") if name in members]
    text = b"".join([*tools, *media.calls])
    # To look for one is far cheaper than to count, and most tools have none.
    signs = len(text) - len(text.translate(None, _HTML)) if any(c in text for c in _HTML) else 0
    beyond = 0 if text.isascii() else len(text.translate(None, _ASCII))
    return 5 * signs + 2 * beyond


def _read_earlier(message: JsonObject, media: Media, sources: list[bytes]) -> None:
    """What the model said before: `audio` names it (OpenAI), `images` are what it drew."""
    for kind in ("audio", "images"):
        if kind in message and not says_nothing(raw := bytes(message[kind])):
            media.add(kind, len(raw))
            if raw.startswith(b"["):
                for part in read_objects(raw, "the images of a message", _PART):
                    _add_sources(part, sources)
            elif raw.startswith(b"{"):
                sources.append(raw)


def _read_parts(contents: list[bytes], media: Media, sources: list[bytes]) -> None:
    together = _listed(content[1:-1] for content in contents)
    parts = read_objects(together, "a part of a message", _PART)
    has_additional = not _ADDITIONAL.isdisjoint(set().union(*parts))
    if not has_additional and all(bytes(part["type"]) == _TEXT for part in parts):
        return
    for part, raw in zip(parts, _raws.decode(together), strict=True):
        if (kind := _text.decode(part["type"])) not in _TEXTUAL:
            _add_part(kind, part, len(bytes(raw)), media)
            _add_sources(part, sources)
        if has_additional and not _ADDITIONAL.isdisjoint(part):
            _add_additional(kind, part, media, sources)


def _add_part(kind: str, part: JsonObject, size: int, media: Media) -> None:
    """A part by its type, and what is linked as a picture or a sound by what it says it is."""
    modality = _LINKED.get(kind)
    data_type = _data_type(part[kind]) if modality and kind in part else None
    if data_type is None or data_type.partition("/")[0] == modality:
        return media.add(kind, size)
    family = data_type.partition("/")[0]
    linked = family if family in ("image", "audio", "video") else "file"
    return media.add(f"{kind} of {data_type or 'an unknown type'}", size, linked)


def _data_type(raw: msgspec.Raw) -> str | None:
    """The media type of a data: URL, which may be empty; None for other URLs."""
    if bytes(raw) == _NULL:
        return None  # vLLM takes the picture that it knows by its uuid
    try:
        source = _url.decode(raw)
        url = source if isinstance(source, str) else _text.decode(source.get("url", b'""'))
    except msgspec.DecodeError:
        return ""
    head = url[:_URL_HEAD_CHARS].lstrip().lower()
    if not head.startswith("data:"):
        return None
    return head.removeprefix("data:").partition(",")[0].partition(";")[0].strip()[:_TYPE_CHARS]


def _add_additional(kind: str, part: JsonObject, media: Media, sources: list[bytes]) -> None:
    """What a part has besides what its type names, if that is another kind of thing."""
    for name in _ADDITIONAL.intersection(part):
        raw = bytes(part[name])
        modality = _MODALITIES.get(name, OTHER)
        if name == kind or raw == _NULL or modality == _MODALITIES.get(kind, TEXT):
            continue
        if name.endswith("_pixels"):
            media.has_files = True  # the number of tokens is unknown
            continue
        media.add(name, len(raw) if kind in _TEXTUAL else 0)
        if raw.startswith(b"{") and kind in _TEXTUAL:
            sources.append(raw)


def _add_sources(part: JsonObject, sources: list[bytes]) -> None:
    """The objects of a part that say where a picture, a recording or a file is."""
    if not _SOURCES.isdisjoint(part):
        named = [bytes(raw) for name, raw in part.items() if name in _SOURCES]
        sources += [raw for raw in named if raw.startswith(b"{")]


def _listed(raws: Iterable[bytes]) -> bytes:
    """A list of what several lists have, to be read at the cost of one: there may be thousands."""
    return b"[%b]" % b",".join(raw for raw in raws if raw and not raw.isspace())


def read_tools(members: JsonObject) -> bool:
    """Whether there are tools; raises for those that a provider runs, which have no price."""
    tools = _list_of(members, "tools", _TOOL)
    for number, tool in enumerate(tools):
        if bytes(tool.get("type", _NULL)) == _FUNCTION_TYPE:
            continue
        kind = _type_of(tool, f"tools[{number}]")
        if kind not in _CALLABLE:
            raise InvalidInput(f"tools of type {kind!r:.80} have no price here")
    _read_callables(tools, "tools")
    functions = _list_of(members, "functions", _FUNCTION)
    for name in ("tool_choice", "function_call"):
        if name in members and (raw := bytes(members[name])).startswith(b"{"):
            _read_choice(raw, name)
    return bool(tools or functions)


def _read_choice(raw: bytes, path: str) -> None:
    choice = read_object(raw, path, _CHOICE)
    _read_callables([choice], path)
    if "allowed_tools" in choice and (raw := bytes(choice["allowed_tools"])).startswith(b"{"):
        choice = read_object(raw, f"{path}.allowed_tools", _CHOICE)
    _read_callables(_list_of(choice, "tools", _TOOL), f"{path}.tools")


def _read_callables(tools: list[JsonObject], path: str) -> None:
    for name in _CALLABLE:
        named = [bytes(tool[name]) for tool in tools if name in tool]
        if objects := [raw for raw in named if raw.startswith(b"{")]:
            read_objects(_listed(objects), f"{name} of {path}", _FUNCTION)


def _list_of(members: JsonObject, name: str, grammar: Grammar) -> list[JsonObject]:
    raw = bytes(members[name]) if name in members else _NULL
    try:
        return [] if raw == _NULL else read_objects(raw, name, grammar)
    except msgspec.DecodeError as error:
        raise misfit(error, name) from None


def _type_of(tool: JsonObject, path: str) -> str:
    """What has no type would be whatever a provider takes it for."""
    if "type" not in tool:
        raise InvalidInput(f"the body does not fit: missing field `type` - at `$.{path}`")
    try:
        return _text.decode(tool["type"])
    except msgspec.DecodeError as error:
        raise misfit(error, f"{path}.type") from None
