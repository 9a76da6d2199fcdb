"""Archives: files with the records of old generations, which the database no longer has."""

import msgspec


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
