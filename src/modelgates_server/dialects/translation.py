"""Translation between a dialect and the hub, which is chat completions.

Every other dialect translates to and from the hub, so that n dialects need n translations, not n².
A translation is pure; `pairing` combines the two of a call.
"""

from collections.abc import Iterator
from typing import Protocol

import msgspec

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import ResponseMeter
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api, Model
from modelgates_server.dialects.dialect import ErrorReport, ResponseAdapter

_DATA, _EVENT_END = b"data: ", b"\n\n"


class TranslatedBody(msgspec.Struct, frozen=True):
    """A request body in another dialect. `omitted` names what a documented rule left out."""

    body: bytes
    omitted: tuple[str, ...] = ()


class ChatDecoder(Protocol):
    """Turns a provider's response into one of chat completions, before it is metered.

    It returns anything else, such as an error, in a form that the chat adapter reports.
    """

    def plain(self, payload: bytes) -> bytes:
        """A whole plain response."""

    def feed(self, data: bytes) -> bytes:
        """The complete events among the next bytes of a stream, as server-sent events."""

    def close(self) -> bytes:
        """The rest of a stream that the provider has closed."""


class ChatEncoder(Protocol):
    """Turns the client's version of a chat completion into the client's dialect."""

    def plain(self, answer: bytes, generation: Generation) -> bytes:
        """A whole plain response; the generation is settled."""

    def feed(self, chunk: bytes) -> bytes:
        """The events for one chunk, which is JSON; empty if the chunk changes nothing."""

    def end(self, generation: Generation) -> bytes:
        """The last bytes of a stream, with the usage of the settled generation."""

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """The last bytes of a stream that failed."""


class Translation(Protocol):
    """The translation of one dialect to the hub and back."""

    def to_chat(self, request: InferenceRequest, model: Model) -> TranslatedBody:
        """A client's request as one of chat completions, for an endpoint of this model.

        Raises `InvalidInput` that names the parameter without a counterpart.
        """

    def from_chat(self, request: InferenceRequest, model: Model) -> TranslatedBody:
        """A request of chat completions in this dialect, for an endpoint of this model.

        Raises `InvalidInput` that names the parameter without a counterpart.
        """

    def decoder(self, request: InferenceRequest) -> ChatDecoder:
        """A decoder for the response to a request in this dialect."""

    def encoder(self, generation: Generation, request: InferenceRequest) -> ChatEncoder:
        """An encoder for the response to a client's request in this dialect."""


class TranslatedResponse:
    """See `ResponseAdapter`. The chat adapter in the middle meters, repairs and limits.

    No decoder: the provider speaks chat completions. No encoder: the client does.
    """

    def __init__(
        self, chat: ResponseAdapter, decoder: ChatDecoder | None, encoder: ChatEncoder | None
    ) -> None:
        self._chat = chat
        # A decoder merges reports by the rules of its dialect, as in a response that passes.
        chat.meter.reports_replace = decoder is not None
        self._decoder = decoder
        self._encoder = encoder

    @property
    def meter(self) -> ResponseMeter:
        """See `ResponseAdapter`."""
        return self._chat.meter

    def read_answer(self, payload: bytes, *, is_cut: bool = False) -> ProviderError | None:
        """See `ResponseAdapter`."""
        if self._decoder is not None:
            payload = self._decoder.plain(payload)
        return self._chat.read_answer(payload, is_cut=is_cut)

    def answer(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`."""
        answer = self._chat.answer(_as_chat(generation))
        return answer if self._encoder is None else self._encoder.plain(answer, generation)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `ResponseAdapter`."""
        if self._decoder is not None:
            data = self._decoder.feed(data)
            if not data:
                return iter(())
        return self._encoded(self._chat.feed(data))

    def finish(self) -> Iterator[bytes]:
        """See `ResponseAdapter`."""
        if self._decoder is not None and (rest := self._decoder.close()):
            yield from self._encoded(self._chat.feed(rest))
        yield from self._encoded(self._chat.finish())

    @property
    def is_over(self) -> bool:
        """See `ResponseAdapter`."""
        return self._chat.is_over

    @property
    def is_done(self) -> bool:
        """See `ResponseAdapter`."""
        return self._chat.is_done

    @property
    def awaits_usage(self) -> bool:
        """See `ResponseAdapter`."""
        return self._chat.awaits_usage

    def is_whole(self, *, cleanly: bool) -> bool:
        """See `ResponseAdapter`."""
        return self._chat.is_whole(cleanly=cleanly)

    def check_end(self) -> None:
        """See `ResponseAdapter`."""
        self._chat.check_end()

    def end(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`."""
        if self._encoder is None:
            return self._chat.end(_as_chat(generation))
        return self._encoder.end(generation)

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `ResponseAdapter`."""
        if self._encoder is None:
            return self._chat.error_end(_as_chat(generation), error)
        return self._encoder.error_end(generation, error)

    def _encoded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        if self._encoder is None:
            yield from pieces
            return
        for piece in pieces:
            chunk = piece.removeprefix(_DATA).removesuffix(_EVENT_END)
            if encoded := self._encoder.feed(chunk):
                yield encoded


def _as_chat(generation: Generation) -> Generation:
    """The generation for the chat adapter, which writes each API in its own form."""
    return msgspec.structs.replace(generation, api=Api.CHAT)
