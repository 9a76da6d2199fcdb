"""How the request of a client reaches an endpoint: in which dialect, translated if need be."""

import msgspec

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.core.redaction import Redactor
from modelgates_server.dialects.dialect import Dialect, ResponseAdapter
from modelgates_server.dialects.known import DIALECTS, HUB, TRANSLATIONS
from modelgates_server.dialects.translation import TranslatedResponse

replace = msgspec.structs.replace


class Pairing(msgspec.Struct, frozen=True):
    """A client's request, and the `outgoing` request of the same meaning in the endpoint's dialect.

    They are the same if the dialects are equal. Holds are sized on the outgoing request,
    because that is what the provider reads; it names everything that was omitted. `chat` is the
    request in the form of the hub, through which a response is translated.
    """

    client: Dialect
    upstream: Dialect
    request: InferenceRequest
    chat: InferenceRequest
    outgoing: InferenceRequest

    @property
    def is_translated(self) -> bool:
        """Whether the dialects differ."""
        return self.client is not self.upstream

    def response(
        self,
        generation: Generation,
        model: Model,
        *,
        text_max_bytes: int,
        media_max_bytes: int,
        redactor: Redactor,
    ) -> ResponseAdapter:
        """An adapter for one response; see `Dialect.response`."""
        dialect = HUB if self.is_translated else self.client
        adapter = dialect.response(
            replace(generation, api=self.chat.api),
            self.chat,
            model,
            text_max_bytes=text_max_bytes,
            media_max_bytes=media_max_bytes,
            redactor=redactor,
        )
        if not self.is_translated:
            return adapter
        decoder = encoder = None
        if self.upstream is not HUB:
            decoder = TRANSLATIONS[self.upstream.name].decoder(self.outgoing)
        if self.client is not HUB:
            encoder = TRANSLATIONS[self.client.name].encoder(generation, self.request)
        return TranslatedResponse(adapter, decoder, encoder)


def pairing_of(client: Dialect, request: InferenceRequest, model: Model) -> Pairing:
    """The pairing with the endpoint of a model.

    Equal dialects are preferred: nothing is lost there. Raises `InvalidInput` that names what has
    no counterpart in the endpoint's dialect.
    """
    names = model.endpoint.dialects
    upstream = DIALECTS[client.name if client.name in names else names[0]]
    if upstream is client:
        outgoing = _sized(request, upstream, model)
        return Pairing(client, client, request, request, outgoing)
    omitted, chat = list(request.omitted), request
    if client is not HUB:
        translated = TRANSLATIONS[client.name].to_chat(request, model)
        omitted += translated.omitted
        chat = HUB.parse_request(HUB.api, translated.body)
    outgoing = chat
    if upstream is not HUB:
        translated = TRANSLATIONS[upstream.name].from_chat(chat, model)
        omitted += translated.omitted
        outgoing = upstream.parse_request(upstream.api, translated.body)
    outgoing = replace(outgoing, omitted=tuple(dict.fromkeys(omitted)))
    return Pairing(client, upstream, request, chat, _sized(outgoing, upstream, model))


def _sized(request: InferenceRequest, upstream: Dialect, model: Model) -> InferenceRequest:
    """The request without a bound of its images that is not true for this endpoint."""
    if request.media_tokens_max is None or upstream.counts_media(model.endpoint):
        return request
    return replace(request, media_tokens_max=None)
