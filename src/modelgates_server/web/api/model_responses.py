"""Models, endpoints and providers as the API returns them, with all fields that clients require."""

from typing import Any
from urllib.parse import quote

import msgspec

from modelgates_server.core.pricing.catalog import Api, Model
from modelgates_server.core.pricing.prices import Price, Tier, plain, shown_tiers
from modelgates_server.docsite.openapi import BASE_PATH


class _Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Dollars per unit, as plain decimals in text. Fields have the names of the meters.

    Clients see OpenRouter's names. OpenRouter's `image`, the price of a whole image, is never set.
    """

    input: str = msgspec.field(name="prompt")
    output: str = msgspec.field(name="completion")
    request: str | None = None
    input_image: str | None = msgspec.field(default=None, name="image_token")
    output_image: str | None = msgspec.field(default=None, name="image_output")
    input_audio: str | None = msgspec.field(default=None, name="audio")
    output_audio: str | None = msgspec.field(default=None, name="audio_output")
    cache_read: str | None = msgspec.field(default=None, name="input_cache_read")
    cache_write: str | None = msgspec.field(default=None, name="input_cache_write")
    cache_write_1h: str | None = msgspec.field(default=None, name="input_cache_write_1h")
    reasoning: str | None = msgspec.field(default=None, name="internal_reasoning")


class PricingOverride(_Rates, frozen=True, kw_only=True, omit_defaults=True):
    """The rates of calls with at least `min_prompt_tokens`."""

    min_prompt_tokens: int


class Pricing(_Rates, frozen=True, kw_only=True, omit_defaults=True):
    """The rates of a model; a rate that is missing is part of `prompt` or `completion`."""

    overrides: tuple[PricingOverride, ...] = ()


class Architecture(msgspec.Struct, frozen=True):
    """The input and output modalities; ModelGates knows nothing about the rest."""

    input_modalities: tuple[str, ...]
    output_modalities: tuple[str, ...]
    modality: str
    tokenizer: str = "Other"
    instruct_type: None = None


class TopProvider(msgspec.Struct, frozen=True):
    """The limits of the provider that is tried first."""

    context_length: int
    max_completion_tokens: int | None
    is_moderated: bool = False


class ModelLinks(msgspec.Struct, frozen=True):
    """The path of the details, from the root of this server."""

    details: str


class ModelResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An item of `GET /models`."""

    id: str
    canonical_slug: str
    name: str
    created: int
    description: str
    context_length: int
    architecture: Architecture
    pricing: Pricing
    top_provider: TopProvider
    supported_parameters: tuple[str, ...]
    links: ModelLinks
    per_request_limits: None = None
    default_parameters: None = None
    supported_voices: None = None
    hugging_face_id: None = None
    knowledge_cutoff: None = None
    expiration_date: None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """The values of `tool_choice` that an endpoint accepts."""

    auto: bool
    function: bool
    none: bool
    required: bool


class EndpointResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint of a model. ModelGates does not publish speed or uptime.

    `service_tier` is the tier that the endpoint sells, null for the standard one.
    """

    name: str
    tag: str
    provider_name: str
    model_id: str
    model_name: str
    context_length: int
    max_completion_tokens: int | None
    pricing: Pricing
    supported_parameters: tuple[str, ...]
    supports_tool_choice: ToolChoice
    supports_implicit_caching: bool
    max_prompt_tokens: None = None
    quantization: None = None
    status: int = 0
    supports_diarization: bool = False
    native_tools: dict[str, Any] = {}
    service_tier: str | None = None
    latency_last_30m: None = None
    throughput_last_30m: None = None
    uptime_last_5m: None = None
    uptime_last_30m: None = None
    uptime_last_1d: None = None


class ModelEndpoints(msgspec.Struct, frozen=True):
    """The `data` of `GET /models/{author}/{slug}/endpoints`."""

    id: str
    name: str
    created: int
    description: str
    architecture: Architecture
    endpoints: list[EndpointResponse]


class ProviderDescription(msgspec.Struct, frozen=True):
    """An item of `GET /providers`."""

    name: str
    slug: str
    privacy_policy_url: None = None
    terms_of_service_url: None = None
    status_page_url: None = None
    headquarters: None = None
    datacenters: None = None


class ModelAnswer(msgspec.Struct, frozen=True):
    """One model. OpenAI's clients read the fields next to `data`."""

    data: msgspec.Raw
    id: str
    object: str
    created: int
    owned_by: str


def model_answer(model: Model, encoded: msgspec.Raw) -> ModelAnswer:
    """The response of `GET /models/{author}/{slug}`; `encoded` is the model as JSON."""
    owner = model.id.partition("/")[0]
    return ModelAnswer(encoded, model.id, "model", model.created_at_s, owner)


def model_response(model: Model, price: Price, markup_bp: int) -> ModelResponse:
    """A model with its price, as `GET /models` lists it."""
    return ModelResponse(
        id=model.id,
        canonical_slug=model.id,
        name=model.name,
        created=model.created_at_s,
        description=model.description,
        context_length=model.context_tokens,
        architecture=_architecture(model),
        pricing=_pricing(price, markup_bp),
        top_provider=TopProvider(model.context_tokens, _output_tokens(model)),
        supported_parameters=model.parameters or (),
        links=ModelLinks(f"{BASE_PATH}/models/{quote(model.id, safe='/:@')}/endpoints"),
    )


def endpoints_response(model: Model, price: Price, markup_bp: int) -> ModelEndpoints:
    """A model with its only provider: one endpoint for each service tier that has a price."""
    return ModelEndpoints(
        id=model.id,
        name=model.name,
        created=model.created_at_s,
        description=model.description,
        architecture=_architecture(model),
        endpoints=[
            _endpoint_response(model, _pricing(price, markup_bp, service_tier), service_tier)
            for service_tier in (None, *price.service_tiers)
        ],
    )


def _endpoint_response(
    model: Model, pricing: Pricing, service_tier: str | None
) -> EndpointResponse:
    takes_choice = "tool_choice" in (model.parameters or ())
    provider = model.endpoint.provider
    tag = provider if service_tier is None else f"{provider}/{service_tier}"
    return EndpointResponse(
        name=f"{tag} | {model.id}",
        tag=tag,
        provider_name=provider,
        model_id=model.id,
        model_name=model.name,
        context_length=model.context_tokens,
        max_completion_tokens=_output_tokens(model),
        pricing=pricing,
        supported_parameters=model.parameters or (),
        supports_tool_choice=ToolChoice(takes_choice, takes_choice, takes_choice, takes_choice),
        supports_implicit_caching=pricing.cache_read is not None,
        service_tier=service_tier,
    )


def provider_description(name: str) -> ProviderDescription:
    """A provider; only the operator's name for it is known."""
    return ProviderDescription(name=name, slug=name)


def _architecture(model: Model) -> Architecture:
    inputs, outputs = model.input_modalities, model.output_modalities
    return Architecture(inputs, outputs, f"{'+'.join(inputs)}->{'+'.join(outputs)}")


def _output_tokens(model: Model) -> int | None:
    """The most tokens a client may request; an embedding model has no output tokens."""
    return None if model.apis == {Api.EMBEDDINGS} else model.output_tokens


def _pricing(price: Price, markup_bp: int, service_tier: str | None = None) -> Pricing:
    first, *others = shown_tiers(price, markup_bp, service_tier)
    # Tiers start above a number of tokens, overrides at one.
    overrides = tuple(
        PricingOverride(min_prompt_tokens=tier.above + 1, **_rates(tier)) for tier in others
    )
    return Pricing(**_rates(first), overrides=overrides)


def _rates(tier: Tier) -> dict[str, str]:
    return {str(meter): plain(rate) for meter, rate in tier.rates.items()}
