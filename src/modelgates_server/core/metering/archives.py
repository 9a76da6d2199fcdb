"""Archives: files with the records of old generations, which the database no longer has."""

import msgspec

from modelgates_server.core.metering.generations import Generation


class Archive(msgspec.Struct, frozen=True):
    """An archive as the database knows it.

    `generations` is their number, `cost` the sum of their costs: exact dollars as text, because it
    may exceed an int64 of picos. `sha256` is that of the file. `emptied_at_ms` is None until all of
    these generations have lost their records in the database.
    """

    id: int
    name: str
    sha256: str
    generations: int
    cost: str
    first_ended_ms: int
    last_ended_ms: int
    created_at_ms: int
    emptied_at_ms: int | None = None


class ArchivedRecord(msgspec.Struct, frozen=True):
    """A record as it was read from the archive with a name. `id` is that of the generation."""

    id: str
    archive: str
    record: Generation
