"""Reads messages and tools: texts, and content parts that are not text."""

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
ENLARGING = ("mm_processor_kwargs", "media_io_kwargs", "vl_high_resolution_images")
"""Parameters of vLLM and Qwen that may raise the number of tokens that an image takes."""

_LINKED = {"image_url": "image", "audio_url": "audio"}
"""Types with one image or one recording each. Others may be long documents, videos, or text."""

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
    # Text under other names, which a text-only model may accept.
    "input_text": TEXT,
    "output_text": TEXT,
    "thinking": TEXT,
    "redacted_thinking": TEXT,
    "reasoning": TEXT,
    "reference": TEXT,
}

RETURNED_PARTS = frozenset({"audio", "images"})
"""Images and audio from the model's earlier responses, sent back as part of the conversation."""

_MESSAGE = Grammar(("role", "content", "name", "audio", "images", "tool_calls", "tool_call_id"))
_SOURCES = frozenset((*_MODALITIES, "source"))
_ADDITIONAL = frozenset(name for name, modality in _MODALITIES.items() if modality != TEXT) | {
    *("image_embeds", "audio_embeds", "video_embeds", "prompt_embeds"),
    *("image_pil", "min_pixels", "max_pixels"),
}
"""Fields that a part may have in addition to the one its type names: vLLM reads them if there is a
`uuid`, and Qwen enlarges an image to `min_pixels`."""
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
"""The most types of content parts that a request may have."""


class Media(msgspec.Struct):
    """The contents of a request that are not text. Their bytes say nothing about tokens.

    `size` is at most the bytes that they take in the body. `parts` maps each type of part to the
    modality that a model must support for it. If `has_files`, some may take more tokens than one
    image. `calls` are earlier tool calls, as they were sent.
    """

    unlike_text: set[Meter]
    parts: dict[str, str]
    size: int = 0
    count: int = 0
    sounds: int = 0
    has_files: bool = False
    calls: list[bytes] = []

    def add(self, kind: str, size: int, modality: str | None = None) -> None:
        """Add a part of at least `size` bytes; raises `InvalidInput` for too many types."""
        if kind not in self.parts:
            if len(self.parts) == KINDS_MAX:
                raise InvalidInput(
                    f"`messages` has more than {KINDS_MAX} types of content parts. Use fewer types."
                )
            self.parts[kind] = modality or _MODALITIES.get(kind, OTHER)
            self.has_files = self.has_files or kind not in _SINGLE
            if self.parts[kind] == "audio":
                self.unlike_text.add(Meter.INPUT_AUDIO)
        self.size += size
        self.count += 1
        self.sounds += self.parts[kind] == "audio"


def new_media(modalities: list[str] | None) -> Media:
    """An empty `Media`; `modalities` are the ones that the client requests for the response."""
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
            raise InvalidInput("`content` of a message must be a string or a list of parts.")
        media.calls += [bytes(message[name]) for name in _CALLS if name in message]
        if "audio" in message or "images" in message:
            _read_earlier(message, media, sources)
    try:
        _read_parts(contents, media, sources)
    except (KeyError, msgspec.DecodeError):
        raise InvalidInput(
            "Each part of a message's `content` must be an object with a `type`."
        ) from None
    read_objects(_listed(sources), "a part of a message", _SOURCE)
    return len(messages)


def enlarges_media(members: JsonObject) -> bool:
    """Whether a parameter of a request may raise the number of tokens that an image takes."""
    return any(not says_nothing(bytes(members.get(name, b"null"))) for name in ENLARGING)


def escape_bytes(members: JsonObject, media: Media) -> int:
    """The most bytes that tools and calls grow by if a template escapes their JSON.

    Ollama and TGI write `<` in them as six characters. Others escape everything that is not ASCII:
    at most three bytes for one.
    """
    tools = [bytes(members[name]) for name in ("tools", "functions") if name in members]
    text = b"".join([*tools, *media.calls])
    # Searching for one is far cheaper than counting, and most tools have none.
    signs = len(text) - len(text.translate(None, _HTML)) if any(c in text for c in _HTML) else 0
    beyond = 0 if text.isascii() else len(text.translate(None, _ASCII))
    return 5 * signs + 2 * beyond


def _read_earlier(message: JsonObject, media: Media, sources: list[bytes]) -> None:
    """Read media of the model's earlier responses: OpenAI's `audio` by its id, `images`."""
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
    """Add a part by its type; linked images and audio by the media type in their `data:` URL."""
    modality = _LINKED.get(kind)
    data_type = _data_type(part[kind]) if modality and kind in part else None
    if data_type is None or data_type.partition("/")[0] == modality:
        return media.add(kind, size)
    family = data_type.partition("/")[0]
    linked = family if family in ("image", "audio", "video") else "file"
    return media.add(f"{kind} of {data_type or 'an unknown type'}", size, linked)


def _data_type(raw: msgspec.Raw) -> str | None:
    """The media type of a `data:` URL, which may be empty; None for other URLs."""
    if bytes(raw) == _NULL:
        return None  # vLLM uses the image that it has cached under the part's uuid
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
    """Add the media that a part has in addition to its type, if their modality is another one."""
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
    """Collect the objects of a part that locate an image, a recording or a file."""
    if not _SOURCES.isdisjoint(part):
        named = [bytes(raw) for name, raw in part.items() if name in _SOURCES]
        sources += [raw for raw in named if raw.startswith(b"{")]


def _listed(raws: Iterable[bytes]) -> bytes:
    """One JSON list of many raw items, so that thousands are decoded in one step."""
    return b"[%b]" % b",".join(raw for raw in raws if raw and not raw.isspace())


def read_tools(members: JsonObject) -> bool:
    """Whether there are tools; raises for tools that a provider runs, which have no price."""
    tools = _list_of(members, "tools", _TOOL)
    for number, tool in enumerate(tools):
        if bytes(tool.get("type", _NULL)) == _FUNCTION_TYPE:
            continue
        kind = _type_of(tool, f"tools[{number}]")
        if kind not in _CALLABLE:
            raise InvalidInput(
                f"Tools of type {kind!r:.80} have no price on this server. "
                "Use tools of type 'function' or 'custom'."
            )
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
            read_objects(_listed(objects), f"`{name}` of `{path}`", _FUNCTION)


def _list_of(members: JsonObject, name: str, grammar: Grammar) -> list[JsonObject]:
    raw = bytes(members[name]) if name in members else _NULL
    try:
        return [] if raw == _NULL else read_objects(raw, name, grammar)
    except msgspec.DecodeError as error:
        raise misfit(error, name, raw) from None


def _type_of(tool: JsonObject, path: str) -> str:
    """The type of a tool; without one, each provider would assume its own."""
    if "type" not in tool:
        raise InvalidInput(f"`{path}.type` is missing.")
    try:
        return _text.decode(tool["type"])
    except msgspec.DecodeError as error:
        raise misfit(error, f"{path}.type", bytes(tool["type"])) from None
