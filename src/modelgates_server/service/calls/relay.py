"""Relays a response to its clients, and reads it to the end if they have disconnected."""

import asyncio
from collections.abc import AsyncIterator

from modelgates_server.core.errors import GatewayError, ProviderError
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.service.calls.attempt import RunningAttempt

TAIL_MAX_S = 0.5
"""If the connection stays open and no usage arrives, each stream takes that much longer."""


class StreamRelay:
    """Reads the stream of an attempt to its end, where the usage is, even without a client."""

    def __init__(self, attempt: RunningAttempt) -> None:
        self._attempt = attempt
        self._chunks = attempt.chunks()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The chunks for the client as they arrive; raises `ProviderError` on failure."""
        attempt, response = self._attempt, self._attempt.response
        is_silent = True
        broken: ProviderError | None = None
        try:
            async for data in self._chunks:
                attempt.unread = response.feed(data)
                if is_silent and (first := next(attempt.unread, None)) is not None:
                    is_silent = False
                    attempt.note_first_byte()
                    yield first
                    # Send it before the others are metered, which takes the transport one turn.
                    await asyncio.sleep(0)
                if rest := b"".join(attempt.unread):
                    yield rest
                if response.is_over:
                    break
        except ProviderError as error:
            broken = error
        if not response.is_over and (last := self._last(broken)):
            attempt.note_first_byte()
            yield last
        if response.awaits_usage:
            await self._read_tail()
        response.check_end()

    def _last(self, broken: ProviderError | None) -> bytes:
        """The chunks that were not complete when the stream ended; raises `broken` if it counts."""
        attempt, response = self._attempt, self._attempt.response
        try:
            attempt.unread = response.finish()
            last = b"".join(attempt.unread)
        except ProviderError as error:
            raise broken or error from None
        if broken is not None:
            if not response.is_whole(cleanly=False):
                raise broken
            response.meter.repaired(Repair.END_MISSING)
        return last

    async def close(self) -> None:
        """Release the connection; reuse it if only its end is missing."""
        if self._attempt.response.is_done:
            try:
                async with asyncio.timeout(TAIL_MAX_S):
                    async for _ in self._chunks:
                        pass
            except (GatewayError, TimeoutError):
                pass  # the response was complete; its attempt closes the connection

    async def _read_tail(self) -> None:
        """Wait briefly for the usage; the response is complete in any case."""
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
