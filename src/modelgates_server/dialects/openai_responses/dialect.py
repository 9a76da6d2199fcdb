"""OpenAI's Responses API as a dialect, and its translation."""

from collections.abc import Mapping

import msgspec

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api, Endpoint, Model
from modelgates_server.core.redaction import Redactor
from modelgates_server.dialects.dialect import NO_HEADERS, Dialect, ErrorReport, RefusedParameter
from modelgates_server.dialects.openai_responses.decoder import ResponsesDecoder
from modelgates_server.dialects.openai_responses.encoder import ResponsesEncoder, failed_stream
from modelgates_server.dialects.openai_responses.errors import (
    NAME,
    error_body,
    error_object,
    response_error_of_body,
    status,
)
from modelgates_server.dialects.openai_responses.from_chat import from_chat
from modelgates_server.dialects.openai_responses.meter import ResponsesMeter
from modelgates_server.dialects.openai_responses.request import parse_request
from modelgates_server.dialects.openai_responses.response import ResponsesResponse
from modelgates_server.dialects.openai_responses.to_chat import to_chat
from modelgates_server.dialects.openai_responses.upstream import upstream_body
from modelgates_server.dialects.translation import TranslatedBody, Translation

_KEEP_ALIVE = b'event: keepalive\ndata: {"type":"keepalive"}\n\n'
"""An event, because a comment does not reset the idle timer of Codex."""


class OpenAiResponses:
    """See `Dialect`."""

    name = NAME
    api = Api.RESPONSES
    request_id_header: bytes | None = None
    stream_keep_alive = _KEEP_ALIVE
    plain_keep_alive = b"\n"

    def parse_request(
        self,
        api: Api,
        body: bytes,
        headers: Mapping[bytes, bytes] = NO_HEADERS,
        allowed_betas: frozenset[str] = frozenset(),
    ) -> InferenceRequest:
        """See `Dialect`."""
        del headers, allowed_betas  # neither means anything in this dialect
        return parse_request(api, body)

    def path(self, api: Api) -> str:
        """See `Dialect`."""
        return api.value

    def upstream_headers(self, request: InferenceRequest) -> Mapping[str, str]:
        """See `Dialect`."""
        del request
        return {}

    def upstream_body(
        self,
        request: InferenceRequest,
        endpoint: Endpoint,
        *,
        cap_tokens: int | None,
        service_tier: str | None,
        refused: frozenset[str] = frozenset(),
    ) -> bytes:
        """See `Dialect`."""
        return upstream_body(
            request, endpoint, cap_tokens=cap_tokens, service_tier=service_tier, refused=refused
        )

    def counts_media(self, endpoint: Endpoint) -> bool:
        """See `Dialect`: there are no such rules."""
        del endpoint
        return False

    def refuse_unsendable(self, request: InferenceRequest, endpoint: Endpoint) -> None:
        """See `Dialect`: there is no such limit."""

    def refused_parameter(
        self, request: InferenceRequest, sent: bytes, status: int, error: bytes
    ) -> RefusedParameter | None:
        """See `Dialect`: the gateway adds no parameter that a provider could reject."""
        del request, sent, status, error
        return None

    def response(
        self,
        generation: Generation,
        request: InferenceRequest,
        model: Model,
        *,
        text_max_bytes: int,
        media_max_bytes: int,
        redactor: Redactor,
    ) -> ResponsesResponse:
        """See `Dialect`."""
        return ResponsesResponse(
            generation,
            ResponsesMeter(rules=model.endpoint.usage_rules),
            redactor,
            wire=request.wire,
            text_max_bytes=text_max_bytes,
            media_max_bytes=media_max_bytes,
        )

    def provider_error(
        self, provider: str, status: int, body: bytes, retry_after_s: int | None
    ) -> ProviderError:
        """See `Dialect`."""
        return response_error_of_body(provider, status, body, retry_after_s)

    def status(self, error: ErrorReport) -> int:
        """See `Dialect`."""
        return status(error)

    def error_body(self, error: ErrorReport, user_id: str | None = None) -> bytes:
        """See `Dialect`."""
        return error_body(error, user_id)

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `Dialect`."""
        return failed_stream(generation, {}, error)

    def late_error_body(self, error: ErrorReport, user_id: str | None = None) -> bytes:
        """See `Dialect`."""
        return msgspec.json.encode({"error": error_object(error), "user_id": user_id})


class ResponsesTranslation:
    """See `Translation`."""

    def to_chat(self, request: InferenceRequest, model: Model) -> TranslatedBody:
        """See `Translation`."""
        return to_chat(request, model)

    def from_chat(self, request: InferenceRequest, model: Model) -> TranslatedBody:
        """See `Translation`."""
        return from_chat(request, model)

    def decoder(self, request: InferenceRequest) -> ResponsesDecoder:
        """See `Translation`."""
        del request
        return ResponsesDecoder()

    def encoder(self, generation: Generation, request: InferenceRequest) -> ResponsesEncoder:
        """See `Translation`."""
        return ResponsesEncoder(generation, request.wire)


OPENAI_RESPONSES: Dialect = OpenAiResponses()
OPENAI_RESPONSES_TRANSLATION: Translation = ResponsesTranslation()
