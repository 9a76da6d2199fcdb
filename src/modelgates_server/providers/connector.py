"""Opens connections to providers while file descriptors are left for them."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import TCPConnector
from aiohttp.client_proto import ResponseHandler

_LOOK_AGAIN_S = 0.05


def always(_opening: int) -> bool:
    """Whether there is room, where nobody counts."""
    return True


class Connector(TCPConnector):
    """Waits for a descriptor, within the time for connecting, where aiohttp would fail the call.

    The last descriptors are for the database and the spool: an open connection can wait, the end of
    a call cannot.
    """

    def __init__(self, has_room: Callable[[int], bool], **options: Any) -> None:
        """`has_room` receives the number of connections that are being opened at this moment."""
        super().__init__(**options)
        self._has_room = has_room
        self._opening = 0

    async def _create_connection(self, *args: Any, **kwargs: Any) -> ResponseHandler:
        """See aiohttp, which calls this when no idle connection can be used."""
        while not self._has_room(self._opening):  # noqa: ASYNC110 - nothing reports a free one
            await asyncio.sleep(_LOOK_AGAIN_S)
        self._opening += 1
        try:
            return await super()._create_connection(*args, **kwargs)
        finally:
            self._opening -= 1
