"""The output of a call: read from one source, for any number of readers.

A reader that has all pieces so far takes the next one from the source, for all readers. So a call
with one client needs no further task, and with several readers the fastest sets the pace: a client
that does not read delays nobody. Nothing is read before a reader wants it.
"""

import asyncio
from collections.abc import AsyncIterator

from modelgates_server.core.errors import GatewayError, Stopping
from modelgates_server.service.calls.clients import ClientHasLeft
from modelgates_server.service.calls.output_memory import Lease

_PIECE_OVERHEAD_BYTES = 48
"""The memory that Python needs for a piece, in addition to its bytes."""


class CallOutput:
    """The pieces so far. They are kept for later readers as long as the lease has room.

    Otherwise, pieces are dropped once all readers have them, and nothing is read from the source
    until then: the slowest reader sets the pace. `error` is set if the source failed.
    """

    def __init__(self, source: AsyncIterator[bytes], lease: Lease | None) -> None:
        self.is_open = False
        self.is_ended = False
        self.error: BaseException | None = None
        self.is_kept = lease is not None
        """Whether all pieces so far are kept."""
        self._source: AsyncIterator[bytes] = source
        self._lease = lease
        self._room_bytes = 0
        self._pieces: list[bytes] = []
        self._dropped = 0  # pieces before the first one in the list
        self._readers: list[OutputReader] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._is_reading = False

    def reader(self, client_has_left: ClientHasLeft) -> "OutputReader":
        """Returns a client's reader. It starts at the first piece, which must still be there."""
        assert not self._dropped, "an output without its beginning has no new readers"
        reader = OutputReader(self, client_has_left)
        self._readers.append(reader)
        return reader

    def open(self) -> None:
        """Let readers begin: the provider has accepted the request."""
        self.is_open = True
        self._wake()

    def end(self, error: BaseException | None) -> None:
        """End the output, or do nothing if it has ended."""
        if self.is_ended:
            return
        self.is_ended = True
        self.error = error
        self._source = _nothing()  # the real one refers to the call, and the call to this output
        self._wake()

    def forget(self) -> None:
        """Keep no more pieces than the readers still need, and release the memory after them."""
        self.is_kept = False
        self._trim()

    async def opened(self) -> None:
        """Wait until there may be pieces; raises the error of an output that never began."""
        while not (self.is_open or self.is_ended):
            await self._change()
        if not self.is_open:
            self._raise()

    async def read(self, reader: "OutputReader") -> AsyncIterator[bytes]:
        """All pieces for one reader; see `OutputReader.pieces`."""
        while True:
            if reader.position < self._dropped + len(self._pieces):
                yield self._next_of(reader)
            elif self.is_ended:
                self._raise()
                reader.note_end()
                return
            elif self._is_reading or not self.is_open or (self._pieces and not self.is_kept):
                await self._change()
            else:
                self._is_reading = True
                try:
                    piece = await anext(self._source)
                except BaseException as error:  # noqa: BLE001 - every reader raises it
                    self._end_source(error)
                    continue
                if not self.is_ended:  # otherwise the call was given up meanwhile
                    self._add(piece, reader)
                    yield piece

    def leave(self, reader: "OutputReader") -> None:
        """Hold no more pieces back for a reader."""
        self._readers.remove(reader)
        if not self._readers:
            self.error = None  # its traceback refers to this output
        if not self.is_kept:
            self._trim()

    def _next_of(self, reader: "OutputReader") -> bytes:
        piece = self._pieces[reader.position - self._dropped]
        reader.position += 1
        if not self.is_kept:
            self._trim()
        return piece

    def _add(self, piece: bytes, reader: "OutputReader") -> None:
        """Add a piece that a reader has just taken from the source."""
        self._is_reading = False
        reader.position += 1
        if not self.is_kept and len(self._readers) == 1:
            self._dropped += 1
            return
        self._pieces.append(piece)
        if self.is_kept:
            self._room_bytes -= len(piece) + _PIECE_OVERHEAD_BYTES
            if self._room_bytes < 0:
                self._make_room()
        if not self.is_kept:
            self._trim()
        if self._waiting:
            self._wake()

    def _make_room(self) -> None:
        assert self._lease is not None, "only a lease makes an output kept"
        self._room_bytes += (granted_bytes := self._lease.grow(-self._room_bytes))
        self.is_kept = granted_bytes > 0

    def _end_source(self, error: BaseException) -> None:
        """End the output with its source; raises the cancellation of the reading task."""
        self._is_reading = False
        if isinstance(error, StopAsyncIteration):
            self.end(None)
        elif isinstance(error, asyncio.CancelledError):
            self.end(Stopping("The server is stopping."))
            raise error
        else:
            self.end(error)

    def _trim(self) -> None:
        """Drop the pieces that all readers have."""
        end = self._dropped + len(self._pieces)
        first = min((reader.position for reader in self._readers), default=end)
        if first > self._dropped:
            del self._pieces[: first - self._dropped]
            self._dropped = first
        if not self._pieces:
            self._wake()
            if self._lease is not None:
                self._lease.release()

    async def _change(self) -> None:
        """Wait until something has changed."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    def _raise(self) -> None:
        """Raise the error of the source, if any."""
        if isinstance(self.error, GatewayError):
            raise self.error.with_traceback(None)  # it would grow with each reader
        if self.error is not None:
            raise self.error


async def _nothing() -> AsyncIterator[bytes]:
    pieces: tuple[bytes, ...] = ()
    for piece in pieces:
        yield piece


class OutputReader:
    """One reader of an output. `position` counts the pieces that it has taken.

    `is_served`: its client was there when it had taken all of them.
    """

    __slots__ = ("_client_has_left", "_output", "is_served", "position")

    def __init__(self, output: CallOutput, client_has_left: ClientHasLeft) -> None:
        self.is_served = False
        self._output = output
        self._client_has_left = client_has_left
        self.position = 0

    async def opened(self) -> None:
        """See `CallOutput.opened`."""
        await self._output.opened()

    def pieces(self) -> AsyncIterator[bytes]:
        """All pieces in order, to the end; then raises the error of the source, if any."""
        return self._output.read(self)

    def note_end(self) -> None:
        """Note whether the client gets the end: later, the server itself may have disconnected."""
        self.is_served = not self._client_has_left()

    def close(self) -> None:
        """Hold no more pieces back."""
        self._output.leave(self)
