"""Adds the late usage of calls whose holds had expired to their generations."""

from typing import NamedTuple

from modelgates_server.core.ledger.records import Entry, HoldState
from modelgates_server.core.metering.generations import Generation, with_late_usage
from modelgates_server.service.ports import GenerationReader


class FinalGeneration(NamedTuple):
    """A generation whose lines, cost and overrun include those of `late`, the late usage."""

    generation: Generation
    late: Entry | None


async def final_generation(
    generations: GenerationReader, generation: Generation
) -> FinalGeneration:
    """Returns a stored generation as its receipt shows it. Only expired calls need another read."""
    if generation.state is not HoldState.EXPIRED:
        return FinalGeneration(generation, None)
    late = await generations.late_usage(generation.account_id, generation.id)
    return FinalGeneration(generation if late is None else with_late_usage(generation, late), late)
