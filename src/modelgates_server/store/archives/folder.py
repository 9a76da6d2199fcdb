"""The port `Archives` on a folder."""

import heapq
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from modelgates_server.core.errors import GenerationNotFound, StoreUnavailable
from modelgates_server.core.metering.archives import Archive, ArchivedRecord
from modelgates_server.core.metering.generations import Generation, with_error_codes
from modelgates_server.store.archives import files
from modelgates_server.store.rows import DECODE_ERRORS

_PAGE = 1000
_decoder = msgspec.json.Decoder(Generation)


class ArchiveFolder:
    """Reads the archives of a folder that have a manifest. It must exist."""

    def __init__(self, folder: Path) -> None:
        files.check_folder(folder)
        self._folder = folder
        self._manifests = files.manifests_in(folder)
        self._merged: Iterator[ArchivedRecord] | None = None
        self._next: ArchivedRecord | None = None
        self._sound: list[str] = []

    def names(self) -> Collection[str]:
        """See `Archives.names`."""
        return self._manifests.keys()

    def problems(self, archive: Archive) -> list[str]:
        """See `Archives.problems`. The records of an archive with problems are not read."""
        manifest = self._manifests[archive.name]
        problems = []
        if manifest.archive(archive.id) != msgspec.structs.replace(archive, emptied_at_ms=None):
            problems.append(f"the manifest of archive {archive.name} is not that of the database")
        try:
            changed = files.sha256_of(self._folder / f"{archive.name}{files.RECORDS}")
        except OSError as error:
            problems.append(f"archive {archive.name} cannot be read: {error}")
        else:
            if changed == archive.sha256:
                self._sound.append(archive.name)
            else:
                problems.append(f"archive {archive.name} has another SHA-256 than it was made with")
        return problems

    async def records(self, account_id: str) -> AsyncIterator[Sequence[ArchivedRecord]]:
        """See `Archives.records`. Only archives that `problems` found sound are read."""
        if self._merged is None:
            self._merged = heapq.merge(*map(self._records_of, sorted(self._sound)), key=_order)
            self._next = next(self._merged, None)
        page: list[ArchivedRecord] = []
        while self._next is not None and self._next.record.account_id <= account_id:
            if self._next.record.account_id == account_id:
                page.append(self._next)
            self._next = next(self._merged, None)
            if len(page) == _PAGE:
                yield page
                page = []
        yield page

    def find(self, account_id: str | None, generation_id: str) -> Generation:
        """The record of a generation of one account or of any; raises `GenerationNotFound`."""
        for name in self._manifests:
            for each in self._records_of(name):
                if each.id == generation_id and account_id in (None, each.record.account_id):
                    return each.record
        raise GenerationNotFound(
            f"Generation `{generation_id}` is in no archive in {self._folder}."
        )

    def _records_of(self, name: str) -> Iterator[ArchivedRecord]:
        for json in files.records_of(self._folder, name):
            try:
                record = _decoder.decode(json)
            except DECODE_ERRORS as error:
                raise StoreUnavailable(
                    f"The archive {name} has a record that cannot be read: {error}."
                ) from error
            yield ArchivedRecord(record.id, name, with_error_codes(record))


def _order(each: ArchivedRecord) -> tuple[str, str]:
    return each.record.account_id, each.id
