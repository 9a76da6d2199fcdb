"""OpenAI's dialect as a whole. Errors have the form that OpenRouter's specification defines.

`{"error": {"message", "code", "metadata"?}, "user_id"?}`; fields without a value are left out.
"""

from collections.abc import Mapping

import msgspec

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api, Endpoint, Model
from modelgates_server.core.redaction import Redactor
from modelgates_server.dialects.dialect import (
    NO_HEADERS,
    Dialect,
    ErrorReport,
    RefusedParameter,
)
from modelgates_server.dialects.openai_chat.errors import provider_error_of_body
from modelgates_server.dialects.openai_chat.refused_parameters import refused_parameter
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.dialects.openai_chat.stream import OpenAiChatResponse, error_end, late_error
from modelgates_server.dialects.openai_chat.upstream import refuse_unsendable, upstream_body

_SETTINGS = {
    "stream_options": "stream_options = false",
    "max_tokens": 'cap_parameter = "max_completion_tokens"',
    "max_completion_tokens": 'cap_parameter = "max_tokens"',
}
"""The provider's settings in modelgates.toml that avoid parameters which the gateway adds."""


class _Error(msgspec.Struct, omit_defaults=True):
    message: str
    code: int
    metadata: Mapping[str, object] | None = None


class _Body(msgspec.Struct, omit_defaults=True):
    error: _Error
    user_id: str | None = None


class OpenAiChat:
    """See `Dialect`."""

    name = "openai-chat"
    api = Api.CHAT
    request_id_header: bytes | None = None
    stream_keep_alive = b": MODELGATES PROCESSING\n\n"
    plain_keep_alive = b"\n"
    """White space is allowed before JSON (RFC 8259, 2); line-buffering proxies forward a line."""

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
        """See `Dialect`."""
        refuse_unsendable(request, endpoint)

    def refused_parameter(
        self, request: InferenceRequest, sent: bytes, status: int, error: bytes
    ) -> RefusedParameter | None:
        """See `Dialect`."""
        name = refused_parameter(request.wire, sent, status, error)
        return None if name is None else RefusedParameter(name, _SETTINGS.get(name))

    def response(
        self,
        generation: Generation,
        request: InferenceRequest,
        model: Model,
        *,
        text_max_bytes: int,
        media_max_bytes: int,
        redactor: Redactor,
    ) -> OpenAiChatResponse:
        """See `Dialect`."""
        return OpenAiChatResponse(
            generation,
            request.api,
            model,
            text_max_bytes=text_max_bytes,
            media_max_bytes=media_max_bytes,
            excludes_reasoning=request.excludes_reasoning,
            asks_for_usage=request.asks_for_usage,
            choices=request.choices,
            redactor=redactor,
        )

    def provider_error(
        self, provider: str, status: int, body: bytes, retry_after_s: int | None
    ) -> ProviderError:
        """See `Dialect`."""
        return provider_error_of_body(provider, status, body, retry_after_s)

    def status(self, error: ErrorReport) -> int:
        """See `Dialect`."""
        return error.status

    def error_body(self, error: ErrorReport, user_id: str | None = None) -> bytes:
        """See `Dialect`."""
        return msgspec.json.encode(
            _Body(_Error(error.message, error.status, error.metadata), user_id)
        )

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `Dialect`."""
        return error_end(generation, {}, error)

    def late_error_body(self, error: ErrorReport, user_id: str | None = None) -> bytes:
        """See `Dialect`."""
        return msgspec.json.encode({"error": late_error(error), "user_id": user_id})


OPENAI_CHAT: Dialect = OpenAiChat()
