"""The clients of a call: the one that made it, and the repeats that joined it."""

from collections.abc import Callable

ClientHasLeft = Callable[[], bool]
"""Returns whether a client has disconnected."""


class Clients:
    """The clients whose requests are attached to a call, and when the last one left.

    `is_served`: a client got the whole response.
    """

    def __init__(self, first: ClientHasLeft) -> None:
        self.is_served = False
        self._attached = [first]
        self._left_at_ms: int | None = None

    def add(self, has_left: ClientHasLeft) -> None:
        """Attach the request of a repeat."""
        self._attached.append(has_left)
        self._left_at_ms = None

    def remove(self, has_left: ClientHasLeft, now_ms: int, *, is_served: bool) -> None:
        """Detach a request that ends. `is_served`: its client got the whole response."""
        self._attached.remove(has_left)
        self.is_served = self.is_served or is_served
        self.gone_ms(now_ms)

    def have_left(self) -> bool:
        """Whether no client is there."""
        return all(has_left() for has_left in self._attached)

    def gone_ms(self, now_ms: int) -> int | None:
        """Milliseconds since the last client was first seen disconnected; None if one is there."""
        if not self.have_left():
            return None
        if self._left_at_ms is None:
            self._left_at_ms = now_ms
        return now_ms - self._left_at_ms
