"""Runs the sandbox within the gateway's process."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

from modelgates_server.core.errors import ProviderUnavailable
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.redaction import NO_SECRETS
from modelgates_server.providers.sandbox.models import respond
from modelgates_server.providers.sandbox.offer import PROVIDER
from modelgates_server.providers.sandbox.script import Script
from modelgates_server.service.ports import NO_HEADERS, Clock, RequestHeaders


class SandboxReply:
    """A response that is sent piece by piece."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._closed = asyncio.Event()

    @property
    def status(self) -> int:
        """See `ProviderReply`."""
        return self._script.status

    @property
    def retry_after_s(self) -> int | None:
        """See `ProviderReply`."""
        return self._script.retry_after_s

    @property
    def is_stream(self) -> bool:
        """See `ProviderReply`."""
        return self._script.is_stream

    @property
    def is_compressed(self) -> bool:
        """See `ProviderReply`."""
        return False

    async def read(self, limit_bytes: int) -> bytes:
        """See `ProviderReply`."""
        pieces, size = [], 0
        async for piece in self.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > limit_bytes:
                raise self._unavailable(f"sent a response of more than {limit_bytes} bytes")
        return b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `ProviderReply`."""
        for data in self._script.writes():
            await self._wait(self._script.chunk_ms)
            yield data
        if self._script.is_cut:
            raise self._unavailable("ended its response before it was complete")

    def close(self) -> None:
        """See `ProviderReply`."""
        self._closed.set()

    async def _wait(self, ms: int) -> None:
        """Wait until the next piece is due; raises when the reply is closed."""
        if not ms:
            await asyncio.sleep(0)  # other tasks run between the pieces of a long response
        elif not self._closed.is_set():
            try:
                async with asyncio.timeout(ms / 1000):
                    await self._closed.wait()
            except TimeoutError:
                return
        if self._closed.is_set():
            raise self._unavailable("ended its response before it was complete")

    def _unavailable(self, problem: str) -> ProviderUnavailable:
        text = f"The provider `{PROVIDER}` {problem}."
        return ProviderUnavailable(text, provider=PROVIDER, status=self.status)


class SandboxProvider:
    """Responds without a network; see `models.respond`."""

    redactor = NO_SECRETS

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = count()

    async def send(
        self, path: str, body: bytes, headers: RequestHeaders = NO_HEADERS
    ) -> SandboxReply:
        """See `Provider`."""
        del headers
        script = respond(Api(path), body, at_ms=self._clock(), number=next(self._numbers))
        if script.head_ms:
            await asyncio.sleep(script.head_ms / 1000)
        return SandboxReply(script)

    async def close(self) -> None:
        """There is nothing to release."""
