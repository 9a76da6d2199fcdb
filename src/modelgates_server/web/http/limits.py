"""How long a process waits for its clients, and how many connections it has at once."""

import asyncio
from enum import IntEnum
from typing import Any, Protocol

import structlog

log = structlog.get_logger()

IDLE_MAX_S = 75
"""Longer than the 60 s after which common proxies close an idle connection themselves."""

BODY_BYTES_PER_S = 32 * 1024
"""The time to send a request grows by a second for this number of bytes of its body: a large one
may be slow, but one that only drips does not keep its connection."""

READ_BYTES_PER_S = 1024
"""The same for a response that its client is slow to read."""

STALL_TIMES = 10
"""A body or a response of which nothing has moved for as many times the time of a request is given
up, however fast it was before. Buffers of the operating system take megabytes in no time."""

LINGER_S = 2
STOP_S = 5
"""From SIGTERM on, the time for a client that sends or reads nothing."""

STOP_IDLE_MAX_S = 2
"""The time in which a client may still use an idle connection of a server that stops."""

_LOOK_EVERY_S = 0.5
_SEND_OFF_S = 0.5
"""Left alone for so long after its last response, which may still be on the way."""
_MAKE_ROOM_MOST = 32
_WARN_EVERY_S = 60


class Turn(IntEnum):
    """The next step of a client. To make room, connections with a lower number are closed first."""

    LEAVE = 0  # it has its last response
    BEGIN = 1  # idle, silent, or in the head of a request
    SEND_BODY = 2
    READ = 3


class Waiting(Protocol):
    """A connection, as far as this module knows it."""

    since_s: float
    """When its turn began, by the clock of the event loop, as far as `turn` has noticed."""

    used: int
    """The number of its last response in the process: turns are noticed many at a time."""

    def turn(self, now_s: float) -> Turn | None:
        """The step that the client has to take; None if it waits for the server."""

    def check(self, now_s: float) -> None:
        """End the connection if the client takes too long."""

    def drop(self) -> None:
        """End the connection now, without a word."""


class ConnectionLimits:
    """The limits of a process for its connections. It checks all of them twice a second.

    A timer per connection would be set and cancelled for every request; this costs them nothing.
    """

    def __init__(self, *, request_timeout_s: int, max_connections: int) -> None:
        self.request_timeout_s = request_timeout_s
        self.max_connections = max_connections
        self._timer: asyncio.TimerHandle | None = None
        self._warned_s = float("-inf")

    def watch(self, connections: set[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Check the connections regularly until none are left."""
        if self._timer is None:
            self._timer = loop.call_later(_LOOK_EVERY_S, self._look, connections, loop)

    def make_room(self, connections: set[Any], newest: Waiting, now_s: float) -> bool:
        """Close connections whose clients make the server wait, those that began first.

        Returns False if there is still none for `newest`: all others are running requests.
        """
        waiting, leaving = [], 0
        for each in connections:
            turn = each.turn(now_s)
            if turn is Turn.LEAVE and now_s - each.since_s < _SEND_OFF_S:
                leaving += 1
            elif turn is not None and each is not newest:
                waiting.append((turn, each.since_s, each.used, id(each), each))
        excess = len(connections) - leaving - self.max_connections
        if excess > 0 and waiting:
            self._warn(now_s)
            waiting.sort()
            # Several at once: to look at all connections takes milliseconds.
            for *_, each in waiting[: max(excess, min(_MAKE_ROOM_MOST, len(waiting) // 8))]:
                each.drop()
        return excess <= len(waiting)

    def _warn(self, now_s: float) -> None:
        if now_s - self._warned_s >= _WARN_EVERY_S:
            self._warned_s = now_s
            log.warning(
                "connections that waited for their clients were closed to make room",
                max_connections=self.max_connections,
            )

    def _look(self, connections: set[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if connections:
            self.watch(connections, loop)
        now_s = loop.time()
        for connection in tuple(connections):
            connection.check(now_s)
