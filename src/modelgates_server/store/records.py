"""The stored form of a generation's record: JSON, compressed with a dictionary of the database.

A packed record starts with a byte: the version of the dictionary. A zstd frame with the size and a
checksum of the JSON follows. The database keeps every dictionary that its records need.
"""

from collections.abc import Mapping

from modelgates_server.store.zstandard import zstd

JSON_MAX_BYTES = 1024 * 1024
"""More than any record has. A frame that says otherwise is not decompressed."""

_LEVEL = 1
"""Level 3 makes a file 1 percent smaller and a call 4 percent slower: its tables are larger than
the first cache of a processor."""

_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: _LEVEL,
    zstd.CompressionParameter.checksum_flag: 1,
    zstd.CompressionParameter.dict_id_flag: 0,  # the first byte says it
}
_READING: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 20}


class RecordDamaged(ValueError):
    """A packed record cannot be unpacked."""


class RecordCodec:
    """Packs records with the newest of the dictionaries, and unpacks those of all.

    `dictionaries` are by version. One thread at a time may pack.
    """

    def __init__(self, dictionaries: Mapping[int, bytes]) -> None:
        self._dictionaries = {
            version: zstd.ZstdDict(content).as_digested_dict
            for version, content in dictionaries.items()
        }
        self._newest = max(dictionaries)
        self._prefix = bytes([self._newest])
        self._compressor = self._new_compressor()

    def pack(self, json: bytes) -> bytes:
        """Returns the packed form of a record."""
        try:
            return self._prefix + self._compressor.compress(json, zstd.ZstdCompressor.FLUSH_FRAME)
        except BaseException:
            self._compressor = self._new_compressor()  # the old one is in the middle of a frame
            raise

    def unpack(self, packed: bytes) -> bytes:
        """Returns the JSON of a packed record; raises `RecordDamaged`."""
        version = packed[0] if isinstance(packed, bytes) and packed else 0
        dictionary = self._dictionaries.get(version)
        if dictionary is None:
            raise RecordDamaged(f"its dictionary {version} is unknown")
        frame = packed[1:]
        try:
            size = zstd.get_frame_info(frame).decompressed_size
            if size is None or size > JSON_MAX_BYTES:
                raise RecordDamaged(f"it is {size} bytes long")
            decompressor = zstd.ZstdDecompressor(zstd_dict=dictionary, options=_READING)
            json = decompressor.decompress(frame, max_length=JSON_MAX_BYTES)
        except zstd.ZstdError as error:
            raise RecordDamaged(str(error)) from error
        if not decompressor.eof or decompressor.unused_data:
            raise RecordDamaged("it does not end where it should")
        return json

    def _new_compressor(self) -> zstd.ZstdCompressor:
        return zstd.ZstdCompressor(options=_OPTIONS, zstd_dict=self._dictionaries[self._newest])
