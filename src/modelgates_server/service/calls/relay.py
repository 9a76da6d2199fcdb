"""The way of an answer to its client, also to one that has left."""

import asyncio
from collections.abc import AsyncIterator, Callable

from modelgates_server.core.errors import GatewayError
from modelgates_server.service.calls.attempt import RunningAttempt

TAIL_MAX_S = 0.5
"""Where the connection stays open and no usage comes, each stream takes so much longer."""


class ClientWatch:
    """Knows since when nobody waits for an answer. `has_left` tells whether that is so now."""

    def __init__(self, has_left: Callable[[], bool]) -> None:
        self.has_left = has_left
        self._left_at_ms: int | None = None

    def gone_ms(self, now_ms: int) -> int | None:
        """How long the client has been seen to be gone; None while it is there."""
        if not self.has_left():
            return None
        if self._left_at_ms is None:
            self._left_at_ms = now_ms
        return now_ms - self._left_at_ms


class StreamRelay:
    """Reads the stream of an attempt to its end, also where the client has left: for the usage."""

    def __init__(self, attempt: RunningAttempt) -> None:
        self._attempt = attempt
        self._chunks = attempt.chunks()

    async def pieces(self) -> AsyncIterator[bytes]:
        """What the client gets, as it comes; raises `ProviderError` where the provider fails."""
        attempt, response = self._attempt, self._attempt.response
        is_silent = True
        async for data in self._chunks:
            attempt.unread = response.feed(data)
            if is_silent and (first := next(attempt.unread, None)) is not None:
                is_silent = False
                attempt.note_first_byte()
                yield first
                # It leaves before the others are looked at, which takes the transport a turn.
                await asyncio.sleep(0)
            if rest := b"".join(attempt.unread):
                yield rest
            if response.is_over:
                break
        else:
            attempt.unread = response.finish()
            if last := b"".join(attempt.unread):
                if is_silent:
                    attempt.note_first_byte()
                yield last
        if response.awaits_usage:
            await self._read_tail()
        response.check_end()

    async def close(self) -> None:
        """Let go of the connection; one that has only its end to send may be reused."""
        if self._attempt.response.is_done:
            try:
                async with asyncio.timeout(TAIL_MAX_S):
                    async for _ in self._chunks:
                        pass
            except (GatewayError, TimeoutError):
                pass  # the answer was whole; the connection is closed by its attempt

    async def _read_tail(self) -> None:
        """Read on until the usage comes, for a moment; whatever happens, the answer is whole."""
        response = self._attempt.response
        try:
            async with asyncio.timeout(TAIL_MAX_S):
                async for data in self._chunks:
                    for _ in response.feed(data):
                        pass
                    if not response.awaits_usage:
                        return
                for _ in response.finish():
                    pass
        except (GatewayError, TimeoutError, asyncio.CancelledError):
            return
