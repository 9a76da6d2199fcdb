"""The state of each part that a server process depends on: database, disk, spool, clock and so on.

The part that notices a change reports it here. `/readyz`, the metrics and one log line per change
read it from here, so they never differ.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

import msgspec

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.service.ports import Store


class Status(StrEnum):
    """`warning` needs an operator but not now; with `unavailable`, the server takes no calls."""

    OK = "ok"
    WARNING = "warning"
    UNAVAILABLE = "unavailable"


class PartState(msgspec.Struct, frozen=True):
    """The status of one part.

    `cause` is public, so it has no path, address, key or figure of an account; it says what is
    wrong, in one sentence. `detail` is for the log alone.
    """

    status: Status
    cause: str = ""
    detail: str = ""


OnChange = Callable[[str, PartState], None]
"""Receives the name of a part and its new state, when its status or its cause has changed."""


class PartStates:
    """The last reported state of each part of this process. A part that never reports is absent."""

    def __init__(self, on_change: OnChange) -> None:
        self._on_change = on_change
        self._states: dict[str, PartState] = {}

    def report(self, part: str, state: PartState) -> None:
        """Store the state of a part; a part that was never anything but ok is no news."""
        before = self._states.get(part, PartState(Status.OK))
        self._states[part] = state
        if (before.status, before.cause) != (state.status, state.cause):
            self._on_change(part, state)

    def states(self) -> Mapping[str, PartState]:
        """The state of each part by name, in the order of the first reports."""
        return dict(self._states)


async def database_state(store: Store) -> PartState:
    """The state of the database now."""
    try:
        await store.ping()
    except StoreUnavailable as error:
        return PartState(Status.UNAVAILABLE, error.cause, str(error))
    return PartState(Status.OK)


Check = Callable[[], Awaitable[PartState]]
"""Finds the state of one part now. It never blocks the loop, and raises only for a bug."""


async def check_forever(parts: PartStates, checks: Mapping[str, Check], every_s: float) -> None:
    """Check parts that do not report by themselves, at once and then every `every_s` seconds."""
    while True:
        for part, check in checks.items():
            try:
                state = await check()
            except Exception as error:  # noqa: BLE001 - a bug in one check must not end the others
                state = PartState(Status.WARNING, "The check of this part fails.", repr(error))
            parts.report(part, state)
        await asyncio.sleep(every_s)
