"""A repeat that reads the output of another request's call: it has no hold and costs nothing."""

import asyncio
from collections.abc import AsyncIterator

from modelgates_server.core.errors import Stopping
from modelgates_server.core.metering.generations import Generation
from modelgates_server.dialects.dialect import Dialect, ErrorReport
from modelgates_server.service.calls.clients import ClientHasLeft
from modelgates_server.service.calls.joins import JoinableCall, Joins


class JoinedCall:
    """The output of a call from its beginning, as the methods of `Call` return it."""

    is_repeat = True

    def __init__(
        self,
        joinable: JoinableCall,
        dialect: Dialect,
        client_has_left: ClientHasLeft,
        joins: Joins,
    ) -> None:
        self._joinable = joinable
        self._call = joinable.call  # None: it has ended
        self._dialect = dialect
        self._client_has_left = client_has_left
        self._joins = joins
        self._reader = joinable.output.reader(client_has_left)
        joinable.clients.add(client_has_left)

    @property
    def generation(self) -> Generation:
        """The generation of the one call."""
        return self._joinable.generation if self._call is None else self._call.generation

    async def open(self) -> None:
        """Wait until the provider accepts the request; raises the error of the call."""
        await self._reader.opened()

    async def answer(self) -> bytes:
        """The whole response; raises the error of the call."""
        return b"".join([piece async for piece in self._reader.pieces()])

    def stream(self) -> AsyncIterator[bytes]:
        """The response so far, and the rest as it arrives; raises the error of the call."""
        return self._reader.pieces()

    def error_end(self, error: ErrorReport) -> bytes:
        """The end of a failed stream, with the cost of the call."""
        if self._call is None:
            # The call was successful; it is this request that fails.
            return self._dialect.error_end(self.generation, error)
        return self._call.error_end(error)

    async def close(self, error: BaseException | None) -> None:
        """Leave the call. Raises `Stopping` if the repeat was cancelled."""
        self._reader.close()  # at once: it may hold up the call
        try:
            if isinstance(error, asyncio.CancelledError):
                if self._call is not None:
                    await self._call.settled()
                stopping = Stopping("The server is stopping.")
                stopping.generation_id = self.generation.id
                raise stopping from None
        finally:
            is_served = error is None and self._reader.is_served
            self._joins.leave(self._joinable, self._client_has_left, is_served=is_served)
