"""Reads the body of a provider's response, as far as it arrives."""

from collections.abc import AsyncIterator

from modelgates_server.core.errors import ProviderError, ProviderUnavailable
from modelgates_server.dialects.body_form import BodyForm, body_form
from modelgates_server.dialects.sse import EVENT_MAX_BYTES

ANSWER_MAX_BYTES = EVENT_MAX_BYTES
"""One limit for a response, whatever its form."""


class Body:
    """A body that is read once, with `rest` or with `chunks`, after `form` if needed.

    `broken` is the error with which the connection broke off while `rest` was read.
    """

    def __init__(self, provider: str, chunks: AsyncIterator[bytes]) -> None:
        self.broken: ProviderError | None = None
        self._provider = provider
        self._arriving = chunks
        self._read: list[bytes] = []

    async def form(self) -> BodyForm:
        """The form of the body; waits for its first bytes."""
        head = b""
        async for piece in self._arriving:
            self._read.append(piece)
            head += piece
            if (form := body_form(head)) is not None:
                return form
        return BodyForm.OTHER

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; see `ProviderReply.chunks`."""
        return self._all() if self._read else self._arriving

    async def rest(self) -> bytes:
        """The whole body; after `broken`, the part of it that arrived."""
        size = 0
        pieces = []
        try:
            async for piece in self.chunks():
                pieces.append(piece)
                size += len(piece)
                if size > ANSWER_MAX_BYTES:
                    raise ProviderUnavailable(
                        f"The provider `{self._provider}` sent a response of more than "
                        f"{ANSWER_MAX_BYTES} bytes.",
                        provider=self._provider,
                    )
        except ProviderError as error:
            if not pieces or size > ANSWER_MAX_BYTES:
                raise
            self.broken = error
        self._read.clear()
        return b"".join(pieces)

    async def _all(self) -> AsyncIterator[bytes]:
        for piece in self._read:
            yield piece
        async for piece in self._arriving:
            yield piece
