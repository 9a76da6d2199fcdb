"""Reads generations from rows of any database, and packs them for it.

A row has three columns for the record: its JSON (empty if it is elsewhere), its packed form, and
the name of the archive that it is in. Exactly one of them is set.
"""

from typing import TypeVar

import msgspec

from modelgates_server.core.audit.findings import GenerationRow
from modelgates_server.core.errors import GenerationArchived, StoreUnavailable
from modelgates_server.core.ledger.records import Hold, HoldState
from modelgates_server.core.metering.generations import (
    ArchivedGeneration,
    Generation,
    with_error_codes,
)
from modelgates_server.service.ports import CallSummary
from modelgates_server.store.records import RecordCodec, RecordDamaged
from modelgates_server.store.rows import DECODE_ERRORS, Row, damaged, hold_of, reader

T = TypeVar("T")

_ERRORS = (*DECODE_ERRORS, RecordDamaged)
_encode = msgspec.json.Encoder().encode
_generation = msgspec.json.Decoder(Generation)
_call_summary = msgspec.json.Decoder(CallSummary)
_STATES = {state.value: state for state in HoldState}

archived_of = reader(ArchivedGeneration)


class GenerationRows:
    """Converts rows to generations and back, with the dictionaries of one database.

    An invalid record raises `StoreUnavailable`.
    """

    def __init__(self, codec: RecordCodec) -> None:
        self._codec = codec

    def pack(self, generation: Generation) -> bytes:
        """Encode the column `packed`."""
        return self._codec.pack(_encode(generation))

    def json_of(self, generation_id: str, record: str, packed: bytes | None) -> bytes:
        """The JSON of a record, as it was stored."""
        if packed is None:
            return record.encode()
        try:
            return self._codec.unpack(packed)
        except RecordDamaged as error:
            raise damaged("generation", generation_id, error) from error

    def generation(self, row: Row) -> Generation:
        """Read id, record, packed and archive; raises `GenerationArchived`."""
        generation_id, record, packed, archive = row
        if archive is not None:
            raise GenerationArchived(generation_id, archive)
        return with_error_codes(self._decode(_generation, generation_id, record, packed))

    def generation_or_rest(self, row: Row) -> Generation | ArchivedGeneration:
        """Read account, id, state, cost, idempotency, record, packed and archive."""
        *columns, record, packed, archive = row
        if archive is None:
            return self.generation((columns[1], record, packed, None))
        return archived_of((*columns, archive))

    def hold_and_call(self, row: Row) -> tuple[Hold, CallSummary | None]:
        """Read the columns of a hold, then record and packed of its generation."""
        *columns, record, packed = row
        hold = hold_of(columns)
        if not record and packed is None:
            return hold, None
        return hold, self._decode(_call_summary, hold.id, record, packed)

    def row(self, row: Row) -> GenerationRow:
        """Read account, id, state, cost, idempotency, record and packed."""
        *columns, record, packed = row
        generation = self.generation((columns[1], record, packed, None))
        account_id, generation_id, state, cost_pico, idempotency = columns
        return GenerationRow(
            account_id, generation_id, _STATES[state], cost_pico, idempotency, generation
        )

    def row_as_stored(self, row: Row) -> GenerationRow:
        """Read it for an audit: a row that cannot be read is returned as it is, to be reported."""
        try:
            return self.row(row)
        except (KeyError, StoreUnavailable):
            *columns, record, packed = row
            return GenerationRow(*(*columns, packed or record))

    def _decode(
        self,
        decoder: msgspec.json.Decoder[T],
        generation_id: str,
        record: str,
        packed: bytes | None,
    ) -> T:
        try:
            return decoder.decode(record if packed is None else self._codec.unpack(packed))
        except _ERRORS as error:
            raise damaged("generation", generation_id, error) from error
