"""Ends of calls as lines of text, from which `modelgates spool replay` reads them again.

A line is JSON for people and programs. Its record is one word of letters, digits, `.`, `-` and `_`,
so it survives what logs do to lines: prefixes, escapes, a second layer of JSON. The record has a
version and a checksum.
"""

import binascii
import hashlib
import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.generations import with_error_codes
from modelgates_server.core.money import format_pico
from modelgates_server.service.calls.replays import WaitingEnd
from modelgates_server.service.spool_ports import PendingSettlement

UNSAVED_END = "end of a call not saved: run `modelgates spool replay` on this line"

_VERSION = "1"
_START = re.compile(rb"mg-end-(?=\d)")
_RECORD = re.compile(rb"mg-end-(\d+)\.([0-9a-f]{16})\.([A-Za-z0-9_-]+)")
_CHECKSUM_CHARS = 16
_MAX_BYTES = 16 * 1024 * 1024
_decoder = msgspec.json.Decoder(PendingSettlement)


def to_json(settlement: PendingSettlement) -> bytes:
    """The form of files in the spool."""
    return msgspec.json.encode(settlement)


def from_json(data: bytes) -> PendingSettlement:
    """Reads that form; raises `InvalidInput` if it is damaged."""
    try:
        settlement = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The end of a call is damaged: {error}.") from error
    generation = with_error_codes(settlement.generation)
    return msgspec.structs.replace(settlement, generation=generation)


def to_line(settlement: PendingSettlement) -> bytes:
    """One line, with its end. It has the record, and the fields that people look for."""
    generation = settlement.generation
    line = {
        "event": UNSAVED_END,
        "level": "critical",
        "id": generation.id,
        "account_id": generation.account_id,
        "state": generation.state,
        "cost": format_pico(generation.cost_pico),
        "record": _record(settlement),
    }
    return msgspec.json.encode(line) + b"\n"


def from_line(line: bytes) -> PendingSettlement:
    """The only record of a line; raises `InvalidInput` if it is missing or damaged."""
    for _, text in _records([line]):
        return _settlement(text)
    raise InvalidInput("There is no record in it.")


def ends_in(lines: Iterable[bytes]) -> Iterator[WaitingEnd]:
    """The ends whose records are among other lines, such as those of a log."""
    for number, text in _records(lines):
        source = f"line {number}"
        try:
            settlement = _settlement(text)
        except InvalidInput as error:
            yield WaitingEnd(source, None, None, str(error))
        else:
            yield WaitingEnd(source, settlement.generation.id, settlement)


def _records(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The numbers of lines with a record, each with the text from the start of the record."""
    for number, line in enumerate(lines, start=1):
        for start in _START.finditer(line):
            yield number, line[start.start() :]


def _settlement(text: bytes) -> PendingSettlement:
    match = _RECORD.match(text)
    if match is None:
        raise InvalidInput("The record is cut off.")
    version, checksum, content = match.groups()
    if version.decode() != _VERSION:
        raise InvalidInput(f"The record has version {version.decode()}. Upgrade ModelGates.")
    packed = _decoded(content)
    if packed is None or _checksum(packed) != checksum.decode():
        raise InvalidInput("The record is damaged or cut off: its checksum does not match.")
    return from_json(_unpacked(packed))


def _record(settlement: PendingSettlement) -> str:
    packed = zlib.compress(to_json(settlement))
    return f"mg-end-{_VERSION}.{_checksum(packed)}.{urlsafe_b64encode(packed).decode().rstrip('=')}"


def _checksum(packed: bytes) -> str:
    return hashlib.sha256(packed).hexdigest()[:_CHECKSUM_CHARS]


def _decoded(content: bytes) -> bytes | None:
    try:
        return urlsafe_b64decode(content + b"=" * (-len(content) % 4))
    except binascii.Error:
        return None


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MAX_BYTES)
    except zlib.error as error:
        raise InvalidInput(f"The record is damaged: {error}.") from error
