"""The protocols that separate calls from the wire formats of inference.

A route has a dialect for its clients, and an endpoint has one for its provider. A call uses both
only through the protocols in this module. Dialects are pure; HTTP belongs to `web` and `providers`.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from modelgates_server.core.errors import ProviderBody, ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import ResponseMeter
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api, Endpoint, Model
from modelgates_server.core.redaction import Redactor

NO_HEADERS: Mapping[bytes, bytes] = {}


class ErrorReport(msgspec.Struct, frozen=True):
    """An error as a client sees it: HTTP status, message, and `metadata` for programs.

    `code` is that of its class in `core.errors`; None for an error of HTTP alone. `sent` is the
    provider's own response, if clients of its dialect may see it. `request_id` is that of the
    request.
    """

    status: int
    message: str
    metadata: Mapping[str, object] | None = None
    retry_after_s: int | None = None
    code: str | None = None
    sent: ProviderBody | None = None
    request_id: str | None = None


class RefusedParameter(msgspec.Struct, frozen=True):
    """A parameter that a provider rejected, and the setting that avoids it, if there is one."""

    name: str
    setting: str | None


class ResponseAdapter(Protocol):
    """Meters the response of one attempt and rewrites the provider's bytes for the client."""

    @property
    def meter(self) -> ResponseMeter:
        """The meter of everything received so far."""

    def read_answer(self, payload: bytes, *, is_cut: bool = False) -> ProviderError | None:
        """Meter a whole plain response, also if it has the form of a stream.

        Raises `ProviderError` if it is invalid, or if it is incomplete, which has to be checked
        more strictly if `is_cut`: the connection broke at its end. Returns the failure that the
        provider reports inside a response that is still forwarded.
        """

    def answer(self, generation: Generation) -> bytes:
        """The plain response for the client, with the cost of the settled generation."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The client's version of the next bytes of a stream, event by event.

        An event is metered when it is taken from the iterator. A plain response that arrives
        instead of a stream is collected for `finish`.
        """

    def finish(self) -> Iterator[bytes]:
        """The client's version of the rest, when the provider closes a stream without its end.

        It is the whole stream if the body was a plain response, read by `read_answer` or `feed`.
        Raises `ProviderError` if that is invalid.
        """

    @property
    def is_over(self) -> bool:
        """Whether the stream has sent its end, or has failed so that the rest is useless."""

    @property
    def is_done(self) -> bool:
        """Whether the stream has sent its end."""

    @property
    def awaits_usage(self) -> bool:
        """Whether the missing usage may still arrive after the end of the stream."""

    def is_whole(self, *, cleanly: bool) -> bool:
        """Whether the response is complete if the connection ended here, cleanly or not.

        It is if all requested choices have ended, and either the usage or a clean end followed.
        """

    def check_end(self) -> None:
        """Raises `ProviderError` if a stream that was read to its last byte is incomplete."""

    def end(self, generation: Generation) -> bytes:
        """The last bytes of a stream, with the cost of the settled generation."""

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """The last bytes of a stream that failed, with the error and the cost."""


class Dialect(Protocol):
    """One wire format, on the client's side and on the provider's."""

    name: str
    """The name that an endpoint's configuration uses."""

    api: Api
    """Its API for conversations."""

    stream_keep_alive: bytes
    """Bytes that keep a stream's connection alive and are not part of the response."""

    plain_keep_alive: bytes
    """The same, before a plain response."""

    request_id_header: bytes | None
    """The header in which its clients look for the id of a request, next to `X-Request-Id`."""

    def parse_request(
        self,
        api: Api,
        body: bytes,
        headers: Mapping[bytes, bytes] = NO_HEADERS,
        allowed_betas: frozenset[str] = frozenset(),
    ) -> InferenceRequest:
        """Read a client's request; raises `InvalidInput` that names the invalid parameter.

        `headers` are the client's, by lower-case name. `allowed_betas` are features beyond the
        known ones that the operator lets pass.
        """

    def path(self, api: Api) -> str:
        """The path of an operation, relative to a provider's base URL."""

    def upstream_headers(self, request: InferenceRequest) -> Mapping[str, str]:
        """The headers for a provider that belong to this request, in addition to the usual ones."""

    def upstream_body(
        self,
        request: InferenceRequest,
        endpoint: Endpoint,
        *,
        cap_tokens: int | None,
        service_tier: str | None,
        refused: frozenset[str] = frozenset(),
    ) -> bytes:
        """The request for a provider; a given cap or service tier replaces the client's.

        `refused` are names of parameters that the endpoint has rejected. Those that the gateway
        chose are left out or renamed, unless that would lift a limit.
        """

    def counts_media(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint counts images by the rules behind `media_tokens_max`."""

    def refuse_unsendable(self, request: InferenceRequest, endpoint: Endpoint) -> None:
        """Raises `InvalidInput` for a limit that the endpoint has no parameter for."""

    def refused_parameter(
        self, request: InferenceRequest, sent: bytes, status: int, error: bytes
    ) -> RefusedParameter | None:
        """The parameter that an error rejects, if the gateway chose it and the client did not."""

    def response(
        self,
        generation: Generation,
        request: InferenceRequest,
        model: Model,
        *,
        text_max_bytes: int,
        media_max_bytes: int,
        redactor: Redactor,
    ) -> ResponseAdapter:
        """An adapter for one response; a longer response is cut off at these limits.

        It applies `redactor` to everything that the provider sends.
        """

    def provider_error(
        self, provider: str, status: int, body: bytes, retry_after_s: int | None
    ) -> ProviderError:
        """The error of a provider's response whose status is not one of success (2xx)."""

    def status(self, error: ErrorReport) -> int:
        """The HTTP status under which the clients of this dialect handle an error correctly."""

    def error_body(self, error: ErrorReport, user_id: str | None = None) -> bytes:
        """The body of an error response that is sent with that status."""

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `ResponseAdapter.error_end`; for the stream of a call that has ended before."""

    def late_error_body(self, error: ErrorReport, user_id: str | None = None) -> bytes:
        """The body of a plain response that failed after its status, 200, had been sent."""
