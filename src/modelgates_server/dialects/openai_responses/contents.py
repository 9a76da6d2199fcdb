"""Reads input items: which ones there are, and what in them is not text."""

from collections.abc import Iterable

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import OTHER
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.dialects.json_object import (
    Grammar,
    JsonObject,
    cut,
    misfit,
    read_object,
    read_objects,
    says_nothing,
)
from modelgates_server.dialects.openai_chat.contents import KINDS_MAX, Media

MESSAGE = "message"
_NULL = b"null"
_REFERENCE = "item_reference"

_ITEM = Grammar(
    (
        *("type", "role", "content", "id", "call_id", "name", "namespace", "arguments"),
        *("input", "output", "summary", "encrypted_content", "execution", "tools", "status"),
        *("result", "image_url", "file_id", "outputs", "reasoning", "text"),
    )
)
_PART = Grammar(
    (
        *("type", "text", "refusal", "image_url", "detail", "file_id", "file_data", "file_url"),
        *("filename", "input_audio", "annotations", "prompt_cache_breakpoint"),
    )
)
_SOUND = Grammar(("data", "format"))
BREAKPOINT = Grammar(("mode", "ttl", "prewarm"))

_TEXTUAL = frozenset(("input_text", "output_text", "text", "refusal", "summary_text"))
_MODALITIES = {"input_image": "image", "input_audio": "audio", "input_file": "file"}
_SOURCES = frozenset(("image_url", "file_id", "file_data", "file_url", "input_audio"))
_BEYOND_TEXT = _SOURCES | {"prompt_cache_breakpoint"}
_SINGLE_FIELDS = frozenset(
    ("type", "image_url", "detail", "file_id", "input_audio", "prompt_cache_breakpoint", "id")
)
"""The fields of a part that is a single image or recording; others may enlarge it."""

_CALLS = ("function_call", "custom_tool_call", "tool_search_call", "additional_tools")
_WITH_OUTPUT = ("function_call_output", "custom_tool_call_output")
_TEXT_ITEMS = frozenset(
    (
        *(MESSAGE, "reasoning", *_CALLS, *_WITH_OUTPUT, "tool_search_output", "compaction"),
        *("web_search_call", "file_search_call", "code_interpreter_call", "mcp_list_tools"),
        *("mcp_call", "mcp_approval_request", "mcp_approval_response", "local_shell_call"),
        *("local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call"),
        *("apply_patch_call_output", "computer_call", "configuration_update"),
        *("program", "program_output"),
    )
)
_ITEM_MODALITIES = {"computer_call_output": "image", "image_generation_call": "image"}
_SHOWN = "outputs"
"""The field of a `code_interpreter_call` with its images."""

_REFUSED_ITEMS = {
    "compaction_trigger": "the tokens of a compaction cannot be metered. Remove the item.",
}
_KINDS = {b'"%b"' % kind.encode(): kind for kind in (*_TEXT_ITEMS, *_WITH_OUTPUT)}
_LONG_TTL = b'"12h"'
_FAMILY_CHARS = 64

_text = msgspec.json.Decoder(str)
_raws = msgspec.json.Decoder(list[msgspec.Raw])


def read_items(raw: bytes) -> list[JsonObject]:
    """The items of `input`, each field as it was sent; an input of one text has none.

    Raises `InvalidInput` that names the invalid field.
    """
    if raw.startswith(b'"'):
        return []
    try:
        return read_objects(raw, "input", _ITEM)
    except msgspec.DecodeError as error:
        raise misfit(error, "input", raw) from None


def kinds_of(items: Iterable[JsonObject]) -> list[str]:
    """The type of each item; raises `InvalidInput` for one without, and for a reference."""
    return [_kind_of(item, f"input[{number}]") for number, item in enumerate(items)]


def _kind_of(item: JsonObject, path: str) -> str:
    raw = bytes(item.get("type", _NULL))
    if (known := _KINDS.get(raw)) is not None:
        return known
    if raw == _NULL:
        if "role" in item:
            return MESSAGE
        if item.keys() != {"id"} and item.keys() != {"id", "type"}:
            raise InvalidInput(f"`{path}.type` is missing.")
        kind = _REFERENCE
    else:
        try:
            kind = _text.decode(raw)
        except msgspec.DecodeError as error:
            raise misfit(error, f"{path}.type", raw) from None
    if kind == _REFERENCE:
        raise InvalidInput(
            f"`{path}` is an `item_reference`, and this server stores no responses. Send the "
            "complete item instead of its id. With the AI SDK, set `providerOptions: {openai: "
            "{store: false}}`, or use `provider.chat(id)`."
        )
    if reason := _REFUSED_ITEMS.get(kind):
        raise InvalidInput(f"`{path}` of type `{kind}` is not supported: {reason}")
    return kind


def read_media(items: list[JsonObject], kinds: list[str], media: Media) -> None:
    """Add what the items contain that is not text, and the tool calls among them."""
    contents: list[tuple[str, bytes]] = []
    for number, (item, kind) in enumerate(zip(items, kinds, strict=True)):
        if kind in _CALLS:
            media.calls += map(bytes, item.values())
        if kind == MESSAGE:
            contents.append((f"input[{number}].content", bytes(item.get("content", _NULL))))
        elif kind in _WITH_OUTPUT:
            contents.append((f"input[{number}].output", bytes(item.get("output", _NULL))))
        elif kind not in _TEXT_ITEMS or not says_nothing(bytes(item.get(_SHOWN, _NULL))):
            modality = _ITEM_MODALITIES.get(kind, OTHER)
            _add(media, cut(kind), modality, len(msgspec.json.encode(item)), is_single=False)
    _read_parts(contents, media)


def _read_parts(contents: list[tuple[str, bytes]], media: Media) -> None:
    together = _joined(contents)
    try:
        parts = read_objects(together, "a part of `input`", _PART)
        kinds = [_text.decode(part["type"]) for part in parts]
    except (KeyError, msgspec.DecodeError):
        raise InvalidInput(
            "Each part of an item's `content` or `output` must be an object with a `type`."
        ) from None
    names = frozenset[str]().union(*parts)
    if _TEXTUAL.issuperset(kinds) and names.isdisjoint(_BEYOND_TEXT):
        return
    for part, kind, raw_part in zip(parts, kinds, _raws.decode(together), strict=True):
        if "prompt_cache_breakpoint" in part:
            refuse_long_cache(bytes(part["prompt_cache_breakpoint"]), "prompt_cache_breakpoint")
        if kind not in _TEXTUAL:
            _add_part(part, kind, len(bytes(raw_part)), media)
        elif not _SOURCES.isdisjoint(part):
            # Some servers read an image next to a text.
            _add(media, f"{cut(kind)} with a source", OTHER, 0, is_single=False)


def _joined(contents: list[tuple[str, bytes]]) -> bytes:
    """One JSON list of all parts, so that thousands are decoded in one step."""
    for path, raw in contents:
        if not raw.startswith((b'"', b"[")):
            raise InvalidInput(f"`{path}` must be a string or a list of parts.")
    lists = [raw for _, raw in contents if raw.startswith(b"[") and not says_nothing(raw)]
    return b"[%b]" % b",".join(raw[1:-1] for raw in lists)


def refuse_long_cache(raw: bytes, path: str) -> None:
    """Raises `InvalidInput` for a cache of twelve hours, whose writing has no price."""
    if not raw.startswith(b"{"):
        return
    if bytes(read_object(raw, path, BREAKPOINT).get("ttl", _NULL)) == _LONG_TTL:
        raise InvalidInput(f"`{path}.ttl` of `12h` has no price on this server. Use `30m`.")


def _add_part(part: JsonObject, kind: str, size: int, media: Media) -> None:
    modality = _MODALITIES.get(kind, OTHER)
    if kind == "input_audio" and (raw := bytes(part.get(kind, _NULL))).startswith(b"{"):
        read_object(raw, "input_audio", _SOUND)
    is_single = _SINGLE_FIELDS.issuperset(part) and (
        modality == "audio" or (modality == "image" and _is_image(part))
    )
    _add(media, cut(kind), modality, size, is_single=is_single)


def _is_image(part: JsonObject) -> bool:
    """Whether an image part links one image: a `data:` URL may have another media type."""
    raw = bytes(part.get("image_url", _NULL))
    if not raw.startswith(b'"'):
        return raw == _NULL  # by the id of a file that the provider knows as an image
    try:
        url = _text.decode(raw)[:_FAMILY_CHARS].lstrip().lower()
    except msgspec.DecodeError as error:
        raise misfit(error, "image_url", raw) from None
    return not url.startswith("data:") or url.startswith("data:image/")


def _add(media: Media, kind: str, modality: str, size: int, *, is_single: bool) -> None:
    """Add a part; unlike `Media.add`, it knows that an `input_image` is a single image."""
    if kind not in media.parts and len(media.parts) == KINDS_MAX:
        raise InvalidInput(
            f"`input` has more than {KINDS_MAX} types of content parts. Use fewer types."
        )
    media.parts[kind] = modality
    media.has_files = media.has_files or not is_single
    if modality == "audio":
        media.unlike_text.add(Meter.INPUT_AUDIO)
        media.sounds += 1
    media.size += size
    media.count += 1
