"""Packed records: what goes in comes out, and what is damaged raises one error."""

import hashlib
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.synthetic_calls import calls
from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.metering.generations import Generation
from modelgates_server.store.generation_rows import GenerationRows
from modelgates_server.store.records import JSON_MAX_BYTES, RecordCodec, RecordDamaged
from modelgates_server.store.sqlite.connection import connect_stdlib
from modelgates_server.store.sqlite.schema import migrate
from modelgates_server.store.sqlite.snapshot import READS
from modelgates_server.store.zstandard import zstd
from tools import record_dictionary

DICTIONARY_1 = "2231c9b2b31821d29705649ba46495f7ccd1d08ce295c8b726f7a41ca038c0f2"


def dictionaries(folder: Path) -> dict[int, bytes]:
    connection = connect_stdlib(folder / "empty.db")
    migrate(connection)
    rows = connection.execute(READS["record_dictionaries"]).fetchall()
    connection.close()
    return dict(rows)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> RecordCodec:
    return RecordCodec(dictionaries(tmp_path_factory.mktemp("codec")))


@pytest.fixture(scope="module")
def packed(codec: RecordCodec) -> bytes:
    return codec.pack(msgspec.json.encode(next(calls(7)).ended))


def generations() -> Iterator[Generation]:
    for call in islice(calls(7), 300):
        yield from call


def test_dictionary_1_never_changes(tmp_path: Path) -> None:
    (content,) = dictionaries(tmp_path).values()
    assert hashlib.sha256(content).hexdigest() == DICTIONARY_1


@pytest.mark.skipif(
    zstd.zstd_version != record_dictionary.ZSTD_VERSION,
    reason="another version of zstd trains another dictionary",
)
def test_dictionary_1_is_the_one_that_the_tool_trains(tmp_path: Path) -> None:
    assert dictionaries(tmp_path) == {record_dictionary.VERSION: record_dictionary.train()}


def test_unpacked_record_is_the_same_json(codec: RecordCodec) -> None:
    rows = GenerationRows(codec)
    for generation in generations():
        json = msgspec.json.encode(generation)
        packed = rows.pack(generation)
        assert codec.unpack(packed) == json
        assert rows.generation((generation.id, "", packed, None)) == generation


@given(st.binary(max_size=5000))
def test_any_bytes_are_unpacked_as_they_were_packed(codec: RecordCodec, json: bytes) -> None:
    assert codec.unpack(codec.pack(json)) == json


def test_records_take_less_than_a_quarter_of_their_json(codec: RecordCodec) -> None:
    records = [msgspec.json.encode(generation) for generation in generations()]
    assert sum(len(codec.pack(json)) for json in records) * 3 < sum(map(len, records))


def test_plain_record_of_an_earlier_version_is_read(codec: RecordCodec) -> None:
    generation = next(calls(7)).ended
    record = msgspec.json.encode(generation).decode()
    assert GenerationRows(codec).generation((generation.id, record, None, None)) == generation


def test_newest_dictionary_packs_and_all_unpack(codec: RecordCodec, tmp_path: Path) -> None:
    first = dictionaries(tmp_path)[1]
    samples = [msgspec.json.encode(generation) for generation in generations()]
    second = zstd.train_dict(samples, 2048).dict_content
    both = RecordCodec({1: first, 2: second})
    old, new = codec.pack(samples[0]), both.pack(samples[0])
    assert (old[0], new[0]) == (1, 2)
    assert both.unpack(old) == both.unpack(new) == samples[0]
    with pytest.raises(RecordDamaged, match="its dictionary 2 is unknown"):
        codec.unpack(new)


def test_record_damaged_at_any_byte_is_reported(codec: RecordCodec, packed: bytes) -> None:
    rows = GenerationRows(codec)
    for at in range(len(packed)):
        for changed in (packed[:at], packed[:at] + bytes([packed[at] ^ 0x41]) + packed[at + 1 :]):
            with pytest.raises(StoreUnavailable, match="'gen-1' cannot be read"):
                rows.generation(("gen-1", "", changed, None))


def test_random_bytes_are_reported_as_a_damaged_record(codec: RecordCodec, packed: bytes) -> None:
    dice = random.Random(1)
    for _ in range(2000):
        with pytest.raises(RecordDamaged):
            codec.unpack(packed[: dice.randint(0, 8)] + dice.randbytes(dice.randint(0, 300)))


def test_bytes_behind_a_record_are_reported(codec: RecordCodec, packed: bytes) -> None:
    for more in (b"x", packed[1:]):
        with pytest.raises(RecordDamaged, match="does not end where it should"):
            codec.unpack(packed + more)


@pytest.mark.parametrize("says_its_size", [True, False])
def test_record_that_would_fill_the_memory_is_not_unpacked(
    codec: RecordCodec, says_its_size: bool
) -> None:
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: 3,
        zstd.CompressionParameter.content_size_flag: int(says_its_size),
    }
    bomb = zstd.compress(b" " * (JSON_MAX_BYTES + 1), options=options)
    assert len(bomb) < 1000
    with pytest.raises(RecordDamaged, match="bytes long"):
        codec.unpack(b"\x01" + bomb)


def test_codec_packs_again_after_an_error(codec: RecordCodec) -> None:
    with pytest.raises(TypeError):
        codec.pack("text")  # type: ignore[arg-type]
    assert codec.unpack(codec.pack(b"{}")) == b"{}"
