"""GET /generation: one call with its cost and receipt, available when its response ends."""

from typing import Any, Literal

import msgspec

from modelgates_server.core.errors import GenerationNotFound
from modelgates_server.core.ledger.commands import check_text
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Attempt, Generation
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import ReceiptLine, plain
from modelgates_server.core.times import format_instant
from modelgates_server.service.late_usage import final_generation
from modelgates_server.service.ports import GenerationReader
from modelgates_server.web.api.amounts import Number, number
from modelgates_server.web.api.key_responses import workspace_of
from modelgates_server.web.members import check_query, quoted
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

_ID_MAX_CHARS = 255
_COUNTS = {
    "tokens_prompt": "prompt_tokens",
    "tokens_completion": "completion_tokens",
    "native_tokens_prompt": "prompt_tokens",
    "native_tokens_completion": "completion_tokens",
    "native_tokens_completion_images": "output_image",
    "native_tokens_reasoning": "reasoning",
    "native_tokens_cached": "cache_read",
}
"""The fields of `Usage` for the counts in a response; only the provider's counts are known."""

_OK = 200


class ProviderResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt. Times in ms; fields that official clients treat as optional are never null."""

    status: int | None
    provider_name: str
    endpoint_id: str
    is_byok: bool
    id: str | None = None
    latency: int | None = None


class ReceiptLineResponse(msgspec.Struct, frozen=True):
    """Quantity x rate = amount, in exact dollars as text."""

    what: str
    quantity: int
    rate: str
    amount: str


class GenerationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All fields that official clients require, followed by those that only ModelGates has.

    Amounts in dollars, times in ms. Token counts are null until the call is charged.
    """

    id: str
    upstream_id: str | None
    request_id: str
    session_id: str | None
    created_at: str
    model: str
    api_type: Literal["completions", "embeddings"]
    provider_name: str
    provider_responses: list[ProviderResponse]
    streamed: bool
    cancelled: bool
    latency: int | None
    generation_time: int | None
    finish_reason: str | None
    native_finish_reason: str | None
    total_cost: Number
    usage: Number
    tokens_prompt: int | None
    tokens_completion: int | None
    native_tokens_prompt: int | None
    native_tokens_completion: int | None
    native_tokens_completion_images: int | None
    native_tokens_reasoning: int | None
    native_tokens_cached: int | None
    external_user: str | None
    origin: str
    http_referer: str | None
    user_agent: str | None
    workspace_id: str
    service_tier: str | None
    is_byok: bool = False
    data_region: str = "global"
    cache_discount: None = None
    upstream_inference_cost: None = None
    moderation_latency: None = None
    num_media_prompt: None = None
    num_input_audio_prompt: None = None
    num_media_completion: None = None
    num_search_results: None = None
    num_fetches: None = None
    web_search_engine: None = None
    app_id: None = None
    preset_id: None = None
    router: None = None
    response_cache_source_id: None = None

    state: HoldState
    error: str | None
    hold: Number
    estimated: bool
    price_id: str
    lines: list[ReceiptLineResponse]
    omitted: tuple[str, ...]


class GenerationsApi:
    """The operation on /generation."""

    def __init__(self, generations: GenerationReader) -> None:
        self._generations = generations

    async def get(self, context: RequestContext) -> HttpResponse:
        """GET /generation?id=: for any key of the account that made the call."""
        check_query(context.request.query_params, ("id",))
        generation_id = context.request.query_params.get("id", "")
        check_text("id of the generation", generation_id, _ID_MAX_CHARS)
        generation = await self._generations.generation(context.caller.account_id, generation_id)
        if generation is None:
            raise GenerationNotFound(
                f"Generation not found: {quoted(generation_id)}. Check the id, and use a key of "
                "the account that made the call."
            )
        final, _ = await final_generation(self._generations, generation)
        response = generation_response(final)
        return HttpResponse(200, msgspec.json.encode({"data": response}))


def generation_response(generation: Generation) -> GenerationResponse:
    """A generation as the API returns it. While it runs, its cost is 0, despite checkpoints."""
    g = generation
    if g.state is HoldState.OPEN:
        g = msgspec.structs.replace(g, cost_pico=0, lines=(), usage=None)
    answered = _answered(g)
    counts: dict[str, Any] = {name: getattr(g.usage, at, None) for name, at in _COUNTS.items()}
    return GenerationResponse(
        id=g.id,
        upstream_id=answered.upstream_id,
        request_id=g.origin.request_id,
        session_id=g.origin.session_id,
        created_at=format_instant(g.created_at_ms),
        model=g.model,
        api_type="embeddings" if g.api is Api.EMBEDDINGS else "completions",
        provider_name=g.provider,
        provider_responses=[_provider_response(attempt) for attempt in g.attempts],
        streamed=g.streamed,
        cancelled=g.cancelled,
        latency=_between(g.created_at_ms, answered.first_byte_at_ms),
        generation_time=_between(answered.started_at_ms, answered.ended_at_ms),
        finish_reason=g.finish_reason,
        # Version 0.3 stored one value for both.
        native_finish_reason=g.native_finish_reason or g.finish_reason,
        total_cost=number(g.cost_pico),
        usage=number(g.cost_pico),
        **counts,
        external_user=g.origin.user,
        origin=g.origin.referer or "",
        http_referer=g.origin.referer,
        user_agent=g.origin.user_agent,
        workspace_id=workspace_of(g.account_id),
        service_tier=g.service_tier,
        state=g.state,
        error=g.error,
        hold=number(g.hold_pico),
        estimated=g.usage is not None and g.usage.estimated,
        price_id=g.price_id,
        lines=[_receipt_line(line) for line in g.lines],
        omitted=g.omitted,
    )


def _answered(generation: Generation) -> Attempt:
    """The attempt whose response the client got, whole or not; otherwise an empty attempt."""
    answers = (attempt for attempt in generation.attempts if attempt.status == _OK)
    return next(answers, Attempt(provider="", upstream_model="", started_at_ms=0))


def _provider_response(attempt: Attempt) -> ProviderResponse:
    return ProviderResponse(
        status=attempt.status,
        provider_name=attempt.provider,
        endpoint_id=f"{attempt.provider}:{attempt.upstream_model}",
        is_byok=False,
        id=attempt.upstream_id,
        latency=_between(attempt.started_at_ms, attempt.first_byte_at_ms),
    )


def _receipt_line(line: ReceiptLine) -> ReceiptLineResponse:
    return ReceiptLineResponse(line.meter, line.quantity, plain(line.rate), plain(line.amount))


def _between(start_ms: int, end_ms: int | None) -> int | None:
    """The duration; never negative, though the clock may have been set back in between."""
    return None if end_ms is None else max(0, end_ms - start_ms)
