"""Sends the head and the body of a response together."""

import asyncio
from typing import Any


class CoalescingTransport:
    """A transport that sends everything written in one turn of the event loop at its end.

    uvicorn writes the head of a response and then its body, and the loop would send each at once:
    two system calls and two packets, a fifth of all work for a small response. Streams are not
    delayed: they write in many turns.
    """

    __slots__ = ("_loop", "_pending", "_transport", "_written_bytes", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pending: list[bytes] = []
        self._written_bytes = 0
        self.is_closing = transport.is_closing  # called twice for every request

    def write(self, data: bytes) -> None:
        """Send the data at the end of this turn."""
        if not self._pending:
            self._loop.call_soon(self._send)
        self._pending.append(data)
        self._written_bytes += len(data)

    def write_eof(self) -> None:
        """Send what is pending, then end the stream."""
        self._send()
        self._transport.write_eof()

    def close(self) -> None:
        """Send what is pending, then close."""
        self._send()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        """The number of bytes that the operating system does not have yet."""
        return self._transport.get_write_buffer_size() + sum(map(len, self._pending))

    @property
    def sent_bytes(self) -> int:
        """The number of bytes that the operating system has taken since the beginning."""
        return self._written_bytes - self.get_write_buffer_size()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the wrapped transport's."""
        return getattr(self._transport, name)

    def _send(self) -> None:
        data = b"".join(self._pending)
        self._pending.clear()
        if data and not self._transport.is_closing():
            self._transport.write(data)
