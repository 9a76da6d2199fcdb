"""Checks archives against the database: their files, and the generations that are in them."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence

from modelgates_server.core.audit.findings import UNREADABLE, Finding
from modelgates_server.core.metering.archives import Archive, ArchivedRecord
from modelgates_server.core.metering.generations import ArchivedGeneration
from modelgates_server.core.money import format_pico
from modelgates_server.service.ports import Archives


class ArchivesCheck:
    """`registered` are the archives that the database knows, `given` those that can be read."""

    def __init__(self, given: Archives | None, registered: Sequence[Archive]) -> None:
        self.generations = 0
        self._given = given
        self._registered = registered
        self._counts: Counter[str] = Counter()
        self._costs_pico: Counter[str] = Counter()

    def names(self) -> list[str]:
        """Returns the names of all archives."""
        return [archive.name for archive in self._registered]

    def not_seen(self) -> list[str]:
        """Returns the names of the archives that were not given."""
        seen = () if self._given is None else self._given.names()
        return [name for name in self.names() if name not in seen]

    def problems(self) -> list[Finding]:
        """Checks the files of the archives that were given."""
        missing = self.not_seen()
        return [
            Finding(UNREADABLE, None, problem)
            for archive in self._registered
            if self._given is not None and archive.name not in missing
            for problem in self._given.problems(archive)
        ]

    async def records(self, account_id: str) -> AsyncIterator[Sequence[ArchivedRecord]]:
        """Returns the records of an account in all archives that were given."""
        if self._given is not None:
            async for page in self._given.records(account_id):
                yield page

    def row(self, row: ArchivedGeneration) -> None:
        """Counts a generation that lost its record."""
        self.generations += 1
        self._counts[row.archive] += 1
        if isinstance(row.cost_pico, int):
            self._costs_pico[row.archive] += row.cost_pico

    def close(self) -> list[Finding]:
        """Compares what the generations lost with the archives, if these are complete."""
        return [
            Finding(
                "I6",
                None,
                f"archive {archive.name} has {archive.generations} generations that cost "
                f"{archive.cost}, but {count} that cost {format_pico(cost_pico)} lost their "
                "records to it",
            )
            for archive in self._registered
            if archive.emptied_at_ms is not None
            for count, cost_pico in [(self._counts[archive.name], self._costs_pico[archive.name])]
            if (count, format_pico(cost_pico)) != (archive.generations, archive.cost)
        ]
