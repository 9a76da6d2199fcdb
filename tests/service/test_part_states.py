import asyncio

from modelgates_server.service.part_states import PartState, PartStates, Status, check_forever
from tests.deadlines import within

FULL = PartState(Status.UNAVAILABLE, "The disk is full.")


def test_change_is_told_once_when_a_part_keeps_its_state() -> None:
    told = list[tuple[str, Status]]()
    parts = PartStates(lambda part, state: told.append((part, state.status)))
    for state in (PartState(Status.OK), FULL, FULL, PartState(Status.OK), PartState(Status.OK)):
        parts.report("disk", state)
    assert told == [("disk", Status.UNAVAILABLE), ("disk", Status.OK)]


def test_change_is_told_again_when_the_cause_of_a_status_differs() -> None:
    told = list[str]()
    parts = PartStates(lambda _, state: told.append(state.cause))
    parts.report("disk", FULL)
    parts.report("disk", PartState(Status.UNAVAILABLE, "The disk cannot be read."))
    assert told == ["The disk is full.", "The disk cannot be read."]
    assert parts.states()["disk"].cause == "The disk cannot be read."


async def test_other_checks_go_on_when_one_has_a_bug() -> None:
    told = asyncio.Event()
    parts = PartStates(lambda part, _: told.set() if part == "disk" else None)

    async def buggy() -> PartState:
        raise ZeroDivisionError

    async def full() -> PartState:
        return FULL

    checking = asyncio.create_task(check_forever(parts, {"clock": buggy, "disk": full}, 60))
    async with within():
        await told.wait()
    checking.cancel()
    assert parts.states()["clock"].status is Status.WARNING
    assert parts.states()["disk"] == FULL
