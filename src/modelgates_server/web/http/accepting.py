"""Accepts connections while there is room for them. The others wait in the system's queue."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from itertools import islice
from typing import Any

_AT_ONCE = 1
"""A turn of the loop for each connection: when a thousand come, those that are here go on, and the
connections to providers do not all have to be opened within the same few seconds."""
_LOOK_AGAIN_S = 0.1
HANDSHAKE_SPARED_S = 2
"""A TLS handshake that takes longer is dropped when there is no room for another connection. Its
client may have said nothing at all."""
_DROP_MOST = 256


class Acceptor:
    """Accepts the connections of one listening socket on the running event loop.

    uvloop's own server closes the connections that wait when no file descriptor is left, and counts
    a TLS connection only after its handshake.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        *,
        has_room: Callable[[int], bool],
        tls: ssl.SSLContext | None,
        handshake_timeout_s: float | None,
        on_slow_handshake: Callable[[Any], None] = lambda _: None,
    ) -> None:
        """`has_room` receives the number of connections that are being opened at this moment.

        `on_slow_handshake` receives the address of a client whose handshake is ended.
        """
        listener.setblocking(False)
        self._listener = listener
        self._protocol = protocol
        self._has_room = has_room
        self._tls = tls
        self._handshake_timeout_s = handshake_timeout_s if tls else None
        self._on_slow_handshake = on_slow_handshake
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self.opening = dict[asyncio.Task[None], float]()
        """The connections that are not yet connections of the HTTP server, the oldest first, and
        when each began."""
        self._resume()

    def close(self, queue_max: int) -> None:
        """Accept up to `queue_max` connections that wait in the system's queue, and no others.

        Closing the last copy of the socket resets those that are left.
        """
        if self._listener.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._accept_waiting(queue_max)
        self._listener.close()

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        if not self._accept_waiting(_AT_ONCE):
            # Looking again at every turn of the loop would keep the processor busy.
            self._loop.remove_reader(self._listener)
            self._pause = self._loop.call_later(_LOOK_AGAIN_S, self._resume)

    def _accept_waiting(self, most: int) -> bool:
        """Accept waiting connections; returns whether there is room for more."""
        for _ in range(most):
            if not self._has_room(len(self.opening)):
                self._drop_slow_handshakes()
                return False
            try:
                client, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return True  # another process may have been faster
            except OSError:
                return False  # the system has no descriptor or memory left
            client.setblocking(False)
            task = self._loop.create_task(self._open(client, address))
            self.opening[task] = self._loop.time()
            task.add_done_callback(self.opening.pop)
        return True

    def _drop_slow_handshakes(self) -> None:
        spared_s = self._loop.time() - HANDSHAKE_SPARED_S
        for task, began_s in tuple(islice(self.opening.items(), _DROP_MOST)):
            if began_s <= spared_s:
                task.cancel()

    async def _open(self, client: socket.socket, address: Any) -> None:
        began_s = self._loop.time()
        try:
            await self._loop.connect_accepted_socket(
                self._protocol,
                client,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_timeout_s,
            )
        except (OSError, asyncio.CancelledError):
            # Most errors are a handshake that failed: the client's business.
            if self._loop.time() - began_s >= HANDSHAKE_SPARED_S:
                self._on_slow_handshake(address)
