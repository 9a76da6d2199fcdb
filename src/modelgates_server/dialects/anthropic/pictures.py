"""The most tokens of an image, by Anthropic's published rule, from its real size in pixels.

https://platform.claude.com/docs/en/build-with-claude/vision
"""

import base64
import binascii
import struct

import msgspec

_PATCH_PX = 28
_PIXELS_PER_TOKEN = 750
"""The current rule counts patches; the older one divided the pixels. The higher count is used."""

_PICTURE_MAX_TOKENS = 4784
"""Larger images are scaled down to this, by the models that see the most; others see less."""

_FRAME_TOKENS = 20
"""Around an image; about ten were measured."""

_JPEG = b"/9j/"
_HEAD_CHARS = 64 * 1024
_STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_VP8X_BYTES = 30
_GIF_EXTENSION, _GIF_FRAME = 0x21, 0x2C
_MARKER = 0xFF
_SEGMENTS_MAX = 4096
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))

_text = msgspec.json.Decoder(str)


def picture_tokens(data: bytes) -> int | None:
    """The most tokens of an image in base64, a JSON string; None if its size cannot be read."""
    encoded = _text.decode(data).encode() if b"\\" in data else data.strip(b'"')
    size = _size_of(encoded[:_HEAD_CHARS])
    if size is None and encoded.startswith(_JPEG) and len(encoded) > _HEAD_CHARS:
        size = _size_of(encoded)  # a photo with a large preview in front of its own size
    if size is None or 0 in size:
        return None
    width, height = size
    patches = -(-width // _PATCH_PX) * -(-height // _PATCH_PX)
    tokens = max(patches, -(-width * height // _PIXELS_PER_TOKEN))
    return min(tokens, _PICTURE_MAX_TOKENS) + _FRAME_TOKENS


def _size_of(encoded: bytes) -> tuple[int, int] | None:
    """The width and height of the image that begins so, if they are in this part of it."""
    try:
        head = base64.b64decode(encoded[: len(encoded) // 4 * 4])
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return _two(">II", head, 16)
        if head.startswith((b"GIF87a", b"GIF89a")):
            return _gif(head)
        if head.startswith(b"\xff\xd8"):
            return _jpeg(head)
        if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return _webp(head)
    except (binascii.Error, struct.error, IndexError):
        pass
    return None


def _two(form: str, head: bytes, at: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, head, at)
    return first, second


def _gif(head: bytes) -> tuple[int, int]:
    """The screen, enlarged to the first frame as decoders do."""
    width, height = _two("<HH", head, 6)
    flags = head[10]
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    while head[at] == _GIF_EXTENSION:  # which ends with an empty block
        at += 2
        while head[at]:
            at += head[at] + 1
        at += 1
    if head[at] != _GIF_FRAME:
        raise IndexError("a GIF without a frame")
    left, top, across, down = struct.unpack_from("<HHHH", head, at + 1)
    return max(width, left + across), max(height, top + down)


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    for _ in range(_SEGMENTS_MAX):
        if head[at] != _MARKER:
            raise IndexError("no marker where one must be")
        marker = head[at + 1]
        if marker in _STARTS_OF_FRAME:
            height, width = _two(">HH", head, at + 5)
            return width, height
        if marker == _MARKER:  # padding
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    form = head[12:16]
    if form == b"VP8 ":
        width, height = _two("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    if form == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if form == b"VP8X" and len(head) >= _VP8X_BYTES:
        return (
            int.from_bytes(head[24:27], "little") + 1,
            int.from_bytes(head[27:30], "little") + 1,
        )
    return None
