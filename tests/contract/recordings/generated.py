"""Recordings that are too large, too deep or too unreadable for a file."""

import gzip
import zlib
from collections.abc import Iterator

import msgspec

from modelgates_server.core.metering.repairs import Repair
from tests.contract.recordings.recording import FOLDER, Recording, read_recording

_DEPTH = 3000
_IMAGE_BYTES = 17 * 2**20
_IMAGE_URL = "data:image/png;base64," + "A" * _IMAGE_BYTES
_NESTED = b'{"trace":' * _DEPTH + b"0" + b"}" * _DEPTH
_ENCODINGS = "https://github.com/Anionex/agent-vision-toolkit/pull/36"


def generated_recordings() -> Iterator[Recording]:
    """All of them; each is based on one in a file, of the same form."""
    plain = read_recording(FOLDER / "vllm_extra_fields.recording")
    stream = read_recording(FOLDER / "zhipu_chinese.recording")
    for encoding, encode in (
        ("br", brotli),
        ("zstd", zstd),
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
    ):
        for base, form in ((plain, "plain"), (stream, "stream")):
            yield _changed(
                base,
                f"{encoding}_{form}",
                f"A {form} response, compressed with {encoding} although nobody requested that.",
                encode(base.body),
                {Repair.DECOMPRESSED},
                {"Content-Encoding": encoding},
            )
    nested = b'"x_trace":' + _NESTED + b',"object"'
    for base, form in ((plain, "plain"), (stream, "stream")):
        body = base.body.replace(b'"object"', nested, 1)
        about = "A field that nobody reads is nested thousands of levels deep."
        yield _changed(base, f"deep_{form}", about, body, {Repair.VALUE_REPLACED})
    yield from _images()


def _images() -> Iterator[Recording]:
    """An image larger than 16 MiB, in one event and in a plain response."""
    url = _IMAGE_URL.encode()
    for name, form in (
        ("openrouter_images_in_a_stream", "stream"),
        ("gemini_images_plain", "plain"),
    ):
        base = read_recording(FOLDER / f"{name}.recording")
        body = base.body.replace(b"data:image/png;base64,iVBORw0KGgo=", url)
        large = _changed(base, f"large_image_{form}", "An image of 17 MiB.", body, set())
        large.expected.keeps = [_IMAGE_URL]
        yield large


def _changed(
    base: Recording,
    name: str,
    about: str,
    body: bytes,
    repairs: set[Repair],
    headers: dict[str, str] | None = None,
) -> Recording:
    expected = msgspec.structs.replace(base.expected, repairs=repairs)
    return msgspec.structs.replace(
        base,
        name=name,
        about=about,
        source=_ENCODINGS,
        expected=expected,
        headers={**base.headers, **(headers or {})},
        body=body,
    )


def brotli(data: bytes) -> bytes:
    """Data in the form of Brotli (RFC 7932), in one block that is not compressed."""
    # A window of 16 bits (0), not the last block (0), a length of 4 nibbles (00), uncompressed (1).
    header = (len(data) - 1) << 4 | 1 << 20
    assert len(data) <= 2**16
    return header.to_bytes(3, "little") + data + b"\x03"


def zstd(data: bytes) -> bytes:
    """Data in the form of Zstandard (RFC 8878), in one block that is not compressed."""
    size = (len(data) - 256).to_bytes(2, "little")
    block = (len(data) << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd\x60" + size + block + data
