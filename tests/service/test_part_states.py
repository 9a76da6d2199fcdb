from modelgates_server.service.part_states import PartState, PartStates, Status

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
