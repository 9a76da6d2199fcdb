"""What a wire format of inference consists of: the seam between calls and the formats they speak.

A route speaks one dialect with its clients, an endpoint one with its provider. A call meets both
only through the protocols here; dialects are pure, and HTTP belongs to `web` and `providers`.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import ResponseMeter
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api, Endpoint, Model


class ErrorReport(msgspec.Struct, frozen=True):
    """An error as reported to a client: its HTTP status, text and what programs read of it."""

    status: int
    message: str
    metadata: Mapping[str, object] | None = None
    retry_after_s: int | None = None


class ResponseAdapter(Protocol):
    """The answer of one attempt: takes the provider's bytes, meters them, gives the client's."""

    @property
    def meter(self) -> ResponseMeter:
        """What went by so far."""

    def read_answer(self, payload: bytes) -> ProviderError | None:
        """Meter a whole plain answer; raises `ProviderError` where it is none.

        Gives the failure that the provider reports of an answer which is handed on all the same.
        """

    def answer(self, generation: Generation) -> bytes:
        """The plain answer for the client, with what the settled generation cost."""

    def unstreamed_error(self, payload: bytes) -> ProviderError:
        """The error of a plain body that came in place of a stream."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the client gets of the next bytes of a stream, event by event.

        An event is metered when it is taken. Raises `ProviderError` where one is too long.
        """

    def finish(self) -> Iterator[bytes]:
        """What the client gets of a stream that the provider has ended without saying so."""

    @property
    def is_over(self) -> bool:
        """Whether a stream has said its end, or nothing good can follow."""

    @property
    def is_done(self) -> bool:
        """Whether a stream has said its end."""

    @property
    def awaits_usage(self) -> bool:
        """Whether what follows the end of a stream may bring the usage that is missing."""

    def check_end(self) -> None:
        """Raises `ProviderError` where a stream that was read as far as it goes is not whole."""

    def end(self, generation: Generation) -> bytes:
        """The last bytes of a stream, with what the settled generation cost."""

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """The last bytes of a stream that failed, with what it cost all the same."""


class Dialect(Protocol):
    """One wire format, as clients and as providers speak it."""

    name: str
    """As an endpoint names it."""

    stream_keep_alive: bytes
    """What shows the client of a stream that its call lives, and is no part of the answer."""

    plain_keep_alive: bytes
    """The same before a plain answer."""

    def parse_request(self, api: Api, body: bytes) -> InferenceRequest:
        """Read a client's request; raises `InvalidInput` that names the member at fault."""

    def path(self, api: Api) -> str:
        """Where an operation is, below a provider's base URL."""

    def upstream_body(
        self,
        request: InferenceRequest,
        endpoint: Endpoint,
        *,
        cap_tokens: int | None,
        service_tier: str | None,
    ) -> bytes:
        """The request for a provider; a cap or a tier that is given takes the client's place."""

    def response(
        self,
        generation: Generation,
        request: InferenceRequest,
        model: Model,
        *,
        text_max_bytes: int,
        media_max_bytes: int,
    ) -> ResponseAdapter:
        """An adapter for one answer, which is cut where it is longer than that."""

    def provider_error(
        self, provider: str, status: int, body: bytes, retry_after_s: int | None
    ) -> ProviderError:
        """The error of a provider's answer whose status is not 200."""

    def error_body(self, error: ErrorReport, user_id: str | None = None) -> bytes:
        """The body of an error that has a status of its own."""

    def late_error_body(self, error: ErrorReport, user_id: str | None = None) -> bytes:
        """The body of a plain answer that had begun, with status 200, before it failed."""
