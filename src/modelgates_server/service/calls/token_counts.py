"""Counts the input tokens of a request without a call: no hold, no charge."""

import msgspec

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.dialects.anthropic.counting import COUNT_PATH, count_body, read_count
from modelgates_server.dialects.anthropic.dialect import ANTHROPIC
from modelgates_server.dialects.pairing import Pairing, pairing_of
from modelgates_server.service.calls.admission import ServedCatalog, ServedModel
from modelgates_server.service.ports import Clock

_OK = 200
_ANSWER_MAX_BYTES = 64 * 1024


class TokenCount(msgspec.Struct, frozen=True):
    """The input tokens of a request; not `is_exact`: an upper bound."""

    tokens: int
    is_exact: bool


class TokenCounts:
    """Counts tokens for models of a catalog."""

    def __init__(self, served: ServedCatalog, clock: Clock) -> None:
        self._served = served
        self._clock = clock

    async def count(self, account_id: str, request: InferenceRequest) -> TokenCount:
        """The provider's count if it has Anthropic's API; an upper bound otherwise.

        The bound also stands in for a provider that fails.

        Raises the errors of `core.metering.routing.choose_model`, and `InvalidInput` for what the
        provider's dialect has no counterpart of.
        """
        served = self._served.choose(request, account_id, self._clock())
        pairing = pairing_of(ANTHROPIC, request, served.model)
        if not pairing.is_translated:
            tokens = await _counted(served, pairing)
            if tokens is not None:
                return TokenCount(tokens, is_exact=True)
        model = served.model
        tokens = pairing.outgoing.input_tokens(
            context_tokens=model.context_tokens, media_tokens=model.media_tokens
        )
        return TokenCount(tokens, is_exact=False)


async def _counted(served: ServedModel, pairing: Pairing) -> int | None:
    """The provider's count; None if it cannot be had."""
    outgoing = pairing.outgoing
    body = count_body(outgoing, served.model.endpoint)
    try:
        reply = await served.provider.send(COUNT_PATH, body, ANTHROPIC.upstream_headers(outgoing))
        try:
            answer = await reply.read(_ANSWER_MAX_BYTES)
        finally:
            reply.close()
    except ProviderError:
        return None
    return read_count(answer) if reply.status == _OK else None
