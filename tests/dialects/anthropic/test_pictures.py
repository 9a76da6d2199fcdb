import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.dialects.anthropic.pictures import picture_tokens
from tests.dialects.anthropic.messages import png

PREVIEW_BYTES = 200_000


def jpeg(width: int, height: int, before: bytes = b"") -> bytes:
    frame = b"\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width) + b"\x03" + bytes(9)
    return b"\xff\xd8" + before + b"\xff" + frame + b"\xff\xd9"


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def gif(width: int, height: int, frame: tuple[int, int, int, int] = (0, 0, 1, 1)) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    extension = b"\x21\xf9\x04" + bytes(4) + b"\x00"
    return head + extension + b"\x2c" + struct.pack("<HHHHB", *frame, 0) + b";"


def webp(chunk: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 " + bytes(7) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height))


def lossless(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    return webp(b"VP8L" + bytes(4) + b"\x2f" + struct.pack("<I", bits))


def extended(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp(b"VP8X" + bytes(8) + sizes)


def tokens_of(picture: bytes) -> int | None:
    return picture_tokens(json.dumps(base64.b64encode(picture).decode()).encode())


@pytest.mark.parametrize("form", [png, jpeg, gif, lossy, lossless, extended])
@given(width=st.integers(1, 8000), height=st.integers(1, 8000))
def test_tokens_cover_the_published_count_for_every_format(
    form: object, width: int, height: int
) -> None:
    assert callable(form)
    counted = tokens_of(form(width, height))
    patches = ((width + 27) // 28) * ((height + 27) // 28)
    assert counted is not None
    assert counted >= min(max(patches, width * height / 750), 4784)
    assert counted <= 4784 + 20


def test_small_picture_costs_less_than_a_large_one() -> None:
    assert tokens_of(png(28, 28)) == 2 + 20
    assert tokens_of(png(280, 280)) == 105 + 20
    assert tokens_of(png(8000, 8000)) == 4784 + 20


def test_size_behind_a_large_preview_is_found() -> None:
    previews = b"".join(segment(0xE1, bytes(60_000)) for _ in range(PREVIEW_BYTES // 60_000 + 1))
    padded = previews + b"\xff\xff\xe2\x00\x04ab" + b"\xff\xd0"
    assert tokens_of(jpeg(280, 280, padded)) == 105 + 20


def test_frame_larger_than_its_screen_counts() -> None:
    assert tokens_of(gif(1, 1, (0, 0, 280, 280))) == tokens_of(png(280, 280))


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\xd0"])
def test_endless_markers_have_no_bound(filler: bytes) -> None:
    assert tokens_of(b"\xff\xd8" + filler * 500_000) is None


def test_escaped_slashes_are_read() -> None:
    data = base64.b64encode(jpeg(280, 280)).decode()
    assert "/" in data
    assert picture_tokens(b'"%b"' % data.replace("/", "\\/").encode()) == 105 + 20


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"BM" + bytes(60),
        png(0, 5),
        png(5, 5)[:20],
        jpeg(5, 5)[:8],
        b"\xff\xd8\x00\x00",
        gif(5, 5)[:12],
        gif(5, 5).replace(b"\x2c", b"\x3b"),
        webp(b"VP8X"),
        webp(b"ALPH" + bytes(40)),
        lossy(5, 5)[:24],
    ],
)
def test_unknown_size_has_no_bound(picture: bytes) -> None:
    assert tokens_of(picture) is None


def test_text_that_is_not_base64_has_no_bound() -> None:
    assert picture_tokens(b'"data:image/png;base64,iVBORw0KGgo="') is None
