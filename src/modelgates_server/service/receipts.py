"""Receipts: a generation, and the late usage that came after its end if its hold had expired."""

from typing import NamedTuple

from modelgates_server.core.ledger.records import Entry, HoldState
from modelgates_server.core.metering.generations import Generation, with_late_usage
from modelgates_server.service.ports import GenerationReader


class Receipt(NamedTuple):
    """A generation whose lines, cost and overrun include those of `late`, the late usage."""

    generation: Generation
    late: Entry | None


async def receipt_of(generations: GenerationReader, generation: Generation) -> Receipt:
    """Returns the receipt of a stored generation. Only expired calls need another read."""
    if generation.state is not HoldState.EXPIRED:
        return Receipt(generation, None)
    late = await generations.late_usage(generation.account_id, generation.id)
    return Receipt(generation if late is None else with_late_usage(generation, late), late)
