"""Anthropic's Messages API as a dialect, and its translation."""

import re
from collections.abc import Mapping

import msgspec

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api, Endpoint, Model
from modelgates_server.core.redaction import Redactor
from modelgates_server.dialects.anthropic.decoder import MessagesDecoder
from modelgates_server.dialects.anthropic.effort import is_claude
from modelgates_server.dialects.anthropic.encoder import MessagesEncoder
from modelgates_server.dialects.anthropic.errors import (
    NAME,
    error_body,
    error_event,
    error_object,
    message_error_of_body,
    status,
)
from modelgates_server.dialects.anthropic.from_chat import from_chat
from modelgates_server.dialects.anthropic.meter import MessagesMeter
from modelgates_server.dialects.anthropic.request import parse_request
from modelgates_server.dialects.anthropic.response import MessagesResponse
from modelgates_server.dialects.anthropic.to_chat import no_cache_to_fill, to_chat
from modelgates_server.dialects.anthropic.upstream import upstream_body, upstream_headers
from modelgates_server.dialects.dialect import NO_HEADERS, Dialect, ErrorReport, RefusedParameter
from modelgates_server.dialects.translation import TranslatedBody, Translation

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_CACHED = ("system", "tools", "messages", "cache_control")
_HOUR, _ESCAPE = b'"1h"', rb"\u00"
_ESCAPED_HOUR = re.compile(rb'"(?:1|\\u0031)(?:h|\\u0068)"')


class Anthropic:
    """See `Dialect`."""

    name = NAME
    api = Api.MESSAGES
    request_id_header: bytes | None = b"request-id"
    stream_keep_alive = _PING
    plain_keep_alive = b"\n"

    def parse_request(
        self,
        api: Api,
        body: bytes,
        headers: Mapping[bytes, bytes] = NO_HEADERS,
        allowed_betas: frozenset[str] = frozenset(),
    ) -> InferenceRequest:
        """See `Dialect`."""
        return parse_request(api, body, headers, allowed_betas)

    def path(self, api: Api) -> str:
        """See `Dialect`."""
        return api.value

    def upstream_headers(self, request: InferenceRequest) -> Mapping[str, str]:
        """See `Dialect`."""
        return upstream_headers(request)

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
        """See `Dialect`: other companies' models behind this API count in their own way."""
        return is_claude(endpoint.upstream_model)

    def refuse_unsendable(self, request: InferenceRequest, endpoint: Endpoint) -> None:
        """See `Dialect`. Others than Anthropic read an output limit of 0 as none."""
        if request.cap_tokens == 0 and not is_claude(endpoint.upstream_model):
            raise no_cache_to_fill()

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
    ) -> MessagesResponse:
        """See `Dialect`."""
        meter = MessagesMeter(rules=model.endpoint.usage_rules, writes_1h=_writes_1h(request))
        return MessagesResponse(
            generation,
            meter,
            redactor,
            text_max_bytes=text_max_bytes,
            media_max_bytes=media_max_bytes,
        )

    def provider_error(
        self, provider: str, status: int, body: bytes, retry_after_s: int | None
    ) -> ProviderError:
        """See `Dialect`."""
        return message_error_of_body(provider, status, body, retry_after_s)

    def status(self, error: ErrorReport) -> int:
        """See `Dialect`."""
        return status(error)

    def error_body(self, error: ErrorReport, user_id: str | None = None) -> bytes:
        """See `Dialect`."""
        del user_id
        return error_body(error)

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `Dialect`."""
        return error_event(generation, error)

    def late_error_body(self, error: ErrorReport, user_id: str | None = None) -> bytes:
        """See `Dialect`."""
        del user_id
        return msgspec.json.encode({"type": "error", "error": error_object(error)})


class AnthropicTranslation:
    """See `Translation`."""

    def to_chat(self, request: InferenceRequest, model: Model) -> TranslatedBody:
        """See `Translation`."""
        return to_chat(request, model)

    def from_chat(self, request: InferenceRequest, model: Model) -> TranslatedBody:
        """See `Translation`."""
        return from_chat(request, model)

    def decoder(self, request: InferenceRequest) -> MessagesDecoder:
        """See `Translation`."""
        return MessagesDecoder(writes_1h=_writes_1h(request))

    def encoder(self, generation: Generation, request: InferenceRequest) -> MessagesEncoder:
        """See `Translation`."""
        return MessagesEncoder(generation, request)


def _writes_1h(request: InferenceRequest) -> bool:
    """Whether the request asks for cache entries of an hour, perhaps."""
    return any(_names_an_hour(bytes(request.wire[n])) for n in _CACHED if n in request.wire)


def _names_an_hour(raw: bytes) -> bool:
    """Whether JSON has the text `1h`, any character of which may be escaped."""
    return _HOUR in raw or (_ESCAPE in raw and _ESCAPED_HOUR.search(raw) is not None)


ANTHROPIC: Dialect = Anthropic()
ANTHROPIC_TRANSLATION: Translation = AnthropicTranslation()
